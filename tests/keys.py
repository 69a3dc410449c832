"""Key rings for tests: keys by number, put into the settings of this process."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra import settings


def key(number: int) -> str:
    """The text of a key that belongs to a number."""
    return f"{number}:{base64.b64encode(bytes([number]) * 32).decode()}"


def development() -> str:
    """The key that development seals with; its number is 1."""
    return f"1:{settings._DEVELOPMENT_KEY}"


@contextmanager
def ring(text: str, *, sealing: int = 0, master_keys: str = "") -> Iterator[None]:
    """Settings with these keys, inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WALLET_ENCRYPTION_KEYS", text)
        patch.setenv("WALLET_SEALING_KEY", str(sealing))
        patch.setenv("WALLET_MASTER_KEYS", master_keys)
        settings.get_settings.cache_clear()
        yield
    settings.get_settings.cache_clear()
