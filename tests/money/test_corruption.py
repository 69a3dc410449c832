"""What a superuser breaks behind the triggers' back, verification names by code, account, entry."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from domain import ledger
from domain.ledger import Operation, Outcome
from services.ledger import verification
from services.ledger import verification_checks as checks
from services.unit_of_work import Snapshot
from tests import factories as make
from tests.money import checking

ANN, BEN, SHOP, FINANCE = 71, 72, 73, 900_001


@dataclass
class Town:
    """Accounts by name, and the entries that the corruptions are about."""

    ann: int
    ben: int
    shop: int
    paid: UUID
    refund: UUID
    under_review: UUID
    opened: UUID
    sent: UUID
    allowed: UUID


async def settle(worker: asyncpg.Connection) -> Town:
    """Every kind of movement once, with Ben frozen and one refund still open."""
    ann, ben = await make.open_account(worker, ANN), await make.open_account(worker, BEN)
    shop = await make.open_account(worker, SHOP, role=2)
    allow = await make.proven(worker, make.allowance(ANN, ann, 5_000, 5))
    _, allowed = await _post(worker, make.top_up(ann, 90_000), allow)
    paid, under_review, opened = await _post(
        worker, *(make.create_payment(ANN, ann, shop, amount) for amount in (3_000, 1_000, 60_000))
    )
    asks = [
        _instruct(ANN, Operation.REQUEST_REFUND, ledger.touch(ann), subject, amount=amount)
        for subject, amount in ((paid, 3_000), (under_review, 1_000))
    ]
    refund, _ = await _post(worker, *asks)
    approve = _instruct(
        FINANCE, Operation.APPROVE_REFUND, ledger.move(shop, ann, 3_000), paid, related=refund
    )
    transfer = _instruct(ANN, Operation.TRANSFER, ledger.move(ann, ben, 7_000))
    freeze = _instruct(0, Operation.FREEZE, ledger.touch(ben))
    _, sent, _ = await _post(worker, approve, await make.proven(worker, transfer), freeze)
    return Town(ann, ben, shop, paid, refund, under_review, opened, sent, allowed)


def _instruct(actor, operation, legs, subject=None, *, related=None, amount=None):
    return ledger.instruct(
        actor_id=actor, operation=operation, key=make.key(), legs=legs, subject_id=subject,
        related_id=related, detail=None if amount is None else {"amount": amount},
    )  # fmt: skip


async def _post(worker: asyncpg.Connection, *instructions: ledger.Instruction) -> list[UUID]:
    receipts = await make.send(worker, *instructions)
    assert [receipt.outcome for receipt in receipts] == [Outcome.POSTED] * len(instructions)
    return [receipt.entry_id for receipt in receipts if receipt.entry_id]


CORRUPTIONS = [
    ("BALANCE_MISMATCH", "ann", None, "update ledger.account set posted = posted + 1 where id ="
     " {ann}"),
    ("SEQUENCE_HEAD", "ann", None, "update ledger.account set seq = seq + 1 where id = {ann}"),
    ("HELD_MISMATCH", "ann", None, "update ledger.account set held = 5 where id = {ann}"),
    ("NEGATIVE_BALANCE", "ben", None,
     "alter table ledger.account drop constraint account_floor;"
     "update ledger.account set posted = -1 where id = {ben}"),
    ("POSTING_WITHOUT_ACCOUNT", "ben", None, "delete from ledger.account where id = {ben}"),
    ("RUNNING_BALANCE_BROKEN", "ann", "paid",
     "update ledger.posting set posted_after = posted_after + 5 where entry_id = '{paid}' and"
     " amount < 0"),
    ("SEQUENCE_GAP", "ben", None, "update ledger.posting set seq = 9 where account_id = {ben}"
     " and seq = 2"),
    ("TIME_RUNS_BACK", "ann", "sent",
     "update ledger.posting set at = at - interval '3 hours' where entry_id = '{sent}' and"
     " account_id = {ann}"),
    ("ENTRY_NOT_ZERO", None, "sent",
     "update ledger.posting set amount = amount + 1 where entry_id = '{sent}' and account_id ="
     " {ben}"),
    ("CURRENCY_MIXED", "shop", "paid",
     "update ledger.posting set currency = 'USD' where entry_id = '{paid}' and amount > 0"),
    ("ENTRY_WITHOUT_INSTRUCTION", None, "sent", "delete from ledger.instruction where id ="
     " '{sent}'"),
    ("ENTRY_WITHOUT_INSTRUCTION", None, "sent",
     "update ledger.instruction set outcome = 1 where id = '{sent}'"),
    ("INSTRUCTION_WITHOUT_ENTRY", None, "sent", "delete from ledger.posting where entry_id ="
     " '{sent}'"),
    ("INSTRUCTION_WITHOUT_ENTRY", None, "opened", "delete from ledger.payment where id ="
     " '{opened}'"),
    ("INSTRUCTION_TWICE", None, "paid",
     "insert into ledger.instruction(actor_id, operation, key, id, input_hash, outcome, at)"
     " select 5, operation, 'again', id, input_hash, outcome, at from ledger.instruction where"
     " id = '{paid}'"),
    ("OUTCOME_INVALID", None, "sent", "update ledger.instruction set outcome = 99 where id ="
     " '{sent}'"),
    ("PAYMENT_CAPTURED_MISMATCH", "ann", "paid",
     "update ledger.payment set amount = 9000, captured = 9000 where id = '{paid}'"),
    ("REFUNDABLE_MISMATCH", "ann", "paid", "update ledger.payment set refunded = 0 where id ="
     " '{paid}'"),
    ("REFUNDABLE_MISMATCH", "ann", "under_review",
     "update ledger.refund set amount = 999 where payment_id = '{under_review}'"),
    ("PAYMENT_STEPS_BROKEN", "ann", "opened",
     "update ledger.payment set state = 6, step_states = '{{1,6}}', step_times = step_times ||"
     " step_times"
     " where id = '{opened}'"),
    ("PAYMENT_STEPS_BROKEN", "ann", "opened",
     "update ledger.payment set step_times = array[step_times[1] + interval '1 day'],"
     " expires_at = null"
     " where id = '{opened}'"),
    ("REFUND_SAME_PERSON", "ann", "refund",
     "alter table ledger.refund drop constraint refund_second_person;"
     "update ledger.refund set decider_id = payee_owner_id where id = '{refund}'"),
    ("DAY_COUNTER_WRONG", "ann", None, "update ledger.account set day_out = 0 where id = {ann}"),
    ("DAY_COUNTER_WRONG", "ann", None, "update ledger.account set day_free_count = 0 where id ="
     " {ann}"),
    ("PROOF_MISSING", None, "sent", "update ledger.instruction set proof_id = null where id ="
     " '{sent}'"),
    ("PROOF_USED_TWICE", None, "paid",
     "drop index ledger.instruction_proof; update ledger.instruction set proof_id ="
     " (select proof_id from ledger.instruction where id = '{sent}') where id = '{paid}'"),
    ("STATUS_MISMATCH", "ben", None, "update ledger.account set status = 1 where id = {ben}"),
    ("DEBIT_WHILE_FROZEN", "ann", "sent",
     "update ledger.posting set operation = 50 where entry_id = '{allowed}'"),
    ("STATUS_MISMATCH", "ben", None, "update ledger.account set frozen_by_owner = true where"
     " id = {ben}"),
    ("MOVED_AFTER_CLOSING", "ann", "sent",
     "update ledger.posting set operation = 70 where entry_id = '{allowed}'"),
    ("CAUTION_MISMATCH", "ann", None, "update ledger.account set caution_until = 'infinity'"
     " where id = {ann}"),
    ("ALLOWANCE_MISMATCH", "ann", "allowed", "update ledger.account set free_max = 9999 where"
     " id = {ann}"),
    ("OUTBOX_DEAD", None, None, "update ledger.outbox set dead = true"),
    ("OUTBOX_OVERDUE", None, None, "update ledger.outbox set due_at = due_at - interval '1 hour'"),
    ("NOTICE_MISSING", "ben", "sent", "delete from ledger.outbox"),
    ("PARTITIONS_RUNNING_OUT", None, None,
     "do $$ begin execute 'drop table ledger.posting_' ||"
     " to_char(ledger.now() at time zone 'utc' + interval '2 months', 'YYYY_MM'); end $$"),
]  # fmt: skip


async def test_a_healthy_town_has_no_fault_and_says_what_was_looked_at(worker) -> None:
    await settle(worker)

    report = await checking.verified(worker)

    assert (report.faults, report.warnings, report.truncated) == ([], [], False)
    assert report.counts["postings"] == 14
    assert report.counts["refunds"] == 2
    assert len(report.checked) == 16


async def test_every_corruption_is_named_by_code_account_and_entry(worker, superuser) -> None:
    """Each is made and looked at in a transaction of its own, which is then rolled back."""
    town = await settle(worker)
    unnamed = []
    for code, account, entry, sql in CORRUPTIONS:
        attempt = superuser.transaction(isolation="repeatable_read")
        await attempt.start()
        await superuser.execute("set local session_replication_role = replica")
        await superuser.execute(sql.format(**town.__dict__))
        report = await verification.verify(Snapshot(superuser))
        await attempt.rollback()
        found = [f for f in report.faults + report.warnings if f.code == code]
        named = bool(found) and report.ok == (code == "OUTBOX_OVERDUE")
        if account is not None:
            named &= getattr(town, account) in {fault.account_id for fault in found}
        if entry is not None:
            named &= getattr(town, entry) in {fault.entry_id for fault in found}
        if not named:
            unnamed.append((code, sql, [str(fault) for fault in report.faults]))

    assert unnamed == []
    assert len({code for code, *_ in CORRUPTIONS}) >= 25
    assert {code for check in checks.CHECKS for code in check.codes} == {c[0] for c in CORRUPTIONS}


async def test_findings_are_bounded_and_said_to_be(worker, superuser) -> None:
    await settle(worker)
    await superuser.execute("update ledger.account set posted = posted + 1")

    async with worker.transaction(isolation="repeatable_read"):
        report = await verification.verify(Snapshot(worker), findings_max=2)

    assert report.truncated
    assert [f.code for f in report.faults] == ["BALANCE_MISMATCH"] * 2
