"""Guessing: what a stranger can do to somebody whose phone number is all that they know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from domain import refusals
from domain.identity import ANONYMOUS
from infra import hashing
from resolvers import identity, pins
from tests import people as make
from tests.demo.device import DeviceKey

pytestmark = pytest.mark.usefixtures("app")
HOME, AWAY = "192.0.2.7", "203.0.113.9"
KEY = DeviceKey()


async def sign_in(phone: str, password: str = make.PASSWORD, address: str = HOME) -> None:
    """Both steps, when the password is right."""
    challenge = await make.challenged(phone, password=password, address=address)
    await make.complete(challenge, KEY, address=address)


async def guesses(call: Callable[[str], Awaitable[object]]) -> list[type[Exception]]:
    """What ten wrong passwords, one after the other, are answered with."""
    answers = []
    for number in range(10):
        with pytest.raises(refusals.Refusal) as caught:
            await call(f"guess number {number}")
        answers.append(caught.type)
    return answers


async def keep_guessing(phone: str, *, address: str = AWAY) -> None:
    """Until the number is blocked for this address."""
    answers = await guesses(lambda guess: sign_in(phone, guess, address))
    assert answers[:5] == [refusals.WrongCredentials] * 5
    assert answers[-1] is refusals.RateLimited


async def test_whoever_keeps_guessing_does_not_keep_the_owner_out_of_a_known_place(
    superuser: asyncpg.Connection,
) -> None:
    phone = make.phone()
    await make.resident(superuser, phone, key=KEY)
    await sign_in(phone)

    await keep_guessing(phone)

    await sign_in(phone)
    with pytest.raises(refusals.RateLimited):
        await sign_in(phone, address="198.51.100.1")


async def test_the_owners_success_at_home_does_not_free_the_strangers_tries(
    superuser: asyncpg.Connection,
) -> None:
    phone = make.phone()
    await make.resident(superuser, phone, key=KEY)
    await sign_in(phone)
    await keep_guessing(phone)
    await sign_in(phone)

    with pytest.raises(refusals.RateLimited):
        await sign_in(phone, "one more guess", AWAY)


async def test_guessing_from_a_known_place_is_slowed_down_too(
    superuser: asyncpg.Connection,
) -> None:
    phone = make.phone()
    await make.resident(superuser, phone, key=KEY)
    await sign_in(phone)
    await keep_guessing(phone, address=HOME)


async def test_a_stranger_cannot_keep_a_signed_in_owner_from_setting_a_pin(
    superuser: asyncpg.Connection,
) -> None:
    phone = make.phone()
    viewer = await make.resident(superuser, phone, key=KEY)
    await keep_guessing(phone)

    changed = await pins.set_payment_pin(viewer, password=make.PASSWORD, pin=make.PIN, address=HOME)
    assert changed.pin_set


async def test_a_thief_of_a_session_guesses_the_password_slowly_too(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    answers = await guesses(
        lambda guess: pins.set_payment_pin(
            viewer, password=guess, pin=make.PIN, address=f"192.0.2.{guess[-1]}"
        )
    )
    assert answers[0] is refusals.WrongCredentials
    assert answers[-1] is refusals.RateLimited


async def test_registering_while_the_hasher_is_busy_costs_no_try(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = make.phone()
    await make.ask_code(phone)
    verification_id, code = await make.verification_of(superuser, phone)

    def busy(hasher: hashing.Hasher) -> None:
        raise hashing.HasherBusy

    monkeypatch.setattr(hashing.Hasher, "ensure_room", busy)
    with pytest.raises(refusals.Overloaded):
        await identity.register(
            ANONYMOUS,
            name="王小明",
            phone=phone,
            verification_id=verification_id,
            code=code,
            password=make.PASSWORD,
            language="en",
            device=make.described(KEY),
            address=HOME,
            given=make.CONSENTS,
        )
    assert await superuser.fetchval("select tries_left from verification_code") == 5
