"""The one arq job behind all jobs: done rows go, failed ones stay, none stops another."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from infra.queue import Job
from services import outbox
from services.unit_of_work import call_after_commit, unit_of_work
from workers.outbox import Jobs


class Doing:
    """Functions for the jobs, that remember what they were given and fail when told to."""

    def __init__(self) -> None:
        self.done: list[dict[str, Any]] = []
        self.batches: list[list[int]] = []
        self.failing: set[int] = set()
        self.jobs = Jobs({Job.SEND_CODE: self.one}, batches={Job.NOTIFY_POSTINGS: self.many})

    async def one(self, args: dict[str, Any]) -> None:
        if args["number"] in self.failing:
            raise ValueError("of 13800001111")
        self.done.append(args)

    async def many(self, rows: list[Any]) -> None:
        self.batches.append([row["id"] for row in rows])


@pytest.fixture
def doing(app) -> Doing:
    return Doing()


async def asked(
    superuser: asyncpg.Connection,
    count: int,
    *,
    job: Job = Job.SEND_CODE,
    stream: str | None = None,
) -> list[int]:
    async with unit_of_work() as work:
        for number in range(count):
            work.enqueue(job, stream=stream, number=number)
    found = await superuser.fetch(
        "select id from ledger.outbox where job = $1 order by id desc limit $2", job.value, count
    )
    return sorted(row["id"] for row in found)


async def left(superuser: asyncpg.Connection) -> dict[int, tuple[bool, str | None]]:
    found = await superuser.fetch("select id, dead, error from ledger.outbox")
    return {row["id"]: (row["dead"], row["error"]) for row in found}


async def test_done_rows_are_gone_and_doing_them_again_does_nothing(doing, superuser) -> None:
    ids = await asked(superuser, 3)
    await doing.jobs.run(ids)
    await doing.jobs.run(ids)
    assert [args["number"] for args in doing.done] == [0, 1, 2]
    assert await left(superuser) == {}


async def test_a_failing_job_stops_no_other_and_leaves_its_kind_but_not_its_text(
    doing, superuser
) -> None:
    ids = await asked(superuser, 3)
    doing.failing = {1}
    await doing.jobs.run(ids)
    assert [args["number"] for args in doing.done] == [0, 2]
    assert await left(superuser) == {ids[1]: (False, "builtins.ValueError")}
    doing.failing = set()
    await doing.jobs.run(ids)
    assert [args["number"] for args in doing.done] == [0, 2, 1]
    assert await left(superuser) == {}


async def test_a_job_that_this_version_does_not_know_waits_for_one_that_does(
    doing, superuser
) -> None:
    [unknown] = await asked(superuser, 1, job=Job.SETTLE_TOP_UP)
    known = await asked(superuser, 2)
    await doing.jobs.run([unknown, *known])
    assert len(doing.done) == 2
    assert await left(superuser) == {unknown: (False, "builtins.KeyError")}


async def test_after_its_last_attempt_a_row_is_dead_and_is_not_done_any_more(
    doing, superuser
) -> None:
    [row] = await asked(superuser, 1)
    doing.failing = {0}
    await superuser.execute("update ledger.outbox set attempts = $1", outbox.ATTEMPTS_MAX)
    await doing.jobs.run([row])
    assert await left(superuser) == {row: (False, "builtins.ValueError")}  # its first failure
    await doing.jobs.run([row])
    assert await left(superuser) == {row: (True, "builtins.ValueError")}
    doing.failing = set()
    await doing.jobs.run([row])
    assert doing.done == []


async def test_a_batch_job_gets_all_its_rows_at_once(doing, superuser) -> None:
    rows = await asked(superuser, 4, job=Job.NOTIFY_POSTINGS)
    others = await asked(superuser, 2)
    await doing.jobs.run([*rows, *others])
    assert doing.batches == [rows]
    assert len(doing.done) == 2
    assert await left(superuser) == {}


async def test_the_next_row_of_a_stream_is_asked_for_when_one_is_done(doing, superuser) -> None:
    [row] = await asked(superuser, 1, stream="refund:1")
    woken = asyncio.Event()
    forget = call_after_commit(woken.set)
    try:
        await doing.jobs.run([row])
    finally:
        forget()
    assert woken.is_set()


async def test_a_cancelled_job_keeps_its_row_for_another_try(doing, superuser) -> None:
    [row] = await asked(superuser, 1)
    started = asyncio.Event()

    async def for_ever(_: dict[str, Any]) -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(Jobs({Job.SEND_CODE: for_ever}, batches={}).run([row]))
    await started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await left(superuser) == {row: (False, None)}
    await doing.jobs.run([row])
    assert await left(superuser) == {}
