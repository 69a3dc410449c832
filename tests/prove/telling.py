"""The way of news in a round: outbox → relay → arq → notices, as the worker runs it."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import asyncpg
from arq import Worker
from arq.connections import ArqRedis
from arq.worker import func
from redis.exceptions import RedisError

from infra import database as db
from infra import queue
from infra.queue import Job
from tests.money.checking import CLOCK
from workers import notices
from workers.outbox import Jobs
from workers.relay import Relay

_ROUNDS_MAX = 60


async def _leave(args: dict[str, Any]) -> None:
    """Refunds are decided by the clients of the round, and no gateway runs to send by."""


_JOBS = Jobs(
    {Job.REVIEW_REFUND: _leave, Job.SEND_NOTICE: _leave},
    batches={Job.NOTIFY_POSTINGS: notices.notify_postings},
)


async def _run_outbox(_ctx: dict[str, Any], ids: list[int]) -> None:
    await _JOBS.run(ids)


class Teller:
    """A relay and an arq worker on the round's database; Valkey may be wiped at any moment."""

    def __init__(self, url: str, redis_url: str) -> None:
        self._url = url
        self._redis_url = redis_url
        self._relay: Relay | None = None
        self._pool: ArqRedis | None = None
        self._task: asyncio.Task[None] | None = None
        self._working = True

    async def __aenter__(self) -> Teller:
        await db.open_database(self._url, pool_size=6)
        self._pool = await queue.open_pool(self._redis_url)
        await self._pool.flushall()
        self._relay = Relay(self._pool)
        self._relay.start()
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        assert self._relay is not None
        assert self._pool is not None
        self._working = False
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._relay.stop()
        await self._pool.aclose()
        await db.close_database()

    def wake(self) -> None:
        assert self._relay is not None
        self._relay.wake()

    async def _work(self) -> None:
        while self._working:  # arq swallows a cancellation now and then
            with contextlib.suppress(RedisError, OSError, asyncpg.PostgresError):
                await self._burst()
            await asyncio.sleep(0.02)

    async def _burst(self) -> None:
        worker = Worker(
            functions=[func(_run_outbox, name="run_outbox")],
            redis_pool=self._pool,
            queue_name=queue.QUEUE,
            job_serializer=queue.encode,
            job_deserializer=queue.decode,
            burst=True,
            handle_signals=False,
            poll_delay=0.02,
            keep_result=0,
        )
        await worker.async_run()

    async def tell_all(self, connection: asyncpg.Connection) -> None:
        """Leases run out by the clock that only tests can move; then the outbox empties."""
        for _ in range(_ROUNDS_MAX):
            left = await connection.fetchval("select count(*) from ledger.outbox where not dead")
            if not left:
                return
            self.wake()
            for _ in range(20):
                await asyncio.sleep(0.02)
                if not await connection.fetchval(
                    "select count(*) from ledger.outbox where not dead"
                ):
                    return
            await connection.execute(CLOCK, timedelta(minutes=20))
        raise AssertionError(f"{left} outbox rows were never done")
