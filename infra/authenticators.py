"""WebAuthn: what we ask of people's authenticators, and whether their answers are right.

Everything that arrives here was written by strangers. Whatever is wrong with it is `NotVerified`,
without saying what: the library's texts repeat what was sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
import webauthn
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from webauthn.helpers import (
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    encode_cbor,
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticationCredential,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    RegistrationCredential,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from infra import settings

CREDENTIAL_LENGTH_MAX = 16_384
CREDENTIAL_ID_BYTES_MAX = 1_023  # as the specification has it
RSA_BITS = range(2048, 4097)
TIMEOUT_MILLISECONDS = 120_000
_ALGORITHMS = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class NotVerified(Exception):
    """The answer is malformed, or isn't an answer to what was asked."""


@dataclass(frozen=True, slots=True)
class Party:
    """Who asks: the domain that passkeys belong to, and the pages that may use them."""

    rp_id: str
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Registered:
    """A new passkey, verified."""

    credential_id: bytes
    public_key: bytes = field(repr=False)
    sign_count: int
    aaguid: UUID
    transports: list[str]
    synced: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A passkey's answer, read and not yet verified. ``digest`` is of all that was signed."""

    credential_id: bytes
    user_handle: bytes | None = field(repr=False)
    challenge: bytes = field(repr=False)
    digest: bytes
    credential: AuthenticationCredential = field(repr=False)


def party() -> Party:
    """From the settings. Browsers know no passkeys of IP addresses: the loopback is localhost."""
    chosen = settings.get_settings()
    home = urlsplit(chosen.public_url)
    origins = [f"{home.scheme}://{home.netloc}", *chosen.passkey_origins.split(",")]
    host = home.hostname or ""
    if host in _LOOPBACK:
        host = "localhost"
        origins.append(f"{home.scheme}://localhost{f':{home.port}' if home.port else ''}")
    cleaned = dict.fromkeys(origin.strip() for origin in origins)
    return Party(chosen.passkey_rp_id or host, tuple(one for one in cleaned if one))


def registration_options(
    *, challenge: bytes, user_handle: bytes, user_name: str, known: Sequence[bytes]
) -> str:
    """JSON for ``PublicKeyCredential.parseCreationOptionsFromJSON``; ``known`` are ids to skip."""
    options = webauthn.generate_registration_options(
        rp_id=party().rp_id,
        rp_name="鹏城钱包 Pengcheng Wallet",
        user_id=user_handle,
        user_name=user_name,
        challenge=challenge,
        timeout=TIMEOUT_MILLISECONDS,
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in known],
        supported_pub_key_algs=_ALGORITHMS,
    )
    return webauthn.options_to_json(options)


def request_options(*, challenge: bytes, known: Sequence[bytes] = ()) -> str:
    """JSON for ``PublicKeyCredential.parseRequestOptionsFromJSON``; no ids: any of this party."""
    options = webauthn.generate_authentication_options(
        rp_id=party().rp_id,
        challenge=challenge,
        timeout=TIMEOUT_MILLISECONDS,
        allow_credentials=[PublicKeyCredentialDescriptor(id=one) for one in known],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return webauthn.options_to_json(options)


def read_answer(text: str) -> Answer:
    """A credential's JSON as an answer. Raises NotVerified."""
    given = _object(text)
    try:
        credential = parse_authentication_credential_json(given)
        response = credential.response
        challenge = _challenge(response.client_data_json)
    except Exception:
        raise NotVerified from None
    signed = (response.client_data_json, response.authenticator_data, response.signature)
    return Answer(
        credential_id=_sane_id(credential.raw_id),
        user_handle=response.user_handle,
        challenge=challenge,
        digest=hashlib.sha256(
            b"".join(hashlib.sha256(part).digest() for part in (credential.raw_id, *signed))
        ).digest(),
        credential=credential,
    )


def verify(answer: Answer, *, public_key: bytes | None) -> int:
    """The authenticator's counter, if the answer is signed by this key for us, by a verified user.

    Which challenge it answers is for the caller to compare. None (no such key) takes as long, and
    is never right. Raises NotVerified.
    """
    us = party()
    try:
        verified = webauthn.verify_authentication_response(
            credential=answer.credential,
            expected_challenge=answer.challenge,
            expected_rp_id=us.rp_id,
            expected_origin=list(us.origins),
            credential_public_key=public_key or _nobodys_key(),
            credential_current_sign_count=0,  # the caller's: decided by one UPDATE
            require_user_verification=True,
        )
    except Exception:
        raise NotVerified from None
    if public_key is None:
        raise NotVerified
    return verified.new_sign_count


def read_registration(text: str) -> tuple[RegistrationCredential, bytes]:
    """A new credential's JSON, and the challenge that it answers. Raises NotVerified."""
    given = _object(text)
    try:
        credential = parse_registration_credential_json(given)
        return credential, _challenge(credential.response.client_data_json)
    except Exception:
        raise NotVerified from None


def verify_registration(credential: RegistrationCredential, *, challenge: bytes) -> Registered:
    """The new passkey. Raises NotVerified."""
    us = party()
    try:
        verified = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=us.rp_id,
            expected_origin=list(us.origins),
            require_user_verification=True,
            supported_pub_key_algs=_ALGORITHMS,
        )
        _ensure_key_is_sane(verified.credential_public_key)
        return Registered(
            credential_id=_sane_id(verified.credential_id),
            public_key=verified.credential_public_key,
            sign_count=verified.sign_count,
            aaguid=UUID(verified.aaguid),
            transports=[one.value for one in credential.response.transports or ()],
            synced=verified.credential_backed_up,
        )
    except Exception:
        raise NotVerified from None


def _object(text: str) -> dict[str, object]:
    if len(text) > CREDENTIAL_LENGTH_MAX:
        raise NotVerified
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        raise NotVerified from None


def _challenge(client_data: bytes) -> bytes:
    """What it answers; never from inside a frame of somebody else's page."""
    parsed = parse_client_data_json(client_data)
    if parsed.cross_origin:
        raise NotVerified
    return parsed.challenge


def _sane_id(credential_id: bytes) -> bytes:
    if not 0 < len(credential_id) <= CREDENTIAL_ID_BYTES_MAX:
        raise NotVerified
    return credential_id


def _ensure_key_is_sane(public_key: bytes) -> None:
    """Of RSA keys the sender chooses how long verifying takes; these are what devices make."""
    key = decoded_public_key_to_cryptography(decode_credential_public_key(public_key))
    if isinstance(key, rsa.RSAPublicKey):
        sane = key.key_size in RSA_BITS and key.public_numbers().e == 65_537
    else:
        sane = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    if not sane:
        raise NotVerified


@lru_cache(maxsize=1)
def _nobodys_key() -> bytes:
    """A COSE key whose other half was thrown away."""
    return cose_key(ec.generate_private_key(ec.SECP256R1()).public_key())


def cose_key(public_key: ec.EllipticCurvePublicKey) -> bytes:
    """A P-256 key as authenticators write it."""
    numbers = public_key.public_numbers()
    x, y = (value.to_bytes(32, "big") for value in (numbers.x, numbers.y))
    return encode_cbor({1: 2, 3: -7, -1: 1, -2: x, -3: y})
