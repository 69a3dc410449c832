"""From the outbox to arq: right after a commit, and again for what a crash left behind."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import structlog
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from domain.refusals import Overloaded
from infra.queue import Job
from services import outbox
from services.unit_of_work import unit_of_work

log = structlog.get_logger()
_TOGETHER = {
    Job.NOTIFY_POSTINGS.value,
    Job.SEND_NOTICE.value,
}  # rows of these jobs are handled as one
_PAUSE_SECONDS = 0.05  # commits meanwhile share the next round


class Relay:
    """Hands claimed outbox rows to arq by id. ``wake`` is cheap and may be called from anywhere."""

    def __init__(self, pool: ArqRedis) -> None:
        self._pool = pool
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        # redis may swallow a cancellation while it connects: so the loop looks at this too.
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        self._wake.set()

    async def _run(self) -> None:
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            try:
                while await self.once():
                    pass
            except (OSError, RedisError, Overloaded) as error:
                log.warning("relay_delayed", error=type(error).__name__)
            except Exception:
                log.exception("relay_failed")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def once(self, *, limit: int = 200) -> bool:
        """Hand over what is due; True if there may be more. What arq did not get comes again."""
        async with unit_of_work() as work:
            rows = await outbox.claim(work, limit=limit)
        groups: defaultdict[str, list[int]] = defaultdict(list)
        for row in rows:
            together = row["job"] in _TOGETHER and row["attempts"] == 1
            groups[row["job"] if together else str(row["id"])].append(row["id"])
        attempts = {row["id"]: row["attempts"] for row in rows}
        untaken = dict(attempts)
        try:
            for ids in groups.values():
                # arq refuses an id that it still knows, so the attempt is part of it.
                name = f"outbox:{ids[0]}:{attempts[ids[0]]}"
                await self._pool.enqueue_job("run_outbox", ids, _job_id=name)
                for row_id in ids:
                    del untaken[row_id]
        except (OSError, RedisError):
            async with unit_of_work() as work:
                await outbox.release(work, list(untaken))
            raise
        return len(rows) == limit
