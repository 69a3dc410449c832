"""What the posting function answers, instruction by instruction."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from domain import ledger
from domain.ledger import Operation, Outcome
from tests import factories as make


@pytest.fixture
async def shop(worker: asyncpg.Connection) -> dict[str, int]:
    """A resident with 100.00 and a merchant."""
    resident = await make.open_account(worker, 11)
    merchant = await make.open_account(worker, 22, role=2)
    [receipt] = await make.send(worker, make.top_up(resident, 10_000))
    assert receipt.outcome is Outcome.POSTED
    return {"resident": resident, "merchant": merchant}


async def balance(connection: asyncpg.Connection, account: int) -> int:
    return await connection.fetchval("select posted from ledger.account where id = $1", account)


async def test_a_payment_without_allowance_waits_for_its_confirmation(worker, shop) -> None:
    [opened] = await make.send(
        worker, make.create_payment(11, shop["resident"], shop["merchant"], 2_500)
    )

    assert (opened.outcome, opened.state) == (Outcome.POSTED, 1)
    assert await balance(worker, shop["resident"]) == 10_000

    confirm = ledger.instruct(
        actor_id=11,
        operation=Operation.CONFIRM_PAYMENT,
        key="confirm-1",
        legs=ledger.move(shop["resident"], shop["merchant"], 2_500),
        subject_id=opened.entry_id,
    )
    [unproven] = await make.send(worker, make.instruction_with(confirm, key="unproven"))
    [paid] = await make.send(worker, await make.proven(worker, confirm))
    [again] = await make.send(worker, await make.proven(worker, confirm))

    assert unproven.outcome is Outcome.PROOF_REQUIRED
    assert (paid.outcome, paid.state, paid.replayed) == (Outcome.POSTED, 2, False)
    assert (again.outcome, again.replayed, again.entry_id) == (Outcome.POSTED, True, paid.entry_id)
    assert await balance(worker, shop["resident"]) == 7_500
    assert await balance(worker, shop["merchant"]) == 2_500


async def test_the_allowance_pays_at_once_until_it_is_used_up(worker, shop) -> None:
    switch = make.allowance(11, shop["resident"], 1_000, 2)
    [switched] = await make.send(worker, await make.proven(worker, switch))
    assert switched.outcome is Outcome.POSTED

    receipts = await make.send(
        worker,
        *(make.create_payment(11, shop["resident"], shop["merchant"], 500) for _ in range(3)),
        make.create_payment(11, shop["resident"], shop["merchant"], 1_001),
    )

    assert [receipt.state for receipt in receipts] == [2, 2, 1, 1]
    assert await balance(worker, shop["merchant"]) == 1_000


async def test_a_key_answers_once_and_another_input_is_refused(worker, shop) -> None:
    pay = make.create_payment(11, shop["resident"], shop["merchant"], 100, key="once")
    other = make.create_payment(11, shop["resident"], shop["merchant"], 101, key="once")

    [first] = await make.send(worker, pay)
    second, third = await make.send(worker, pay, other)

    assert second.replayed
    assert second.entry_id == first.entry_id
    assert third.outcome is Outcome.KEY_REUSED


async def test_refund_is_reserved_decided_by_another_and_credited(worker, shop) -> None:
    switch = make.allowance(11, shop["resident"], 10_000, 10)
    await make.send(worker, await make.proven(worker, switch))
    [paid] = await make.send(
        worker, make.create_payment(11, shop["resident"], shop["merchant"], 3_000)
    )
    ask = ledger.instruct(
        actor_id=11,
        operation=Operation.REQUEST_REFUND,
        key="ask",
        legs=ledger.touch(shop["resident"]),
        subject_id=paid.entry_id,
        detail={"amount": 3_000},
    )
    [asked] = await make.send(worker, ask)
    [second_ask] = await make.send(worker, make.instruction_with(ask, key="ask-2"))
    approve = ledger.instruct(
        actor_id=22,
        operation=Operation.APPROVE_REFUND,
        key="approve",
        legs=ledger.move(shop["merchant"], shop["resident"], 3_000),
        subject_id=paid.entry_id,
        related_id=asked.entry_id,
    )
    [by_merchant] = await make.send(worker, approve)
    [by_finance] = await make.send(worker, make.instruction_with(approve, actor_id=33))
    [by_other] = await make.send(worker, make.instruction_with(approve, actor_id=34))

    assert (asked.outcome, asked.state) == (Outcome.POSTED, 5)
    assert second_ask.outcome is Outcome.WRONG_STATE
    assert by_merchant.outcome is Outcome.REVIEWER_IS_PARTY
    assert (by_finance.outcome, by_finance.state) == (Outcome.POSTED, 6)
    assert by_other.outcome is Outcome.WRONG_STATE
    assert await balance(worker, shop["resident"]) == 10_000


async def test_a_frozen_account_pays_nothing_and_receives(worker, shop) -> None:
    freeze = ledger.instruct(
        actor_id=0,
        operation=Operation.FREEZE,
        key="freeze",
        legs=ledger.touch(shop["resident"]),
        detail={"rule": "TEST"},
    )
    [frozen] = await make.send(worker, freeze)
    switch = make.allowance(11, shop["resident"], 10_000, 10)
    _, paid, topped_up = await make.send(
        worker,
        await make.proven(worker, switch),
        make.create_payment(11, shop["resident"], shop["merchant"], 100),
        make.top_up(shop["resident"], 100),
    )

    assert frozen.outcome is Outcome.POSTED
    assert paid.outcome is Outcome.ACCOUNT_FROZEN
    assert topped_up.outcome is Outcome.POSTED


async def test_lifting_a_freeze_does_not_lift_a_newer_one(worker, shop) -> None:
    def ask(operation: Operation, key: str, related_id=None) -> ledger.Instruction:
        return ledger.instruct(
            actor_id=33,
            operation=operation,
            key=key,
            legs=ledger.touch(shop["resident"]),
            related_id=related_id,
        )

    [first] = await make.send(worker, ask(Operation.FREEZE, "first"))
    [lifted] = await make.send(worker, ask(Operation.UNFREEZE, "lift", first.entry_id))
    [second] = await make.send(worker, ask(Operation.FREEZE, "second"))
    [late] = await make.send(worker, ask(Operation.UNFREEZE, "late", first.entry_id))
    [right] = await make.send(worker, ask(Operation.UNFREEZE, "right", second.entry_id))

    assert [one.outcome for one in (first, lifted, second, right)] == [Outcome.POSTED] * 4
    assert late.outcome is Outcome.WRONG_STATE


async def test_numbers_in_python_and_sql_agree(worker) -> None:
    rows = await worker.fetch("select id, name from ledger.operation")

    assert {row["id"]: row["name"] for row in rows} == {o.value: o.name for o in Operation}


def freeze_own(owner: int, account: int, level: str = "DEBIT_BLOCK") -> ledger.Instruction:
    return ledger.instruct(
        actor_id=owner,
        operation=Operation.FREEZE_OWN,
        key=make.key(),
        legs=ledger.touch(account),
        detail={"level": level},
    )


async def status(connection: asyncpg.Connection, account: int) -> tuple[int, bool]:
    row = await connection.fetchrow(
        "select status, frozen_by_owner from ledger.account where id = $1", account
    )
    assert row is not None
    return tuple(row)


async def test_an_owner_freezes_at_once_and_lifts_it_with_proof_only(worker, shop) -> None:
    resident = shop["resident"]
    [frozen] = await make.send(worker, freeze_own(11, resident))
    [payment] = await make.send(worker, make.create_payment(11, resident, shop["merchant"], 100))
    lift = ledger.instruct(
        actor_id=11, operation=Operation.UNFREEZE_OWN, key="lift", legs=ledger.touch(resident)
    )
    [unproven] = await make.send(worker, make.instruction_with(lift, key="no proof"))
    assert await status(worker, resident) == (2, True)
    [lifted] = await make.send(worker, await make.proven(worker, lift))

    assert frozen.outcome is lifted.outcome is Outcome.POSTED
    assert payment.outcome is Outcome.ACCOUNT_FROZEN
    assert unproven.outcome is Outcome.PROOF_REQUIRED
    assert await status(worker, resident) == (1, False)


async def test_what_the_city_froze_its_owner_does_not_lift(worker, shop) -> None:
    resident = shop["resident"]
    by_city = ledger.instruct(
        actor_id=0, operation=Operation.FREEZE, key=make.key(), legs=ledger.touch(resident)
    )
    lift = ledger.instruct(
        actor_id=11, operation=Operation.UNFREEZE_OWN, key="lift", legs=ledger.touch(resident)
    )
    [own, taken_over] = await make.send(worker, freeze_own(11, resident, "FULL"), by_city)
    [refused] = await make.send(worker, await make.proven(worker, lift))

    assert own.outcome is taken_over.outcome is Outcome.POSTED
    assert refused.outcome is Outcome.ACCOUNT_FROZEN
    assert await status(worker, resident) == (3, False)


async def test_a_wallet_frozen_in_full_gets_nothing_but_what_the_bank_has_taken(
    worker, shop
) -> None:
    resident = shop["resident"]
    await make.send(worker, freeze_own(22, shop["merchant"], "FULL"))
    await make.send(worker, freeze_own(11, resident, "FULL"))
    other = await make.open_account(worker, 33)
    await make.send(worker, make.top_up(other, 1_000))

    [paid] = await make.send(worker, make.create_payment(33, other, shop["merchant"], 100))
    [bank] = await make.send(worker, make.top_up(resident, 500))

    assert paid.outcome is Outcome.PAYEE_UNAVAILABLE
    assert bank.outcome is Outcome.POSTED
    assert await balance(worker, other) == 1_000
    assert await balance(worker, resident) == 10_500


async def test_caution_lets_little_out_until_it_ends_and_is_never_loosened(
    worker, superuser, shop
) -> None:
    resident = shop["resident"]
    await make.send(worker, await make.proven(worker, make.allowance(11, resident, 5_000, 9)))

    def careful(seconds: int, day_max: int) -> ledger.Instruction:
        return ledger.instruct(
            actor_id=0,
            operation=Operation.SET_CAUTION,
            key=make.key(),
            legs=ledger.touch(resident),
            detail={"seconds": seconds, "day_max": day_max},
        )

    async def pay(amount: int) -> Outcome:
        order = make.create_payment(11, resident, shop["merchant"], amount)
        [receipt] = await make.send(worker, order)
        return receipt.outcome

    await make.send(worker, careful(86_400, 1_000), careful(60, 9_000))
    assert await pay(1_001) is Outcome.DAILY_LIMIT_EXCEEDED
    assert await pay(1_000) is Outcome.POSTED
    assert await pay(1) is Outcome.DAILY_LIMIT_EXCEEDED
    await superuser.execute("update ledger.clock_offset set value = value + interval '25 hours'")
    assert await pay(2_000) is Outcome.POSTED

    [forged] = await make.send(worker, make.instruction_with(careful(60, 1), actor_id=11))
    assert forged.outcome is Outcome.NOT_PERMITTED


def close(account: int) -> ledger.Instruction:
    return ledger.instruct(
        actor_id=0, operation=Operation.CLOSE_WALLET, key=make.key(), legs=ledger.touch(account)
    )


async def test_an_empty_account_closes_for_good_and_takes_nothing_any_more(worker, shop) -> None:
    leaver = await make.open_account(worker, 44)
    [closed] = await make.send(worker, close(leaver))

    freeze = ledger.instruct(
        actor_id=0, operation=Operation.FREEZE, key=make.key(), legs=ledger.touch(leaver)
    )
    send = ledger.instruct(
        actor_id=11,
        operation=Operation.TRANSFER,
        key=make.key(),
        legs=ledger.move(shop["resident"], leaver, 5),
    )
    refused = await make.send(
        worker,
        close(leaver),
        make.top_up(leaver, 5),
        await make.proven(worker, send),
        freeze,
        await make.proven(worker, make.allowance(44, leaver, 100, 1)),
    )

    assert closed.outcome is Outcome.POSTED
    assert await status(worker, leaver) == (4, False)
    assert [receipt.outcome for receipt in refused] == [
        Outcome.WRONG_STATE,
        Outcome.PAYEE_UNAVAILABLE,
        Outcome.PAYEE_UNAVAILABLE,
        Outcome.WRONG_STATE,
        Outcome.ACCOUNT_FROZEN,
    ]
    assert await balance(worker, leaver) == 0
    assert await balance(worker, shop["resident"]) == 10_000


async def test_an_account_with_money_a_freeze_or_an_open_refund_stays_open(worker, shop) -> None:
    payer = await make.open_account(worker, 44)
    allow = await make.proven(worker, make.allowance(44, payer, 5_000, 5))
    _, _, paid = await make.send(
        worker,
        make.top_up(payer, 500),
        allow,
        make.create_payment(44, payer, shop["merchant"], 500),
    )
    ask_back = ledger.instruct(
        actor_id=44,
        operation=Operation.REQUEST_REFUND,
        key=make.key(),
        legs=ledger.touch(payer),
        subject_id=paid.entry_id,
        detail={"amount": 500},
    )
    asked, waiting, rich = await make.send(worker, ask_back, close(payer), close(shop["resident"]))
    frozen_one = await make.open_account(worker, 45)
    _, frozen = await make.send(worker, freeze_own(45, frozen_one), close(frozen_one))
    [shop_closed] = await make.send(worker, close(shop["merchant"]))

    assert (paid.outcome, asked.outcome) == (Outcome.POSTED, Outcome.POSTED)
    assert waiting.outcome is rich.outcome is Outcome.NOT_EMPTY
    assert frozen.outcome is Outcome.ACCOUNT_FROZEN
    assert shop_closed.outcome is Outcome.NOT_PERMITTED
    for account in (payer, shop["resident"], shop["merchant"]):
        assert (await status(worker, account))[0] == 1


async def test_money_and_a_closing_at_once_end_one_way_or_the_other(
    worker, api, database, shop
) -> None:
    """Either the money comes first and nothing is closed, or it is refused and stays."""
    ends = set()
    other = await asyncpg.connect(database.worker_url)
    for number in range(20):
        leaver = await make.open_account(worker, 6_000 + number)
        send = ledger.instruct(
            actor_id=11,
            operation=Operation.TRANSFER,
            key=make.key(),
            legs=ledger.move(shop["resident"], leaver, 5),
        )
        proven = await make.proven(worker, send)
        first, second = (make.send(api, proven), make.send(other, close(leaver)))
        if number % 2:
            [closed], [sent] = await asyncio.gather(second, first)
        else:
            [sent], [closed] = await asyncio.gather(first, second)
        end = (sent.outcome, closed.outcome, (await status(worker, leaver))[0])
        ends.add(end)
        assert await balance(worker, leaver) == (5 if sent.outcome is Outcome.POSTED else 0)
    await other.close()

    assert ends <= {
        (Outcome.POSTED, Outcome.NOT_EMPTY, 1),
        (Outcome.PAYEE_UNAVAILABLE, Outcome.POSTED, 4),
    }


async def test_the_api_closes_no_account(worker, api) -> None:
    leaver = await make.open_account(worker, 44)

    [refused] = await make.send(api, close(leaver))

    assert refused.outcome is Outcome.NOT_PERMITTED
    assert await status(worker, leaver) == (1, False)
