"""Personal data at rest: AES-256-GCM per field, and blind indexes to find it by.

A ciphertext names the key it was made with, and is bound to its table, column and row: copied
elsewhere it does not open. Layout: format 1, key id (2 bytes), nonce (12), ciphertext and tag.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import struct
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra import settings

_FORMAT = 1
_HEADER = struct.Struct("!BH")
_NONCE_BYTES = 12


class DecryptionFailed(Exception):
    """The ciphertext is damaged, made with an unknown key, or belongs to another place."""


class KeyRing:
    """Keys by number (1 to 65535); the highest encrypts, all decrypt."""

    def __init__(self, text: str) -> None:
        """``text`` is ``"1:base64,2:base64"``, each key of 32 bytes. ValueError otherwise."""
        self._ciphers: dict[int, AESGCM] = {}
        for part in text.split(","):
            number, _, key = part.strip().partition(":")
            try:
                raw = base64.b64decode(key, validate=True)
            except binascii.Error:
                raise ValueError("WALLET_ENCRYPTION_KEYS: a key is not base64") from None
            if len(raw) != 32 or not number.isdecimal() or not 1 <= int(number) <= 65535:
                raise ValueError("WALLET_ENCRYPTION_KEYS: expected number:base64 of 32 bytes")
            self._ciphers[int(number)] = AESGCM(raw)
        self.newest = max(self._ciphers)

    def seal(self, place: bytes, text: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        header = _HEADER.pack(_FORMAT, self.newest)
        sealed = self._ciphers[self.newest].encrypt(nonce, text.encode(), header + place)
        return header + nonce + sealed

    def open(self, place: bytes, sealed: bytes) -> str:
        header, rest = sealed[: _HEADER.size], sealed[_HEADER.size :]
        try:
            format_, number = _HEADER.unpack(header)
            cipher = self._ciphers[number]
            if format_ != _FORMAT:
                raise DecryptionFailed
            opened = cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], header + place)
        except (struct.error, KeyError, InvalidTag, ValueError):
            # No cause: it could carry parts of the data into a log.
            raise DecryptionFailed from None
        return opened.decode()


@lru_cache(maxsize=2)
def _ring(text: str) -> KeyRing:
    return KeyRing(text)


@lru_cache(maxsize=32)
def _index_key(secret: str, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), b"blind index " + purpose.encode(), "sha256")


def _current_ring() -> KeyRing:
    return _ring(settings.get_settings().encryption_keys.get_secret_value())


def encrypt(table_column: str, row: object, text: str) -> bytes:
    """Seal ``text`` for one place, for instance ``encrypt("users.phone", user_id, phone)``."""
    return _current_ring().seal(f"{table_column}:{row}".encode(), text)


def decrypt(table_column: str, row: object, sealed: bytes) -> str:
    """The text sealed for this place. Raises DecryptionFailed."""
    return _current_ring().open(f"{table_column}:{row}".encode(), sealed)


def key_number(sealed: bytes) -> int:
    """The number of the key that sealed this, so that a job can find what to seal anew."""
    try:
        return _HEADER.unpack_from(sealed)[1]
    except struct.error:
        raise DecryptionFailed from None


def blind_index(purpose: str, text: str) -> str:
    """HMAC-SHA-256 in hex (64 characters): equal texts of one purpose give equal indexes."""
    secret = settings.get_settings().index_key.get_secret_value()
    return hmac.digest(_index_key(secret, purpose), text.encode(), "sha256").hex()
