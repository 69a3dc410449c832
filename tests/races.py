"""Races that a test stages with a few and `make prove` with a thousand."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import structlog

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


async def patiently(call: Callable[[], Awaitable[Any]]) -> Any:
    """What it answers; OVERLOADED (no connection became free) is asked again, as a client would."""
    while True:
        try:
            return await call()
        except refusals.Overloaded:
            await asyncio.sleep(random.uniform(0.05, 0.5))


async def counted(
    count: int, call: Callable[[int], Awaitable[Any]], *, done: str = "done"
) -> Counter[str]:
    """How often each answer came to ``count`` calls at once: ``done``, or the code of a refusal."""

    async def one(number: int) -> str:
        try:
            await patiently(lambda: call(number))
        except refusals.Refusal as refusal:
            return refusal.code
        return done

    with structlog.testing.capture_logs():  # each OVERLOADED is logged with all its frames
        return Counter(_answered(await at_once(count, one)))


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

    Answers are ``used`` and codes of refusals.
    """
    phone = people.phone()
    await people.ask_code(phone)
    verification_id, code = await people.verification_of(superuser, phone)

    async def use(_: int) -> None:
        async with unit_of_work() as work:
            tried = await codes.spend_try(
                work,
                phone=phone,
                purpose=CodePurpose.REGISTER,
                verification_id=verification_id,
                code=code,
            )
        if tried.refusal is not None:
            raise tried.refusal
        assert tried.code_id is not None
        async with unit_of_work() as work:
            await codes.use(work, tried.code_id)

    return await counted(count, use, done="used")


async def refreshes_of_one_token(
    superuser: asyncpg.Connection, *, count: int
) -> set[Issued | None]:
    """Refresh one token ``count`` times at once, by its own device; the different answers."""
    key = DeviceKey()
    token = (await people.registered(superuser, people.phone(), key=key)).session.refresh_token
    signature = key.refresh_signature(token)

    async def refresh() -> Issued | None:
        async with unit_of_work() as work:
            return await sessions.refresh(work, token, signature=signature, address="")

    return set(_answered(await at_once(count, lambda _: patiently(refresh))))


async def answers_to_one_challenge(superuser: asyncpg.Connection, *, count: int) -> Counter[str]:
    """Answer one login challenge ``count`` times at once, rightly; how often each answer came.

    Answers are ``signed in`` and codes of refusals.
    """
    key, phone = DeviceKey(), people.phone()
    await people.registered(superuser, phone, key=key)
    challenge = await people.challenged(phone)

    return await counted(count, lambda _: people.complete(challenge, key), done="signed in")


def _answered(answers: list[Any]) -> list[Any]:
    """The answers, if none is an exception."""
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers
