"""Data keys that a key service has wrapped: asked once, bound to their numbers, useless without."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import encryption, kms
from tests import keys

CHECKOUT = Path(__file__).resolve().parents[2]


class Counting:
    """A key service that counts how often it is asked."""

    def __init__(self, master_keys: str) -> None:
        self._local = kms.LocalKeyService(master_keys)
        self.asked = 0

    async def wrap(self, number: int, key: bytes) -> bytes:
        return await self._local.wrap(number, key)

    async def unwrap(self, number: int, wrapped: bytes) -> bytes:
        self.asked += 1
        return await self._local.unwrap(number, wrapped)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    encryption.take({})


async def test_a_wrapped_key_opens_what_the_plain_one_sealed() -> None:
    plain = keys.development()
    sealed = encryption.encrypt("users.name", 1, "王小明")
    wrapped = await kms.rewrapped(plain, kms.LocalKeyService(keys.key(7)))
    assert plain.partition(":")[2] not in wrapped

    with keys.ring(wrapped, master_keys=keys.key(7)):
        await kms.open_keys()
        assert encryption.decrypt("users.name", 1, sealed) == "王小明"


async def test_the_key_service_is_asked_once_and_never_by_a_request() -> None:
    service = Counting(keys.key(7))
    wrapped = await kms.rewrapped(f"{keys.key(1)},{keys.key(2)}", service)
    with keys.ring(wrapped):
        await kms.open_keys(service)
        for row in range(100):
            sealed = encryption.encrypt("users.name", row, "王小明")
            encryption.decrypt("users.name", row, sealed)
    assert service.asked == 2


async def test_a_new_master_key_rewraps_the_setting_and_touches_no_row() -> None:
    old = await kms.rewrapped(keys.key(1), kms.LocalKeyService(keys.key(7)))
    both = kms.LocalKeyService(f"{keys.key(7)},{keys.key(8)}")
    new = await kms.rewrapped(old, both)
    with keys.ring(new, master_keys=keys.key(8)):
        await kms.open_keys()
        sealed = encryption.encrypt("users.name", 1, "王小明")
    with keys.ring(keys.key(1)):
        assert encryption.decrypt("users.name", 1, sealed) == "王小明"


async def test_without_its_master_key_a_wrapped_key_is_useless() -> None:
    wrapped = await kms.rewrapped(keys.key(1), kms.LocalKeyService(keys.key(7)))
    with keys.ring(wrapped, master_keys=keys.key(8)):
        with pytest.raises(kms.UnwrappingFailed):
            await kms.open_keys()
        with pytest.raises(ValueError, match="nobody has unwrapped"):
            encryption.encrypt("users.name", 1, "王小明")


async def test_a_wrapping_under_another_number_is_refused() -> None:
    service = kms.LocalKeyService(keys.key(7))
    wrapped = encryption.wrapped_keys(await kms.rewrapped(keys.key(1), service))
    with pytest.raises(kms.UnwrappingFailed):
        await service.unwrap(2, wrapped[1])


@pytest.mark.parametrize("text", ["", "1:c2hvcnQ=", "nonsense"])
def test_wrong_master_keys_are_named_by_their_setting(text: str) -> None:
    with pytest.raises(ValueError, match="WALLET_MASTER_KEYS") as caught:
        kms.LocalKeyService(text)
    assert text == "" or text not in str(caught.value)


def _command(*arguments: str, **settings: str) -> str:
    environment = {**os.environ, "WALLET_ENVIRONMENT": "development", **settings}
    command = [sys.executable, "-m", "infra.kms", *arguments]
    answer = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True
    )
    return answer.stdout.strip()


async def test_the_commands_print_entries_that_a_process_can_use() -> None:
    masters = keys.key(7)
    entry = _command("new", "2", WALLET_MASTER_KEYS=masters)
    ring = _command(
        "rewrap",
        WALLET_MASTER_KEYS=masters,
        WALLET_ENCRYPTION_KEYS=f"{keys.key(1)},{entry}",
    )
    assert ring.startswith("1:wrapped:")
    with keys.ring(ring, master_keys=masters):
        await kms.open_keys()
        assert encryption.current_ring().numbers == [1, 2]
        assert encryption.current_ring().sealing == 2
