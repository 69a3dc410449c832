"""Races that a test stages with a few and `make prove` with a thousand."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from domain import refusals
from domain.identity import CodePurpose
from services.identity import codes, sessions
from services.identity.sessions import Issued
from services.unit_of_work import unit_of_work
from tests import people
from tests.demo.device import DeviceKey


async def at_once(count: int, call: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """``count`` calls let go together; their answers, or what they raised."""
    barrier = asyncio.Barrier(count)

    async def one(number: int) -> Any:
        await barrier.wait()
        return await call(number)

    return await asyncio.gather(*(one(n) for n in range(count)), return_exceptions=True)


async def blocked(superuser: asyncpg.Connection) -> None:
    """Until somebody waits for a lock in this database."""
    async with asyncio.timeout(10):
        while not await superuser.fetchval(  # noqa: ASYNC110 - PostgreSQL sets no event
            "select exists (select from pg_stat_activity where datname = current_database()"
            " and wait_event_type = 'Lock')"
        ):
            await asyncio.sleep(0.01)


async def uses_of_one_code(superuser: asyncpg.Connection, *, count: int) -> Counter[str]:
    """Use one right code ``count`` times at once; how often each answer came.

    Answers are ``used`` and codes of refusals. OVERLOADED (no connection became free) is asked
    again, as a client would, so it is never among them.
    """
    phone = people.phone()
    await people.ask_code(phone)
    verification_id, code = await people.verification_of(superuser, phone)

    async def use(number: int) -> str:
        try:
            async with unit_of_work() as work:
                tried = await codes.spend_try(
                    work,
                    phone=phone,
                    purpose=CodePurpose.REGISTER,
                    verification_id=verification_id,
                    code=code,
                )
            if tried.refusal is not None:
                return tried.refusal.code
            assert tried.code_id is not None
            async with unit_of_work() as work:
                await codes.use(work, tried.code_id)
        except refusals.Overloaded:
            return await use(number)
        except refusals.Refusal as refusal:
            return refusal.code
        return "used"

    return Counter(_answered(await at_once(count, use)))


async def refreshes_of_one_token(
    superuser: asyncpg.Connection, *, count: int
) -> set[Issued | None]:
    """Refresh one token ``count`` times at once, by its own device; the different answers.

    OVERLOADED is asked again, as a client would.
    """
    key = DeviceKey()
    token = (await people.registered(superuser, people.phone(), key=key)).session.refresh_token
    signature = key.refresh_signature(token)

    async def refresh(number: int) -> Issued | None:
        try:
            async with unit_of_work() as work:
                return await sessions.refresh(work, token, signature=signature, address="")
        except refusals.Overloaded:
            return await refresh(number)

    return set(_answered(await at_once(count, refresh)))


async def answers_to_one_challenge(superuser: asyncpg.Connection, *, count: int) -> Counter[str]:
    """Answer one login challenge ``count`` times at once, rightly; how often each answer came.

    Answers are ``signed in`` and codes of refusals, OVERLOADED not among them.
    """
    key, phone = DeviceKey(), people.phone()
    await people.registered(superuser, phone, key=key)
    challenge = await people.challenged(phone)

    async def answer(number: int) -> str:
        try:
            await people.complete(challenge, key)
        except refusals.Overloaded:
            return await answer(number)
        except refusals.Refusal as refusal:
            return refusal.code
        return "signed in"

    return Counter(_answered(await at_once(count, answer)))


def _answered(answers: list[Any]) -> list[Any]:
    """The answers, if none is an exception."""
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers
