"""kill -9 and worse, on the real processes: nothing is lost, nothing happens twice.

Each fault is staged at a named point, and each test prints how often it was hit and fails at zero.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import httpx
import pytest
from redis.asyncio import Redis

from infra import children, queue, running
from tests.demo import __main__ as demo
from tests.demo.stage import key
from tests.e2e.survivors import Town, close_code, until

ROUNDS = 2
_COMMITTED = "select exists (select from ledger.instruction where key = $1)"


_BURST = "update risk_rule set enabled = $1 where code = 'PAYMENT_BURST'"


@pytest.fixture(scope="module")
async def town(stack: running.Running) -> AsyncIterator[Town]:
    made = Town(stack, demo.world_of(stack.env))
    await made.open()
    async with made.superuser() as connection:  # few people pay very often here
        await connection.execute(_BURST, False)
    yield made
    async with made.superuser() as connection:
        await connection.execute(_BURST, True)
    await made.close()


async def _die_between_commit_and_publish(town: Town, the_key: str) -> bool:
    """Stop the API while PostgreSQL works on its batch, let that commit, and kill the API."""
    api = town.stack.processes["api"].pid
    payer = town.next_payer()
    async with town.locked("ledger.account"):
        call = asyncio.create_task(town.try_to_pay(payer, the_key))
        await until(lambda: _waits(town, "wallet_api"), "the batch waits for a lock")
        os.kill(api, signal.SIGSTOP)
    async with town.superuser() as connection:
        for _ in range(100):
            committed = await connection.fetchval(_COMMITTED, the_key)
            if committed:
                break
            await asyncio.sleep(0.01)
    if not committed:  # the lock was too long for the batch: it will come again
        os.kill(api, signal.SIGCONT)
        await call
        return False
    town.stack.kill("api")
    with pytest.raises(httpx.HTTPError):
        await call
    town.stack.restart("api")
    await town.pay(the_key, payer=payer)
    return True


async def _waits(town: Town, login: str) -> bool:
    return await town.waiting(login=login) > 0


async def test_an_api_killed_between_commit_and_publish(town: Town) -> None:
    hits, keys = 0, []
    cuts = town.transactions.cuts
    for _ in range(10 * ROUNDS):
        keys.append(key())
        hits += await _die_between_commit_and_publish(town, keys[-1])
        await town.settled(keys)
        await town.seen(keys)
        if hits == ROUNDS:
            break
    print(f"killed between commit and publish: {hits}")
    assert hits == ROUNDS
    assert town.transactions.cuts >= cuts + ROUNDS


async def test_a_worker_killed_in_the_middle_of_its_jobs(town: Town) -> None:
    keys: list[str] = []
    async with town.locked("notice_stream"):
        await asyncio.gather(*(town.pay_often(1, keys) for _ in range(8)))
        await until(lambda: _waits(town, "wallet_worker"), "a job is under way")
        hits = await town.waiting(login="wallet_worker")
        town.stack.kill("worker")
    await town.pay_often(2, keys)
    town.stack.restart("worker")
    await town.end_leases()
    await town.settled(keys)
    await town.seen(keys)
    print(f"jobs killed half-way: {hits}")
    assert hits > 0


async def test_valkey_flushed_with_jobs_and_hints_in_it(town: Town) -> None:
    person, code = await town.applicant()
    cuts = town.transactions.cuts
    keys: list[str] = []
    worker = town.stack.processes["worker"].pid
    redis = Redis.from_url(town.stack.redis_url)
    os.kill(worker, signal.SIGSTOP)
    try:
        await asyncio.gather(*(town.pay_often(1, keys) for _ in range(8)))
        await town.register(person, code)
        await until(lambda: _all_handed_over(town), "the relay has handed all rows to arq")
        hits = await redis.zcard(queue.QUEUE)
        await redis.flushall()
    finally:
        os.kill(worker, signal.SIGCONT)
    await town.end_leases()
    await town.settled(keys)
    await town.seen(keys)
    await town.reviewed(person)
    await redis.aclose()
    print(f"jobs flushed: {hits}")
    assert hits > 0
    assert town.transactions.cuts == cuts


async def _all_handed_over(town: Town) -> bool:
    async with town.superuser() as connection:
        return not await connection.fetchval(
            "select exists (select from ledger.outbox where attempts = 0)"
        )


async def test_valkey_killed_while_payments_flow(town: Town) -> None:
    person, code = await town.applicant()
    cuts = town.transactions.cuts
    keys: list[str] = []
    await town.pay_often(4, keys)
    town.stack.kill("valkey")
    await town.ready(503)
    await town.pay_often(8, keys)
    await town.register(person, code)
    hits = len(keys) - 4
    town.stack.restart("valkey")
    await town.ready(200)
    await town.pay_often(2, keys)
    await town.end_leases()
    await town.settled(keys)
    await town.seen(keys)
    await town.reviewed(person)
    print(f"payments while Valkey was away: {hits}")
    assert hits > 0
    assert town.transactions.cuts == cuts


async def test_postgresql_killed_while_payments_flow(town: Town) -> None:
    keys: list[str] = []
    town.hits.clear()
    flow = [asyncio.create_task(town.pay_often(4, keys)) for _ in range(5)]
    await until(lambda: _grown(keys, 3), "payments flow")
    town.stack.kill("postgres")
    await town.ready(503)
    await until(lambda: _grown(town.hits, 1), "a call without an answer")
    await asyncio.to_thread(town.stack.restart, "postgres")
    await town.ready(200)
    await asyncio.gather(*flow)
    await town.end_leases()
    await town.settled(keys)
    await town.seen(keys)
    hits = town.hits["calls without an answer"]
    print(f"calls that PostgreSQL's end left without an answer: {hits}")
    assert hits > 0
    assert len(keys) == 20


async def _grown(counted: object, least: int) -> bool:
    return len(counted) >= least  # type: ignore[arg-type]


async def test_a_terminated_api_answers_what_it_accepted_and_tells_sockets_to_come_back(
    town: Town,
) -> None:
    asked = [(town.next_payer(), key()) for _ in range(8)]
    api = town.stack.processes["api"]
    async with town.payers[0].client.live() as live:
        async with town.locked("ledger.account"):
            calls = [asyncio.create_task(town.try_to_pay(payer, k)) for payer, k in asked]
            await until(lambda: _waits(town, "wallet_api"), "the batch waits for a lock")
            api.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(close_code(live), 10) == 1012
        answers = await asyncio.gather(*calls, return_exceptions=True)
    await asyncio.to_thread(api.wait, 20)
    answered = [answer for answer in answers if isinstance(answer, dict)]
    assert all(town.stage.success(answer) for answer in answered)
    await asyncio.to_thread(town.stack.restart, "api")
    keys = [await town.pay(k, payer=payer) for payer, k in asked]
    await town.settled(keys)
    await town.seen(keys)
    print(f"answered after SIGTERM: {len(answered)} of {len(asked)}")
    assert answered


async def test_after_all_that_every_figure_of_the_database_is_right(town: Town) -> None:
    verified = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.ledger.verification"],
        cwd=children.CHECKOUT,
        env=town.stack.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout
