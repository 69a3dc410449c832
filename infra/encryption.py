"""Personal data at rest: AES-256-GCM per field, and blind indexes to find it by.

A ciphertext names the key it was made with, and is bound to its table, column and row: copied
elsewhere it does not open. Layout: format 1, key id (2 bytes), nonce (12), ciphertext and tag.
Keys stand in the settings, plain or wrapped by a key service (`infra.kms`), which is asked once per
process: sealing and opening ask nobody.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import struct
from collections.abc import Mapping
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra import settings

_FORMAT = 1
_HEADER = struct.Struct("!BH")
_NONCE_BYTES = 12
KEY_BYTES = 32
NUMBER_MAX = 65535
_WRAPPED = "wrapped:"


class DecryptionFailed(Exception):
    """The ciphertext is damaged, made with an unknown key, or belongs to another place."""


class KeyRing:
    """Keys by number (1 to 65535); ``sealing`` seals (0: the highest), all open."""

    def __init__(
        self, text: str, *, sealing: int = 0, unwrapped: Mapping[int, bytes] | None = None
    ) -> None:
        """``text`` is ``"1:base64,2:base64"``, each key of 32 bytes. ValueError otherwise.

        ``unwrapped`` has the keys of which ``text`` holds a wrapping only.
        """
        keys = plain_keys(text) | dict(unwrapped or {})
        missing = wrapped_keys(text).keys() - keys.keys()
        if missing:
            raise ValueError(f"WALLET_ENCRYPTION_KEYS: nobody has unwrapped {sorted(missing)}")
        if any(len(key) != KEY_BYTES for key in keys.values()):
            raise ValueError("WALLET_ENCRYPTION_KEYS: expected number:base64 of 32 bytes")
        self._ciphers = {number: AESGCM(key) for number, key in keys.items()}
        self.sealing = sealing or max(self._ciphers)
        if self.sealing not in self._ciphers:
            raise ValueError("WALLET_SEALING_KEY: there is no such key")

    @property
    def numbers(self) -> list[int]:
        """The numbers of all keys, ascending."""
        return sorted(self._ciphers)

    def seal(self, place: bytes, text: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        header = _HEADER.pack(_FORMAT, self.sealing)
        sealed = self._ciphers[self.sealing].encrypt(nonce, text.encode(), header + place)
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


def _entries(text: str) -> dict[int, str]:
    """What stands behind each number."""
    found: dict[int, str] = {}
    for part in text.split(","):
        number, _, value = part.strip().partition(":")
        if not number.isdecimal() or not 1 <= int(number) <= NUMBER_MAX or int(number) in found:
            raise ValueError("WALLET_ENCRYPTION_KEYS: expected number:base64 of 32 bytes")
        found[int(number)] = value
    return found


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("WALLET_ENCRYPTION_KEYS: a key is not base64") from None


def plain_keys(text: str) -> dict[int, bytes]:
    """The keys that stand in the setting as they are, by number."""
    return {n: _decoded(v) for n, v in _entries(text).items() if not v.startswith(_WRAPPED)}


def wrapped_keys(text: str) -> dict[int, bytes]:
    """The wrappings (``2:wrapped:base64``) that a key service has to open, by number."""
    return {
        number: _decoded(value.removeprefix(_WRAPPED))
        for number, value in _entries(text).items()
        if value.startswith(_WRAPPED)
    }


def wrapped_entry(number: int, wrapped: bytes) -> str:
    """A wrapped key as the setting has it."""
    return f"{number}:{_WRAPPED}{base64.b64encode(wrapped).decode()}"


_unwrapped: dict[int, bytes] = {}


def take(keys: Mapping[int, bytes]) -> None:
    """Keep, for the life of this process, what a key service has unwrapped."""
    _unwrapped.clear()
    _unwrapped.update(keys)
    _ring.cache_clear()


@lru_cache(maxsize=4)
def _ring(text: str, sealing: int) -> KeyRing:
    return KeyRing(text, sealing=sealing, unwrapped=_unwrapped)


@lru_cache(maxsize=32)
def _index_key(secret: str, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), b"blind index " + purpose.encode(), "sha256")


def current_ring() -> KeyRing:
    """The keys of this process. ValueError if the settings are wrong or a key is still wrapped."""
    given = settings.get_settings()
    return _ring(given.encryption_keys.get_secret_value(), given.sealing_key)


def encrypt(table_column: str, row: object, text: str) -> bytes:
    """Seal ``text`` for one place, for instance ``encrypt("users.phone", user_id, phone)``.

    Every ``table_column`` is in `domain.sealing`, or keys could not be rotated.
    """
    return current_ring().seal(f"{table_column}:{row}".encode(), text)


def decrypt(table_column: str, row: object, sealed: bytes) -> str:
    """The text sealed for this place. Raises DecryptionFailed."""
    return current_ring().open(f"{table_column}:{row}".encode(), sealed)


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


def derived_secret(purpose: str, text: str) -> str:
    """43 characters that only the holder of our key can make, the same ones for the same text."""
    raw = bytes.fromhex(blind_index(f"secret {purpose}", text))
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
