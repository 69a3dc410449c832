"""The parts of a copy about money: the wallet, its history, and all that was asked of it."""

from __future__ import annotations

from uuid import UUID

from domain.ledger import AccountStatus, Operation, Outcome
from domain.payments import State
from domain.refunds import State as RefundState
from services import counterparties, refunds, transfers
from services.exports import pages
from services.exports.pages import Dicts, Owner, Rows, yuan
from services.ledger import reading
from services.unit_of_work import Snapshot


async def _opened_wallet(read: Snapshot, owner: Owner, rows: Rows) -> Dicts:
    return [
        {
            "id": row["id"],
            "currency": row["currency"],
            "status": AccountStatus(row["status"]).name,
            "frozen_by_owner": row["frozen_by_owner"],
            "balance": yuan(row["posted"]),
            "held": yuan(row["held"]),
            "daily_limit": yuan(row["day_max"]),
            "allowance_amount_max": yuan(row["free_max"]),
            "allowance_daily_count_max": row["free_count_max"],
            "opened_at": row["opened_at"],
        }
        for row in rows
    ]


wallet = pages.table(
    "select id, currency, status, frozen_by_owner, posted, held, day_max, free_max,"
    " free_count_max, opened_at from ledger.account where id = $1",
    whose=pages.wallet_of,
    key=(("id", "bigint"),),
    opened=_opened_wallet,
)

cards = pages.table(
    "select id, bank_name, last4, linked_at, removed_at, holder_checked from bank_card"
    " where user_id = $1",
    key=pages.by_time("linked_at"),
)

shop = pages.table(
    "select id, name, category, status, created_at from merchant where user_id = $1",
    key=pages.BY_ID,
)

lookups = pages.table(
    "select key, hour, count from recipient_lookup where key = any($1::text[])",
    whose=lambda owner: transfers.lookup_keys(owner.user_id),
    key=(("key", "text"),),
)


async def _with_amounts(read: Snapshot, owner: Owner, rows: Rows) -> Dicts:
    return [dict(row) | {"amount": yuan(row["amount"])} for row in rows]


top_ups = pages.table(
    "select id, card_id, amount, currency, state, failure_code, created_at, finished_at"
    " from top_up where user_id = $1",
    key=pages.by_time("created_at"),
    opened=_with_amounts,
)


async def _opened_transactions(read: Snapshot, owner: Owner, rows: Rows) -> Dicts:
    others = [row["counterparty_id"] for row in rows if row["counterparty_id"] is not None]
    parties = await counterparties.of_accounts(read, others)
    memos = await reading.memos(read, [row["entry_id"] for row in rows])
    found = []
    for row in rows:
        party = parties.get(row["counterparty_id"])
        found.append(
            {
                "at": row["at"],
                "number": row["seq"],
                "kind": Operation(row["operation"]).name,
                "amount": yuan(row["amount"]),
                "currency": row["currency"],
                "balance_after": yuan(row["posted_after"]),
                "with": None if party is None else party.kind,
                "with_name": None if party is None else party.name,
                "memo": memos.get(row["entry_id"]),
                "payment": row["subject_id"],
            }
        )
    return found


transactions = pages.table(
    "select at, seq, entry_id, operation, currency, amount, posted_after,"
    " counterparty_id, subject_id from ledger.posting where account_id = $1",
    whose=pages.wallet_of,
    key=(("at", "timestamptz"), ("seq", "bigint")),
    opened=_opened_transactions,
)

_PAYMENTS = """
select i.key, i.id, p.payee_id, p.amount, p.currency, p.state, p.refunded, p.step_states,
       p.step_times
  from ledger.instruction i join ledger.payment p on p.id = i.id
 where i.operation = 30 and i.actor_id = $1"""


async def _opened_payments(read: Snapshot, owner: Owner, rows: Rows) -> Dicts:
    parties = await counterparties.of_accounts(read, [row["payee_id"] for row in rows])
    memos = await reading.memos(read, [row["id"] for row in rows])
    return [
        {
            "id": row["id"],
            "to": parties[row["payee_id"]].name,
            "amount": yuan(row["amount"]),
            "currency": row["currency"],
            "state": State(row["state"]).name,
            "refunded": yuan(row["refunded"]),
            "note": memos.get(row["id"]),
            "steps": [
                {"state": State(state).name, "at": at}
                for state, at in zip(row["step_states"], row["step_times"], strict=True)
            ],
        }
        for row in rows
    ]


# Payments that the owner asked for, also those that were never confirmed.
payments = pages.table(
    _PAYMENTS,
    key=(("i.key", "text"),),
    opened=_opened_payments,
)


async def _opened_refunds(read: Snapshot, owner: Owner, rows: Rows) -> Dicts:
    ids: list[UUID] = [row["id"] for row in rows]
    found = await refunds.by_ids(read, ids)
    return [
        {
            "id": one.id,
            "payment": one.payment_id,
            "amount": yuan(one.amount_minor),
            "currency": one.currency,
            "state": RefundState(one.state).name,
            "requested_at": one.requested_at,
            "decided_at": one.decided_at,
            "reason": one.reason(),
            "decision": one.decision_reason(),
        }
        for one in (found[key] for key in ids)
    ]


refunds_asked = pages.table(
    "select id, requested_at from ledger.refund where payer_id = $1",
    whose=pages.wallet_of,
    key=pages.by_time("requested_at"),
    opened=_opened_refunds,
)


async def _opened_requests(read: Snapshot, owner: Owner, rows: Rows) -> Dicts:
    return [
        {
            "kind": Operation(row["operation"]).name,
            "key": row["key"],
            "id": row["id"],
            "outcome": Outcome(row["outcome"]).name,
            "about": row["subject_id"],
            "at": row["at"],
        }
        for row in rows
    ]


requests = pages.table(
    "select operation, key, id, outcome, subject_id, at from ledger.instruction"
    " where actor_id = $1",
    key=(("operation", "smallint"), ("key", "text")),
    opened=_opened_requests,
)
