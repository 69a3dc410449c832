"""Keys that wrap keys: the port to a key service, and an adapter whose master keys are settings.

The keys that seal personal data (data keys) may stand in ``WALLET_ENCRYPTION_KEYS`` wrapped, so
that this setting alone opens nothing. A process has them unwrapped once, when it starts, and keeps
them in memory: no request ever waits for a key service. To put a cloud's KMS in, write an adapter
with the two methods of `KeyService` and return it from `from_settings`.

``python -m infra.kms new 2`` prints a new wrapped data key; ``python -m infra.kms rewrap`` prints
the setting with every data key wrapped by the newest master key, which is all that rotating the
master key takes: no row is touched.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import sys
from typing import Protocol

from infra import encryption, settings


class KeyService(Protocol):
    """Whoever keeps the master keys. Raises UnwrappingFailed; anything else is an outage."""

    async def wrap(self, number: int, key: bytes) -> bytes:
        """A data key (32 bytes) so that only this service opens it, bound to its number."""
        ...

    async def unwrap(self, number: int, wrapped: bytes) -> bytes:
        """The data key behind a wrapping."""
        ...


class UnwrappingFailed(Exception):
    """The wrapping is damaged, of another number, or of a master key that is gone."""


class LocalKeyService:
    """Master keys from ``WALLET_MASTER_KEYS`` (``number:base64``); the highest wraps."""

    def __init__(self, master_keys: str) -> None:
        try:
            self._ring = encryption.KeyRing(master_keys)
        except ValueError:
            raise ValueError("WALLET_MASTER_KEYS: expected number:base64 of 32 bytes") from None

    async def wrap(self, number: int, key: bytes) -> bytes:
        return self._ring.seal(_place(number), base64.b64encode(key).decode())

    async def unwrap(self, number: int, wrapped: bytes) -> bytes:
        try:
            return base64.b64decode(self._ring.open(_place(number), wrapped))
        except encryption.DecryptionFailed:
            raise UnwrappingFailed from None


def _place(number: int) -> bytes:
    return f"data key {number}".encode()


def from_settings(given: settings.Settings) -> KeyService:
    """The key service of this installation."""
    return LocalKeyService(given.master_keys.get_secret_value())


async def open_keys(service: KeyService | None = None) -> None:
    """Have this process's data keys ready; call it once, before anything is sealed or opened.

    Raises ValueError for wrong settings, UnwrappingFailed, and what the service itself raises.
    """
    given = settings.get_settings()
    wrapped = encryption.wrapped_keys(given.encryption_keys.get_secret_value())
    if wrapped:
        asked = service or from_settings(given)
        encryption.take({n: await asked.unwrap(n, one) for n, one in wrapped.items()})
    encryption.current_ring()


async def _new(number: int) -> str:
    service = from_settings(settings.get_settings())
    wrapped = await service.wrap(number, os.urandom(encryption.KEY_BYTES))
    return encryption.wrapped_entry(number, wrapped)


async def rewrapped(text: str, service: KeyService) -> str:
    """A ``WALLET_ENCRYPTION_KEYS`` with each key, plain or wrapped, wrapped anew."""
    keys = encryption.plain_keys(text)
    for number, wrapped in encryption.wrapped_keys(text).items():
        keys[number] = await service.unwrap(number, wrapped)
    entries = [
        encryption.wrapped_entry(number, await service.wrap(number, key))
        for number, key in sorted(keys.items())
    ]
    return ",".join(entries)


def main() -> None:
    parser = argparse.ArgumentParser(description="Wrap keys by the newest WALLET_MASTER_KEYS.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("new", help="a new data key").add_argument("number", type=int)
    verbs.add_parser("rewrap", help="the setting, wrapped anew")
    asked = parser.parse_args()
    given = settings.get_settings()
    if asked.verb == "new":
        line = asyncio.run(_new(asked.number))
    else:
        text = given.encryption_keys.get_secret_value()
        line = asyncio.run(rewrapped(text, from_settings(given)))
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
