"""A device's key, as an app holds it: P-256, made here, signing logins and refreshes.

Meant to be read and copied. A phone would keep the key in its secure hardware, a browser as a
WebCrypto key that can't be extracted.
"""

from __future__ import annotations

import base64
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

_ES256 = ec.ECDSA(hashes.SHA256())


class DeviceKey:
    """One device's key pair. ``id`` is what the server calls the device once it is enrolled."""

    def __init__(self, private_key: ec.EllipticCurvePrivateKey | None = None) -> None:
        self._private = private_key or ec.generate_private_key(ec.SECP256R1())
        self.id = ""

    @classmethod
    def from_pkcs8(cls, text: str, *, id: str) -> DeviceKey:
        """A key that was kept (base64url of PKCS #8), of a device that is enrolled."""
        der = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        private = serialization.load_der_private_key(der, password=None)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        key = cls(private)
        key.id = id
        return key

    @property
    def public(self) -> str:
        """SubjectPublicKeyInfo in base64url, as ``DeviceInput.publicKey`` takes it."""
        der = self._private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64url(der)

    def input(self, name: str = "demo phone", platform: str = "ANDROID") -> dict[str, str]:
        """A ``DeviceInput``."""
        return {"publicKey": self.public, "name": name, "platform": platform}

    def login_proof(self, challenge: dict[str, Any]) -> dict[str, Any]:
        """The ``deviceKey`` proof of a login challenge."""
        text = f"pengcheng-wallet login v1\n{challenge['id']}\n{challenge['nonce']}"
        return {"deviceKey": {"deviceId": self.id, "signature": self.sign(text)}}

    def refresh_signature(self, refresh_token: str) -> str:
        """What ``refreshSession`` wants beside the token."""
        return self.sign(f"pengcheng-wallet refresh v1\n{refresh_token}")

    def sign(self, text: str) -> str:
        """r and s, 32 bytes each, in base64url: the form of WebCrypto."""
        r, s = utils.decode_dss_signature(self._private.sign(text.encode(), _ES256))
        return base64url(r.to_bytes(32) + s.to_bytes(32))


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
