"""Paying a merchant: what to ask of the ledger, and how a payment looks to its two parties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from domain import ledger, payments
from domain.ledger import CITY_ACTOR_ID, Instruction, Operation, Receipt
from domain.payments import Paid, State, TopUp
from services import live, merchants
from services.ledger import reading
from services.live import Position
from services.merchants import Merchant
from services.unit_of_work import Snapshot

EXPIRED_AT_ONCE_MAX = 500
_SELECT = (
    "select id, payer_id, payee_id, currency, amount, captured, refund_reserved, refunded, state,"
    " step_states, step_times, expires_at from ledger.payment"
)

# The time is read as a value: by a volatile call in a condition no index could be used.
_OVERDUE = """
select id, payer_id from ledger.payment where state = 1 and expires_at <= (select ledger.now())
 order by expires_at limit $1"""
_PAID = """
select at, -amount as amount, posted_after - amount as before from ledger.posting
 where account_id = $1 and at > (select ledger.now()) - $2::interval
   and operation in (30, 31) and amount < 0 order by at desc limit $3"""
_TOPPED_UP = """
select finished_at, card_id, amount from top_up
 where user_id = $1 and state = 'SUCCEEDED' and finished_at > (select ledger.now()) - $2::interval
 order by created_at desc limit $3"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment and its steps so far; ``payer_id`` and ``payee_id`` are ledger accounts."""

    id: UUID
    payer_id: int
    payee_id: int
    currency: str
    amount_minor: int
    refundable_minor: int
    state: State
    steps: tuple[tuple[State, datetime], ...]
    expires_at: datetime | None
    merchant: Merchant

    @property
    def created_at(self) -> datetime:
        return self.steps[0][1]


def create(
    *,
    actor_id: int,
    payer_account_id: int,
    payee_account_id: int,
    amount_minor: int,
    note: str | None,
    key: str,
) -> Instruction:
    """Pay at once under the no-PIN allowance, else open a payment that waits for its PIN."""
    return ledger.instruct(
        actor_id=actor_id,
        operation=Operation.CREATE_PAYMENT,
        key=key,
        legs=ledger.move(payer_account_id, payee_account_id, amount_minor),
        note=reading.mark_of(note),
        memo=reading.sealed_memo(note, actor_id=actor_id, key=key),
    )


def opened(
    receipt: Receipt,
    *,
    merchant: Merchant,
    payer_account_id: int,
    amount_minor: int,
    open_for: timedelta,
) -> Payment:
    """The payment that a fresh receipt of ``create`` made, without reading it."""
    assert receipt.entry_id is not None
    state = State(receipt.state or 0)
    return Payment(
        id=receipt.entry_id,
        payer_id=payer_account_id,
        payee_id=merchant.account_id,
        currency="CNY",
        amount_minor=amount_minor,
        refundable_minor=amount_minor if state is State.SUCCEEDED else 0,
        state=state,
        steps=((state, receipt.at),),
        expires_at=receipt.at + open_for if state is State.AWAITING_CONFIRMATION else None,
        merchant=merchant,
    )


def confirm(payment: Payment, *, actor_id: int, key: str) -> Instruction:
    """Pay a payment that waits; needs a proof."""
    return ledger.instruct(
        actor_id=actor_id,
        operation=Operation.CONFIRM_PAYMENT,
        key=key,
        legs=ledger.move(payment.payer_id, payment.payee_id, payment.amount_minor),
        subject_id=payment.id,
    )


def cancel(payment: Payment, *, actor_id: int, key: str) -> Instruction:
    """Give up a payment that waits."""
    return ledger.instruct(
        actor_id=actor_id,
        operation=Operation.CANCEL_PAYMENT,
        key=key,
        legs=ledger.touch(payment.payer_id),
        subject_id=payment.id,
    )


async def overdue(read: Snapshot) -> list[Instruction]:
    """What closes payments that nobody confirmed in time; the oldest, at most 500."""
    rows = await read.fetch(_OVERDUE, EXPIRED_AT_ONCE_MAX)
    return [
        ledger.instruct(
            actor_id=CITY_ACTOR_ID,
            operation=Operation.EXPIRE_PAYMENT,
            key=str(row["id"]),
            legs=ledger.touch(row["payer_id"]),
            subject_id=row["id"],
        )
        for row in rows
    ]


async def of_account(
    read: Snapshot, account_id: int, payment_ids: Sequence[UUID]
) -> dict[UUID, Payment]:
    """Those of the payments that the account is payer or payee of: two queries for any number."""
    rows = await read.fetch(
        f"{_SELECT} where id = any($2::uuid[]) and (payer_id = $1 or payee_id = $1)",
        account_id,
        payment_ids,
    )
    shops = await merchants.by_accounts(read, [row["payee_id"] for row in rows])
    return {row["id"]: _payment(row, shops[row["payee_id"]]) for row in rows}


async def newest(read: Snapshot, payment_id: UUID) -> Position:
    """The place of the payment's newest step."""
    epoch = await live.epoch(read)
    number = await read.fetchval(
        "select cardinality(step_states) from ledger.payment where id = $1", payment_id
    )
    return Position(epoch, number)


async def events(
    read: Snapshot, account_id: int, payment_id: UUID, place: Position
) -> list[tuple[Position, Payment]]:
    """The steps behind a place, each with the payment as it stood at that step."""
    payment = (await of_account(read, account_id, [payment_id])).get(payment_id)
    if payment is None:
        return []
    numbers = range(max(place.number, 0) + 1, len(payment.steps) + 1)
    return [(Position(place.epoch, number), as_of(payment, number)) for number in numbers]


def as_of(payment: Payment, step_number: int) -> Payment:
    """The payment as it stood at its step of this number (from 1)."""
    if step_number == len(payment.steps):
        return payment
    steps = payment.steps[:step_number]
    state = steps[-1][0]
    return replace(
        payment,
        state=state,
        steps=steps,
        refundable_minor=payment.amount_minor if state is State.SUCCEEDED else 0,
        expires_at=None,
    )


async def paid_and_topped_up(
    read: Snapshot, *, user_id: int, account_id: int
) -> tuple[list[Paid], list[TopUp]]:
    """What the wallet paid lately, and what cards topped it up with, both oldest first."""
    paid = await read.fetch(_PAID, account_id, payments.HABIT_WINDOW, payments.HISTORY_MAX)
    top_ups = await read.fetch(_TOPPED_UP, user_id, payments.HABIT_WINDOW, payments.HISTORY_MAX)
    return (
        [
            Paid(at=row["at"], amount_minor=row["amount"], balance_before_minor=row["before"])
            for row in reversed(paid)
        ],
        [
            TopUp(at=row["finished_at"], card_id=row["card_id"], amount_minor=row["amount"])
            for row in sorted(top_ups, key=lambda row: row["finished_at"])
        ],
    )


def _payment(row: asyncpg.Record, merchant: Merchant) -> Payment:
    states = tuple(State(state) for state in row["step_states"])
    return Payment(
        id=row["id"],
        payer_id=row["payer_id"],
        payee_id=row["payee_id"],
        currency=row["currency"],
        amount_minor=row["amount"],
        refundable_minor=row["captured"] - row["refund_reserved"] - row["refunded"],
        state=State(row["state"]),
        steps=tuple(zip(states, row["step_times"], strict=True)),
        expires_at=row["expires_at"],
        merchant=merchant,
    )
