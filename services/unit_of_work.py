"""A Snapshot reads; a UnitOfWork also writes and enqueues. Services take one, open none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
import structlog

from domain.refusals import Overloaded
from infra import database, hints
from infra.queue import Job

log = structlog.get_logger()


class Snapshot:
    """A connection to read with: one connection, READ COMMITTED unless asked otherwise."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        return await self.connection.fetch(sql, *values)

    async def fetchrow(self, sql: str, *values: Any) -> asyncpg.Record | None:
        return await self.connection.fetchrow(sql, *values)

    async def fetchval(self, sql: str, *values: Any) -> Any:
        return await self.connection.fetchval(sql, *values)


class UnitOfWork(Snapshot):
    """One transaction. What it announces and enqueues waits for its commit, in the outbox."""

    def __init__(self, connection: asyncpg.Connection, now: datetime) -> None:
        super().__init__(connection)
        self.now = now
        self._jobs: list[tuple[str | None, str, str]] = []
        self._hints: list[str] = []
        self.posted = False
        self._relays = False

    async def execute(self, sql: str, *values: Any) -> str:
        return await self.connection.execute(sql, *values)

    def enqueue(self, job: Job, *, stream: str | None = None, **args: Any) -> None:
        """Have a job done after the commit; jobs of one stream are done in the order asked."""
        self._jobs.append((stream, job.value, msgspec.json.encode(args).decode()))

    def wake_relay(self) -> None:
        """Have the outbox looked at after the commit, though nothing is enqueued by ``enqueue``."""
        self._relays = True

    def announce(self, topic: str) -> None:
        """Wake whoever watches a topic, after the commit. May be lost: the data is in tables."""
        self._hints.append(topic)

    def announce_all(self, topics: list[str]) -> None:
        self._hints.extend(topics)

    async def _flush(self) -> None:
        if self._jobs:
            await self.connection.executemany(
                "insert into ledger.outbox(stream, job, args) values ($1, $2, $3)", self._jobs
            )

    def _committed(self) -> None:
        if self._jobs or self._relays:
            for wake in _after_commit:
                wake()
        hints.publish(self._hints)


_after_commit: list[Callable[[], None]] = []


def call_after_commit(wake: Callable[[], None]) -> Callable[[], None]:
    """Have ``wake`` called whenever jobs were committed; the answer undoes that."""
    _after_commit.append(wake)
    return lambda: _after_commit.remove(wake)


@asynccontextmanager
async def snapshot(*, consistent: bool = False) -> AsyncIterator[Snapshot]:
    """A connection for reading; ``consistent`` reads all of one instant (REPEATABLE READ).

    Raises Overloaded when PostgreSQL can't be asked or the link to it is lost (after a lost commit
    nobody knows: repeating must be safe), or no connection becomes free; so does ``unit_of_work``.
    """
    isolation = "repeatable_read" if consistent else None
    async with _session(
        transaction=consistent, isolation=isolation, readonly=consistent
    ) as connection:
        yield Snapshot(connection)


@asynccontextmanager
async def unit_of_work() -> AsyncIterator[UnitOfWork]:
    """One transaction; commits when the block ends well, else nothing happened."""
    async with _session(transaction=True) as connection:
        now: Any = await connection.fetchval("select ledger.now()")
        work = UnitOfWork(connection, now)
        yield work
        await work._flush()
    work._committed()


@asynccontextmanager
async def _session(**how: Any) -> AsyncIterator[asyncpg.Connection]:
    try:
        async with database.session(**how) as connection:
            yield connection
    except Exception as error:
        if not database.unreachable(error):
            raise
        log.warning("database_unreachable", exc_info=error)
        raise Overloaded from None
