"""Desks for tests: as many processes' worth of lanes as asked for, on one database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg

from services.ledger.desk import Desk

LANES = (
    "select pid from pg_stat_activity where application_name = 'wallet lane'"
    " and datname = current_database()"
)
_PATIENCE_SECONDS = 20


def _nothing() -> None:
    """No relay listens."""


@asynccontextmanager
async def open_desks(
    *urls: str, lanes: int = 1, relay: Callable[[], None] = _nothing
) -> AsyncIterator[list[Desk]]:
    async with AsyncExitStack() as stack:
        desks = []
        for url in urls:
            desk = Desk(url, lanes=lanes, queue_max=4096, relay=relay)
            desk.start()
            stack.push_async_callback(desk.stop)
            desks.append(desk)
        yield desks


async def lane_pids(superuser: asyncpg.Connection) -> list[int]:
    """The backends of all lanes of this database."""
    return [row["pid"] for row in await superuser.fetch(LANES)]


async def kill(superuser: asyncpg.Connection, pids: list[int]) -> int:
    """Terminate backends and wait until they are gone; how many there were."""
    hit = 0
    for pid in pids:
        hit += await superuser.fetchval("select pg_terminate_backend($1, 5000)", pid)
    return hit


async def until(superuser: asyncpg.Connection, question: str, *values: object) -> None:
    """Ask PostgreSQL until the answer is true."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not await superuser.fetchval(question, *values):  # noqa: ASYNC110 - it is in SQL
            await asyncio.sleep(0.002)
