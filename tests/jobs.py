"""Doing what the outbox asks for, as a worker does, until nothing is left."""

from __future__ import annotations

from typing import Any

import workers
from infra.queue import Job
from services.unit_of_work import snapshot

ROUNDS_MAX = 20


async def waiting(*, outside: bool = True) -> list[Any]:
    """The outbox rows; without ``outside`` not those that need a gateway to send a notice."""
    async with snapshot() as read:
        return await read.fetch(
            "select id, job, error from ledger.outbox where $1 or job <> $2 order by id",
            outside,
            Job.SEND_NOTICE.value,
        )


async def work_off(*, outside: bool = False) -> None:
    """Do all jobs and what follows from them; a job that fails fails the test."""
    for _ in range(ROUNDS_MAX):
        rows = await waiting(outside=outside)
        if not rows:
            return
        await workers.jobs.run([row["id"] for row in rows])
        assert [row["error"] for row in await waiting(outside=outside) if row["error"]] == []
    raise AssertionError("the outbox does not run dry")
