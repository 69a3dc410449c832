"""The one arq job behind all jobs: it looks its outbox rows up and calls each job's function.

At least once: a row whose function ends well is deleted, any other comes again after its lease.
So every function is idempotent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import structlog

from infra.queue import Job
from services import outbox
from services.unit_of_work import snapshot, unit_of_work

log = structlog.get_logger()
JobFunction = Callable[[dict[str, Any]], Awaitable[None]]
BatchFunction = Callable[[list[Any]], Awaitable[None]]


class Jobs:
    """Which function does which job; ``batches`` get all rows at once, others one row's args."""

    def __init__(
        self, functions: Mapping[Job, JobFunction], batches: Mapping[Job, BatchFunction]
    ) -> None:
        self.functions = {job.value: function for job, function in functions.items()}
        self.batches = {job.value: function for job, function in batches.items()}

    async def run(self, ids: list[int]) -> None:
        """Do what is left of these rows, each job by itself: one failure stops no other."""
        async with snapshot() as read:
            rows = await outbox.load(read, ids)
        groups: defaultdict[str, list[Any]] = defaultdict(list)
        for row in rows:
            groups[row["job"]].append(row)
        for job, group in groups.items():
            if job in self.batches:
                await self._attempt(job, group, self.batches[job](group))
                continue
            for row in group:
                await self._attempt(job, [row], self._one(row))

    async def _one(self, row: Any) -> None:
        """A job that this version does not know fails like any other, and comes again."""
        await self.functions[row["job"]](msgspec.json.decode(row["args"]))

    async def _attempt(self, job: str, rows: list[Any], work_to_do: Awaitable[None]) -> None:
        try:
            await work_to_do
        except Exception as error:
            log.exception("job_failed", job=job, rows=[row["id"] for row in rows])
            async with unit_of_work() as work:
                for row in rows:
                    name = f"{type(error).__module__}.{type(error).__qualname__}"
                    await outbox.failed(work, row["id"], name, row["attempts"])
        else:
            async with unit_of_work() as work:
                await outbox.done(work, [row["id"] for row in rows])
                if any(row["stream"] for row in rows):
                    work.wake_relay()  # the stream's next row is due
