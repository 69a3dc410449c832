"""Keys that devices keep to themselves: ECDSA on P-256 with SHA-256, as WebCrypto calls ES256.

A public key travels as SubjectPublicKeyInfo (DER) in base64url, a signature as the 64 bytes r‖s in
base64url, both without padding. Verifying takes about a tenth of a millisecond.
"""

from __future__ import annotations

import base64
import binascii
import re

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

_TEXT = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_KEY_CHARACTERS_MAX = 160
_SIGNATURE_CHARACTERS = 86
_HALF_BYTES = 32
_ES256 = ec.ECDSA(hashes.SHA256())


def parse(text: str) -> bytes | None:
    """The DER of a P-256 public key; None for anything else, also for another way to write one."""
    if len(text) > _KEY_CHARACTERS_MAX or (der := _decoded(text)) is None:
        return None
    try:
        key = serialization.load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        return None
    return der if _der(key) == der else None


def verify(public_key: bytes, signature: str, message: bytes) -> bool:
    """Whether the holder of a key that `parse` returned has signed this message."""
    if len(signature) != _SIGNATURE_CHARACTERS or (raw := _decoded(signature)) is None:
        return False
    key = serialization.load_der_public_key(public_key)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    r, s = (int.from_bytes(half) for half in (raw[:_HALF_BYTES], raw[_HALF_BYTES:]))
    try:
        key.verify(utils.encode_dss_signature(r, s), message, _ES256)
    except InvalidSignature:
        return False
    return True


def _der(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _decoded(text: str) -> bytes | None:
    if not _TEXT.fullmatch(text):
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return None
    # The last character has bits to spare: only one way to write the same bytes is taken.
    return raw if base64.urlsafe_b64encode(raw).rstrip(b"=") == text.encode() else None
