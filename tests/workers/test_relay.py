"""From the outbox to arq: order within a stream, leases, outages of Valkey, several relays."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from infra import queue
from infra.queue import Job
from services import outbox
from services.unit_of_work import call_after_commit, unit_of_work
from tests.people import pass_time
from workers.relay import Relay

NOWHERE = "unix:///nowhere/valkey.sock"


@pytest.fixture
async def pool(servers, app) -> AsyncIterator[ArqRedis]:
    pool = await queue.open_pool(servers.redis_url)
    await pool.flushall()
    yield pool
    await pool.flushall()
    await pool.aclose()


async def asked(count: int, *, stream: str | None = None, job: Job = Job.SEND_CODE) -> None:
    async with unit_of_work() as work:
        for number in range(count):
            work.enqueue(job, stream=stream, number=number)


async def handed(pool: ArqRedis) -> dict[str, list[int]]:
    """What arq holds: its id of each job, and the rows of it."""
    return {
        str(job.job_id): list(job.args[0]) for job in await pool.queued_jobs(queue_name=queue.QUEUE)
    }


async def rows(superuser: asyncpg.Connection) -> dict[int, int]:
    """The attempts of each row that waits."""
    found = await superuser.fetch("select id, attempts from ledger.outbox where not dead")
    return {row["id"]: row["attempts"] for row in found}


async def finish(*row_ids: int) -> None:
    async with unit_of_work() as work:
        await outbox.done(work, list(row_ids))


async def test_of_a_stream_one_row_at_a_time_is_handed_over_in_the_order_asked(
    pool, superuser
) -> None:
    await asked(3, stream="refund:1")
    await asked(2)
    relay = Relay(pool)
    first, second, third, *free = sorted(await rows(superuser))
    await relay.once()
    assert sorted(ids[0] for ids in (await handed(pool)).values()) == [first, *free]
    for done, following in ((first, second), (second, third)):
        await relay.once()
        assert [following] not in (await handed(pool)).values()
        await finish(done)
        await relay.once()
        assert [following] in (await handed(pool)).values()


async def test_a_claimed_row_is_left_alone_for_its_lease_and_comes_again_under_a_new_name(
    pool, superuser
) -> None:
    await asked(1)
    [row] = await rows(superuser)
    relay = Relay(pool)
    for _ in range(3):
        await relay.once()
    assert await handed(pool) == {f"outbox:{row}:1": [row]}
    await pass_time(superuser, int(outbox.LEASE.total_seconds()) + 1)
    await relay.once()
    assert set(await handed(pool)) == {f"outbox:{row}:1", f"outbox:{row}:2"}
    await pass_time(superuser, int(outbox.LEASE.total_seconds()) + 1)
    await relay.once()
    assert await rows(superuser) == {row: 2}  # the second lease is twice as long


async def test_an_outage_of_valkey_uses_up_no_attempt(pool, superuser) -> None:
    await asked(3)
    away = Relay(await queue.open_pool(NOWHERE))  # nothing to close: it never connects
    hits = 0
    for _ in range(2 * outbox.ATTEMPTS_MAX):
        with pytest.raises((RedisError, OSError)):
            await away.once()
        hits += 1
        await pass_time(superuser, 3)
    print(f"handing over failed: {hits}")
    assert set((await rows(superuser)).values()) == {0}
    await Relay(pool).once()
    assert set((await rows(superuser)).values()) == {1}
    assert len(await handed(pool)) == 3


async def test_a_dead_row_is_kept_and_does_not_block_its_stream(pool, superuser) -> None:
    await asked(2, stream="refund:1")
    first, second = sorted(await rows(superuser))
    relay = Relay(pool)
    for attempt in range(1, outbox.ATTEMPTS_MAX + 1):
        await relay.once()
        assert (await rows(superuser))[first] == attempt
        async with unit_of_work() as work:
            await outbox.failed(work, first, "builtins.ValueError", attempt)
        await superuser.execute("update ledger.outbox set due_at = ledger.now()")
    assert await rows(superuser) == {second: 0}
    assert await superuser.fetchval("select dead from ledger.outbox where id = $1", first)
    await relay.once()
    assert [second] in (await handed(pool)).values()


async def test_relays_of_many_processes_never_hand_a_row_twice_within_its_lease(
    pool, servers, superuser
) -> None:
    streams = 20
    await asked(200)
    for number in range(streams):
        await asked(3, stream=f"refund:{number}")
    other = await queue.open_pool(servers.redis_url)
    relays = [Relay(pool), Relay(other), Relay(other), Relay(pool)]
    for _ in range(20):
        await asyncio.gather(*(relay.once(limit=7) for relay in relays))
    claimed = Counter(row for ids in (await handed(pool)).values() for row in ids)
    await other.aclose()
    print(f"rows handed over: {len(claimed)}")
    assert set(claimed.values()) == {1}
    assert len(claimed) == 200 + streams
    assert set((await rows(superuser)).values()) == {0, 1}


async def test_rows_about_postings_are_handed_over_together_and_by_themselves_the_second_time(
    pool, superuser
) -> None:
    await asked(5, job=Job.NOTIFY_POSTINGS)
    relay = Relay(pool)
    await relay.once()
    assert [len(ids) for ids in (await handed(pool)).values()] == [5]
    await pool.flushall()
    await pass_time(superuser, int(outbox.LEASE.total_seconds()) + 1)
    await relay.once()
    assert [len(ids) for ids in (await handed(pool)).values()] == [1] * 5


async def test_a_commit_wakes_the_relay_and_it_survives_an_outage(pool, superuser) -> None:
    relay = Relay(await queue.open_pool(NOWHERE))
    relay.start()
    forget = call_after_commit(relay.wake)
    try:
        await asked(1)
        async with asyncio.timeout(10):
            released = "select due_at > ledger.now() and attempts = 0 from ledger.outbox"
            while not await superuser.fetchval(released):  # noqa: ASYNC110 - it is in SQL
                await asyncio.sleep(0.01)
        relay._pool = pool  # Valkey is back
        await pass_time(superuser, 3)
        await asked(1)
        async with asyncio.timeout(10):
            while len(await handed(pool)) < 2:  # noqa: ASYNC110 - it is in Valkey
                await asyncio.sleep(0.01)
    finally:
        forget()
        await asyncio.wait_for(relay.stop(), 10)
