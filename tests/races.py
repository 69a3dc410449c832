"""Races that a test stages with a few and `make prove` with a thousand."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from domain import refusals
from domain.identity import CodePurpose
from services.identity import codes
from services.unit_of_work import unit_of_work
from tests import people


async def at_once(count: int, call: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """``count`` calls let go together; their answers, or what they raised."""
    barrier = asyncio.Barrier(count)

    async def one(number: int) -> Any:
        await barrier.wait()
        return await call(number)

    return await asyncio.gather(*(one(n) for n in range(count)), return_exceptions=True)


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

    answers = await at_once(count, use)
    wrong = [answer for answer in answers if isinstance(answer, BaseException)]
    if wrong:
        raise wrong[0]
    return Counter(answers)
