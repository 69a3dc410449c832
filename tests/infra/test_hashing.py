"""Passwords and PINs in hasher processes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path

import bcrypt
import pytest
from pydantic import SecretStr

from infra import hashing, settings
from infra.hashing import Checked, Hasher, HasherBusy

pytestmark = pytest.mark.usefixtures("hasher")
SALT = bcrypt.gensalt(4)


async def test_a_password_is_right_in_any_unicode_form_and_every_character_counts() -> None:
    stored = await hashing.hash_password("Ａé" + "x" * 100 + "1")

    assert re.match(r"v2:[0-9a-f]{8}\$2b\$04\$", stored)
    assert await hashing.check_password("Ae\u0301" + "x" * 100 + "1", stored) == Checked(True)
    assert await hashing.check_password("Ae\u0301" + "x" * 100 + "2", stored) == Checked(False)


async def test_nobodys_password_is_never_right() -> None:
    assert await hashing.check_password("", None) == Checked(False)
    assert await hashing.check_password("x", "not a hash") == Checked(False)
    dummy = hashing._dummy(4, hashing._ring()[0].mark)
    assert await hashing.check_password("x", dummy) == Checked(False)


async def test_a_right_password_of_another_cost_is_outdated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = await hashing.hash_password("something")
    monkeypatch.setattr(settings.get_settings(), "password_cost", 5)

    assert await hashing.check_password("something", stored) == Checked(True, outdated=True)
    assert await hashing.check_password("another", stored) == Checked(False)


def use_peppers(monkeypatch: pytest.MonkeyPatch, ring: str) -> None:
    monkeypatch.setattr(settings.get_settings(), "password_pepper", SecretStr(ring))


async def test_a_new_pepper_in_front_keeps_the_hashes_of_the_old_and_asks_for_new_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_peppers(monkeypatch, "old " * 8)
    password, pin = await hashing.hash_password("something"), await hashing.hash_pin(7, "820461")
    unmarked = re.sub(r"^v2:[0-9a-f]{8}", "v1", password)
    use_peppers(monkeypatch, f"{'new ' * 8},{'old ' * 8}")

    for stored in (password, unmarked):
        assert await hashing.check_password("something", stored) == Checked(True, outdated=True)
        assert await hashing.check_password("another", stored) == Checked(False)
    assert await hashing.check_pin(7, "820461", pin)
    assert hashing.pin_outdated(pin)
    renewed = await hashing.hash_password("something")
    assert await hashing.check_password("something", renewed) == Checked(True)
    assert not hashing.pin_outdated(await hashing.hash_pin(7, "820461"))


async def test_a_hash_whose_pepper_is_gone_is_never_right(monkeypatch: pytest.MonkeyPatch) -> None:
    use_peppers(monkeypatch, "old " * 8)
    password, pin = await hashing.hash_password("something"), await hashing.hash_pin(7, "820461")
    use_peppers(monkeypatch, "new " * 8)

    assert await hashing.check_password("something", password) == Checked(False)
    assert not await hashing.check_pin(7, "820461", pin)


async def test_a_pin_belongs_to_its_user() -> None:
    stored = await hashing.hash_pin(7, "820461")

    assert await hashing.check_pin(7, "820461", stored)
    assert not await hashing.check_pin(8, "820461", stored)
    assert not await hashing.check_pin(7, "820462", stored)
    assert not await hashing.check_pin(7, "820461", "v1")


async def test_the_waiting_room_is_bounded_and_says_so_at_once() -> None:
    hasher = Hasher(1, waiting_max=2)
    await hasher.open()
    try:
        calls = [asyncio.ensure_future(hasher.run(b"x", SALT)) for _ in range(20)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    finally:
        await hasher.close()

    refused = [answer for answer in answers if isinstance(answer, HasherBusy)]
    done = [answer for answer in answers if isinstance(answer, bytes)]
    assert len(refused) + len(done) == 20
    assert len(done) == 3, "one at work and two waiting"


async def test_a_caller_who_leaves_does_not_disturb_the_next() -> None:
    hasher = Hasher(1)
    await hasher.open()
    try:
        leaving = asyncio.ensure_future(hasher.run(b"first", SALT))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await hasher.run(b"second", SALT) == bcrypt.hashpw(b"second", SALT)
    finally:
        await hasher.close()


async def test_a_killed_hasher_is_replaced() -> None:
    hasher = Hasher(1)
    await hasher.open()
    try:
        [channel] = hasher._channels
        os.kill(channel.process.pid, signal.SIGKILL)
        channel.process.wait()
        with pytest.raises(HasherBusy):
            await hasher.run(b"x", SALT)
        assert await hasher.run(b"x", SALT) == bcrypt.hashpw(b"x", SALT)
    finally:
        await hasher.close()


def niceness(hasher: Hasher) -> tuple[int, int, str]:
    """Of a hasher: its priority, its policy, and what its session is among the others."""
    [channel] = hasher._channels
    pid = channel.process.pid
    session = Path(f"/proc/{pid}/autogroup").read_text()
    return os.getpriority(os.PRIO_PROCESS, pid), os.sched_getscheduler(pid), session


def has_autogroups() -> bool:
    switch = Path("/proc/sys/kernel/sched_autogroup_enabled")
    return switch.exists() and switch.read_text().strip() == "1"


@pytest.mark.skipif(not has_autogroups(), reason="Linux with autogroups only")
async def test_passwords_give_way_to_payments_of_any_session_and_pins_do_not() -> None:
    await hashing.hash_password("each has begun")
    await hashing.hash_pin(7, "820461")

    passwords, pins = niceness(hashing._hashers().passwords), niceness(hashing._hashers().pins)
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert passwords[:2] == (min(ours + hashing.PASSWORD_NICENESS, 19), os.SCHED_IDLE)
    assert passwords[2].endswith(f" nice {hashing.PASSWORD_NICENESS}\n")
    assert pins[:2] == (ours, os.SCHED_OTHER)
    assert pins[2].endswith(" nice 0\n")


async def test_closing_leaves_no_process() -> None:
    hasher = Hasher(2)
    await hasher.open()
    processes = [channel.process for channel in hasher._channels]
    await hasher.close()
    assert all(process.returncode is not None for process in processes)
