"""Many at once through real lanes of two desks: one effect a key, nothing lost, nothing twice."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from domain import ledger
from domain.ledger import Operation, Outcome
from tests import factories as make
from tests.money import checking
from tests.money.desks import open_desks


@pytest.fixture
async def town(worker: asyncpg.Connection) -> dict[str, int]:
    ann, ben = await make.open_account(worker, 71), await make.open_account(worker, 72)
    shop = await make.open_account(worker, 73, role=2)
    switches = [
        await make.proven(worker, make.allowance(owner, account, 20_000, 10))
        for owner, account in ((71, ann), (72, ben))
    ]
    await make.send(worker, make.top_up(ann, 100_000), make.top_up(ben, 100_000), *switches)
    return {"ann": ann, "ben": ben, "shop": shop}


async def test_200_calls_with_one_key_have_one_effect_and_equal_answers(
    database, worker, town
) -> None:
    pay = make.create_payment(71, town["ann"], town["shop"], 700, key="one")
    async with open_desks(database.api_url, database.worker_url, lanes=2) as desks:
        receipts = await asyncio.gather(*(desks[n % 2].post(pay) for n in range(200)))

    assert {(r.outcome, r.entry_id) for r in receipts} == {(Outcome.POSTED, receipts[0].entry_id)}
    assert sum(not receipt.replayed for receipt in receipts) == 1
    assert await worker.fetchval("select count(*) from ledger.payment") == 1
    assert await worker.fetchval("select posted from ledger.account where owner_id = 73") == 700
    assert (await checking.verified(worker)).faults == []


async def test_one_key_with_different_people_from_two_processes_has_one_effect(
    database, worker, town
) -> None:
    """The accounts' locks don't meet, so the key's own uniqueness has to decide."""
    shops = [await make.open_account(worker, 200 + n, role=2) for n in range(20)]
    sends = [
        make.create_payment(71, town["ann"], shop, 10 + n, key="shared")
        for n, shop in enumerate(shops)
    ] + [ledger.instruct(
        actor_id=71, operation=Operation.CREATE_PAYMENT, key="shared",
        legs=ledger.move(town["ann"], town["shop"], 99),
    )]  # fmt: skip
    tops = [
        ledger.instruct(
            actor_id=0, operation=Operation.TOP_UP, key="bank-1",
            legs=ledger.move(ledger.BANK_CLEARING_ID, town[who], 5),
        )
        for who in ("ann", "ben")
    ]  # fmt: skip
    async with open_desks(database.worker_url, database.worker_url, lanes=2) as desks:
        asked = (sends + tops) * 3
        receipts = await asyncio.gather(*(desks[n % 2].post(i) for n, i in enumerate(asked)))

    outcomes = [receipt.outcome for receipt in receipts]
    assert set(outcomes) == {Outcome.POSTED, Outcome.KEY_REUSED}
    assert outcomes.count(Outcome.POSTED) == 6  # each winner is asked three times
    assert (
        await worker.fetchval("select count(*) from ledger.instruction where key = 'shared'") == 1
    )
    assert (
        await worker.fetchval("select count(*) from ledger.instruction where key = 'bank-1'") == 1
    )
    assert (await checking.verified(worker)).faults == []


async def test_confirm_cancel_and_expiry_race_and_one_wins(database, worker, town) -> None:
    async with open_desks(database.worker_url, database.worker_url) as desks:
        for round_number in range(20):
            [opened] = await make.send(
                worker, make.create_payment(71, town["ann"], town["shop"], 20_001)
            )

            def about(operation, legs, number=round_number, subject=opened.entry_id):
                return ledger.instruct(
                    actor_id=71, operation=operation, key=f"{operation}-{number}", legs=legs,
                    subject_id=subject,
                )  # fmt: skip

            legs = ledger.move(town["ann"], town["shop"], 20_001)
            confirm = await make.proven(worker, about(Operation.CONFIRM_PAYMENT, legs))
            cancel = about(Operation.CANCEL_PAYMENT, ledger.touch(town["ann"]))
            receipts = await asyncio.gather(desks[0].post(confirm), desks[1].post(cancel))
            outcomes = [receipt.outcome for receipt in receipts]
            assert outcomes.count(Outcome.WRONG_STATE) + outcomes.count(
                Outcome.INSUFFICIENT_FUNDS
            ) == 1, outcomes  # fmt: skip
    assert (await checking.verified(worker)).faults == []


async def test_an_account_is_never_overdrawn_by_a_hundred_at_once(database, worker, town) -> None:
    ned = await make.open_account(worker, 74)
    await make.send(
        worker, make.top_up(ned, 550), await make.proven(worker, make.allowance(74, ned, 100, 10))
    )
    pays = [make.create_payment(74, ned, town["shop"], 100) for _ in range(100)]
    async with open_desks(database.api_url, database.worker_url, lanes=2) as desks:
        receipts = await asyncio.gather(*(desks[n % 2].post(pay) for n, pay in enumerate(pays)))

    paid = [receipt for receipt in receipts if receipt.state == 2]
    assert len(paid) == 5
    assert {r.outcome for r in receipts if r.state is None} == {Outcome.INSUFFICIENT_FUNDS}
    assert (await checking.verified(worker)).faults == []


async def test_no_debit_follows_a_freeze_among_a_hundred_payments(database, worker, town) -> None:
    pays = [make.create_payment(71, town["ann"], town["shop"], 1) for _ in range(100)]
    freeze = ledger.instruct(
        actor_id=0, operation=Operation.FREEZE, key="f", legs=ledger.touch(town["ann"])
    )
    async with open_desks(database.api_url, database.worker_url, lanes=2) as desks:
        asked = [*pays[:50], freeze, *pays[50:]]
        await asyncio.gather(*(desks[n % 2].post(i) for n, i in enumerate(asked)))

    late = await worker.fetchval(
        "select count(*) from ledger.posting p join ledger.posting f using (account_id)"
        " where f.operation = 50 and p.seq > f.seq and p.amount < 0"
    )
    assert late == 0
    assert (await checking.verified(worker)).faults == []
