"""An authenticator in software: makes passkeys and answers challenges, rightly or wrongly.

It speaks what browsers speak (WebAuthn level 2: CBOR attestation objects, P-256 assertions) and
imports nothing of the application. Every field can be forged by the caller.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

RP_ID = "localhost"
ORIGIN = "http://localhost:8000"
_USER_PRESENT, _USER_VERIFIED, _ATTESTED = 0x01, 0x04, 0x40


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def cbor(value: Any) -> bytes:
    """As much of CBOR as an attestation needs: integers, bytes, texts and maps."""
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        return _head(3, len(value.encode())) + value.encode()
    pairs = b"".join(cbor(key) + cbor(one) for key, one in value.items())
    return _head(5, len(value)) + pairs


def _head(kind: int, number: int) -> bytes:
    if number < 24:
        return bytes([kind << 5 | number])
    if number < 256:
        return bytes([kind << 5 | 24, number])
    return bytes([kind << 5 | 25]) + struct.pack("!H", number)


@dataclass
class Authenticator:
    """One passkey in one device. ``counts`` False is a synced passkey: its counter stays at 0."""

    counts: bool = True
    origin: str = ORIGIN
    rp_id: str = RP_ID
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    credential_id: bytes = field(default_factory=lambda: os.urandom(16))
    user_handle: bytes = b""
    count: int = 0

    @classmethod
    def from_pkcs8(cls, text: str, *, id: str, origin: str) -> Authenticator:
        """A synced passkey that was kept (base64url of PKCS #8), for pages of this origin."""
        key = serialization.load_der_private_key(decode(text), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(counts=False, origin=origin, key=key, credential_id=decode(id))

    def create(self, options: str, **forged: Any) -> str:
        """A registration for creation options, both as JSON."""
        asked = json.loads(options)
        self.user_handle = decode(asked["user"]["id"])
        client_data = self._client_data("webauthn.create", asked["challenge"], forged)
        numbers = self.key.public_key().public_numbers()
        x, y = (value.to_bytes(32, "big") for value in (numbers.x, numbers.y))
        public_key = forged.get("public_key", cbor({1: 2, 3: -7, -1: 1, -2: x, -3: y}))
        attested = bytes(16) + struct.pack("!H", len(self.credential_id)) + self.credential_id
        data = self._data(_ATTESTED, forged) + attested + public_key
        attestation = cbor({"fmt": "none", "attStmt": {}, "authData": data})
        return self._credential(
            {
                "clientDataJSON": encode(client_data),
                "attestationObject": encode(attestation),
                "transports": ["internal"],
            }
        )

    def get(self, options: str, **forged: Any) -> str:
        """An assertion for request options, both as JSON.

        ``forged``: ``challenge``, ``origin``, ``rp_id``, ``cross_origin``, ``verified``,
        ``present``, ``count``, ``user_handle``, ``signature``, ``kind``.
        """
        asked = json.loads(options)
        kind = forged.get("kind", "webauthn.get")
        client_data = self._client_data(kind, asked["challenge"], forged)
        data = self._data(0, forged)
        signed = data + hashlib.sha256(client_data).digest()
        signature = forged.get("signature") or self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        return self._credential(
            {
                "clientDataJSON": encode(client_data),
                "authenticatorData": encode(data),
                "signature": encode(signature),
                "userHandle": encode(forged.get("user_handle", self.user_handle)),
            }
        )

    def _client_data(self, kind: str, challenge: str, forged: dict[str, Any]) -> bytes:
        said = {
            "type": kind,
            "challenge": forged.get("challenge", challenge),
            "origin": forged.get("origin", self.origin),
            "crossOrigin": forged.get("cross_origin", False),
        }
        return json.dumps(said).encode()

    def _data(self, flags: int, forged: dict[str, Any]) -> bytes:
        if forged.get("present", True):
            flags |= _USER_PRESENT
        if forged.get("verified", True):
            flags |= _USER_VERIFIED
        if self.counts:
            self.count += 1
        count = forged.get("count", self.count)
        rp_id = forged.get("rp_id", self.rp_id)
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + struct.pack("!I", count)

    def _credential(self, response: dict[str, Any]) -> str:
        return json.dumps(
            {
                "id": encode(self.credential_id),
                "rawId": encode(self.credential_id),
                "type": "public-key",
                "response": response,
                "clientExtensionResults": {},
                "authenticatorAttachment": "platform",
            }
        )
