"""Doing what the outbox asks for, as a worker does, until nothing is left."""

from __future__ import annotations

from typing import Any

import workers
from services.unit_of_work import snapshot

ROUNDS_MAX = 20


async def waiting() -> list[Any]:
    """The outbox rows."""
    async with snapshot() as read:
        return await read.fetch("select id, job, error from ledger.outbox order by id")


async def work_off() -> None:
    """Do all jobs and what follows from them; a job that fails fails the test."""
    for _ in range(ROUNDS_MAX):
        rows = await waiting()
        if not rows:
            return
        await workers.jobs.run([row["id"] for row in rows])
        assert [row["error"] for row in await waiting() if row["error"]] == []
    raise AssertionError("the outbox does not run dry")
