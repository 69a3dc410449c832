"""When the outbox gives a job up."""

from __future__ import annotations

import asyncpg
import pytest

from infra.queue import Job
from services import outbox
from services.unit_of_work import unit_of_work
from workers.outbox import Jobs

pytestmark = pytest.mark.usefixtures("app")


async def refuse(_args: dict[str, object]) -> None:
    raise OSError


async def claimed(superuser: asyncpg.Connection, times: int) -> int:
    """A row that was handed over again and again while no worker was there."""
    async with unit_of_work() as work:
        work.enqueue(Job.SETTLE_TOP_UP, top_up_id="x")
    for _ in range(times):
        await superuser.execute("update ledger.outbox set due_at = ledger.now()")
        async with unit_of_work() as work:
            [row] = await outbox.claim(work)
    return row["id"]


async def test_a_job_that_waited_long_for_a_worker_is_not_given_up_at_its_first_failure(
    superuser: asyncpg.Connection,
) -> None:
    row_id = await claimed(superuser, 20)
    jobs = Jobs({Job.SETTLE_TOP_UP: refuse}, batches={})

    await jobs.run([row_id])
    first = await superuser.fetchrow("select dead, error from ledger.outbox")
    await jobs.run([row_id])
    second = await superuser.fetchrow("select dead, error from ledger.outbox")

    assert tuple(first) == (False, "builtins.OSError")
    assert tuple(second) == (True, "builtins.OSError")
