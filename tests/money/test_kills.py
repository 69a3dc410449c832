"""A backend killed at each point of a batch's life: on retry exactly one effect."""

from __future__ import annotations

import asyncio
from collections import Counter

import asyncpg
import pytest

from domain.ledger import Instruction, Outcome, Receipt
from services.ledger.desk import Desk
from tests import factories as make
from tests.money import checking
from tests.money.desks import kill, lane_pids, open_desks, until
from tests.money.proxy import Proxy

ROUNDS = 5
COMMITTED = "select exists (select from ledger.instruction where key = $1)"
WAITING = (
    "select exists (select from pg_stat_activity where application_name = 'wallet lane'"
    " and datname = current_database() and wait_event_type = 'Lock')"
)


@pytest.fixture
async def town(worker: asyncpg.Connection) -> dict[str, int]:
    ann, shop = await make.open_account(worker, 71), await make.open_account(worker, 73, role=2)
    switch = await make.proven(worker, make.allowance(71, ann, 20_000, 10))
    await make.send(worker, make.top_up(ann, 100_000), switch)
    return {"ann": ann, "shop": shop}


def pays(town: dict[str, int], count: int = 3) -> list[Instruction]:
    return [make.create_payment(71, town["ann"], town["shop"], 1) for _ in range(count)]


async def one_effect_each(
    worker: asyncpg.Connection, asked: list[Instruction], receipts: list[Receipt]
) -> None:
    """Everybody was answered POSTED, with the one entry that the key has."""
    for instruction, receipt in zip(asked, receipts, strict=True):
        assert receipt.outcome is Outcome.POSTED
        rows = await worker.fetch(
            "select id from ledger.instruction where key = $1", instruction.key
        )
        assert [row["id"] for row in rows] == [receipt.entry_id]
    report = await checking.verified(worker)
    assert report.faults == []


async def test_a_backend_killed_before_the_batch_is_sent(database, worker, superuser, town) -> None:
    hits = Counter()
    async with open_desks(database.api_url) as [desk]:
        await desk.post(pays(town, 1)[0])
        for _ in range(ROUNDS):
            hits["before"] += await kill(superuser, await lane_pids(superuser))
            asked = pays(town)
            receipts = await asyncio.gather(*map(desk.post, asked))
            await one_effect_each(worker, asked, receipts)
    print(f"killed before the batch was sent: {hits['before']}")
    assert hits["before"] == ROUNDS


async def test_a_backend_killed_while_the_batch_executes(database, worker, superuser, town) -> None:
    hits = 0
    async with open_desks(database.api_url) as [desk]:
        for _ in range(ROUNDS):
            holder = await asyncpg.connect(database.superuser_url)
            lock = holder.transaction()
            await lock.start()
            await holder.execute("select from ledger.account where id = $1 for update", town["ann"])
            asked = pays(town)
            answers = asyncio.gather(*map(desk.post, asked))
            await until(superuser, WAITING)
            hits += await kill(superuser, await lane_pids(superuser))
            await lock.rollback()
            await holder.close()
            await one_effect_each(worker, asked, await answers)
        assert desk.lanes.resends >= ROUNDS
    print(f"killed while executing: {hits}")
    assert hits == ROUNDS


@pytest.mark.parametrize("how", ["hang up", "kill"])
async def test_the_link_is_lost_after_the_commit_but_before_the_answer(
    database, worker, superuser, town, how: str
) -> None:
    hits = swallowed = 0
    async with Proxy(database.api_url) as proxy, open_desks(proxy.url) as [desk]:
        await desk.post(pays(town, 1)[0])
        for _ in range(ROUNDS):
            asked = pays(town)
            proxy.swallowing = True
            answers = asyncio.gather(*map(desk.post, asked))
            for instruction in asked:
                await until(superuser, COMMITTED, instruction.key)
            async with asyncio.timeout(10):
                while proxy.swallowed == swallowed:  # noqa: ASYNC110 - the answer is on its way
                    await asyncio.sleep(0.001)
            swallowed, hits = proxy.swallowed, hits + 1
            if how == "kill":
                await kill(superuser, await lane_pids(superuser))
            proxy.cut()
            receipts = await answers
            assert all(receipt.replayed for receipt in receipts)
            await one_effect_each(worker, asked, receipts)
    print(f"answers lost after the commit ({how}): {hits}")
    assert hits == ROUNDS


class Dying(Desk):
    """A desk whose process ends between the commit and what follows it."""

    died = 0

    def _committed(self, instructions: list[Instruction], receipts: list[Receipt]) -> None:
        self.died += 1


async def test_what_committed_before_its_process_died_is_in_the_outbox(
    database, worker, town
) -> None:
    """Nobody published a hint or woke the relay, yet every posting waits to be told."""
    desk = Dying(database.api_url, lanes=1, queue_max=10, relay=pytest.fail)
    desk.start()
    asked = pays(town)
    for instruction in asked:
        await desk.post(instruction)
    await desk.stop()
    untold = await worker.fetchval(
        "select count(*) from ledger.posting p join ledger.instruction i on i.id = p.entry_id"
        " where i.key = any($1::text[]) and not exists (select from ledger.outbox o"
        "  cross join lateral unnest(o.accounts, o.seqs) as u(account, seq)"
        "  where u.account = p.account_id and u.seq = p.seq)",
        [instruction.key for instruction in asked],
    )

    print(f"died between commit and publish: {desk.died}")
    assert desk.died == len(asked)
    assert untold == 0
    assert (await checking.verified(worker)).faults == []
