"""Refunds: asked by the payer, decided by finance or by a policy that finance signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from domain import ledger
from domain.ledger import REFUND_ADVANCES_ID, Instruction, Operation
from domain.refunds import State
from infra import encryption
from infra.queue import Job
from services import audit
from services.ledger import reading
from services.unit_of_work import Snapshot, UnitOfWork

REASON = "refund.reason"
DECISION_REASON = "refund.decision_reason"
_COLUMNS = (
    "r.id, r.payment_id, r.payer_id, r.payee_id, r.currency, r.amount, r.state, r.requester_id,"
    " r.decider_id, r.policy_id, r.advanced, r.requested_at, r.decided_at, r.reason,"
    " r.decision_reason"
)
Key = tuple[datetime, UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A refund; ``payer_id`` (who gets the money) and ``payee_id`` are ledger accounts.

    ``decided_by`` decided, or signed the deciding policy; ``advanced``: the city paid for now.
    """

    id: UUID
    payment_id: UUID
    payer_id: int
    payee_id: int
    currency: str
    amount_minor: int
    state: State
    requester_id: int
    decided_by: int | None
    policy_id: int | None
    advanced: bool
    requested_at: datetime
    decided_at: datetime | None
    reason_sealed: bytes | None = field(repr=False)
    decision_reason_sealed: bytes | None = field(repr=False)

    @property
    def key(self) -> Key:
        """Its place in lists."""
        return (self.requested_at, self.id)

    def reason(self) -> str | None:
        """What the payer wrote."""
        if self.reason_sealed is None:
            return None
        row = f"{self.payment_id}:{self.requester_id}"
        return encryption.decrypt(REASON, row, self.reason_sealed)

    def decision_reason(self) -> str | None:
        """What the decider wrote; None for a policy."""
        return _opened_decision(self.id, self.decision_reason_sealed)


def request(
    *,
    actor_id: int,
    payer_account_id: int,
    payment_id: UUID,
    amount_minor: int,
    reason: str,
    key: str,
) -> Instruction:
    """Ask for the whole amount of a payment back; it is reserved until somebody decides."""
    return ledger.instruct(
        actor_id=actor_id,
        operation=Operation.REQUEST_REFUND,
        key=key,
        legs=ledger.touch(payer_account_id),
        subject_id=payment_id,
        note=reading.mark_of(reason),
        memo=encryption.encrypt(REASON, f"{payment_id}:{actor_id}", reason),
        detail={"amount": amount_minor},
    )


def approve(
    refund: Refund,
    *,
    actor_id: int,
    key: str,
    reason: str | None = None,
    policy_id: int | None = None,
    advanced: bool = False,
) -> Instruction:
    """Give the money back, from the merchant or (``advanced``) for now from the city."""
    from_id = REFUND_ADVANCES_ID if advanced else refund.payee_id
    return ledger.instruct(
        actor_id=actor_id,
        operation=Operation.APPROVE_REFUND,
        key=key,
        legs=ledger.move(from_id, refund.payer_id, refund.amount_minor),
        subject_id=refund.payment_id,
        related_id=refund.id,
        note=reading.mark_of(reason),
        memo=_sealed_decision(refund, reason),
        detail=None if policy_id is None else {"policy_id": policy_id},
    )


def reject(refund: Refund, *, actor_id: int, key: str, reason: str) -> Instruction:
    """Keep the payment as it is."""
    return ledger.instruct(
        actor_id=actor_id,
        operation=Operation.REJECT_REFUND,
        key=key,
        legs=ledger.touch(refund.payer_id),
        subject_id=refund.payment_id,
        related_id=refund.id,
        note=reading.mark_of(reason),
        memo=_sealed_decision(refund, reason),
    )


def _sealed_decision(refund: Refund, reason: str | None) -> bytes | None:
    return None if reason is None else encryption.encrypt(DECISION_REASON, refund.id, reason)


def _opened_decision(refund_id: UUID, sealed: bytes | None) -> str | None:
    return None if sealed is None else encryption.decrypt(DECISION_REASON, refund_id, sealed)


async def paid_amount(read: Snapshot, *, payer_account_id: int, payment_id: UUID) -> int | None:
    """What a payment of this payer was about, in minor units; None if it isn't theirs."""
    return await read.fetchval(
        "select amount from ledger.payment where id = $1 and payer_id = $2",
        payment_id,
        payer_account_id,
    )


async def by_ids(read: Snapshot, refund_ids: Sequence[UUID]) -> dict[UUID, Refund]:
    """Refunds by id, whoever's they are: check before they leave."""
    rows = await read.fetch(
        f"select {_COLUMNS} from ledger.refund r where r.id = any($1::uuid[])",  # noqa: S608
        refund_ids,
    )
    return {row["id"]: opened(row) for row in rows}


async def of_payments(
    read: Snapshot, payment_ids: Sequence[UUID], *, per_payment_max: int = 20
) -> dict[UUID, list[Refund]]:
    """The newest refunds of each payment, newest first; payments without any are left out."""
    rows = await read.fetch(
        f"select {_COLUMNS} from unnest($1::uuid[]) p(id), lateral (select * from ledger.refund w"  # noqa: S608
        " where w.payment_id = p.id order by w.requested_at desc limit $2) r",
        payment_ids,
        per_payment_max,
    )
    found: dict[UUID, list[Refund]] = {}
    for row in rows:
        found.setdefault(row["payment_id"], []).append(opened(row))
    return found


async def of_payer(
    read: Snapshot,
    account_id: int,
    *,
    limit: int,
    after: Key | None = None,
    before: Key | None = None,
    backwards: bool = False,
) -> list[Refund]:
    """The payer's refunds strictly between keys, newest first (oldest first if ``backwards``)."""
    order = "r.requested_at, r.id" if backwards else "r.requested_at desc, r.id desc"
    rows = await read.fetch(
        f"select {_COLUMNS} from ledger.refund r where r.payer_id = $1"  # noqa: S608 - our own text
        " and ($2::timestamptz is null or (r.requested_at, r.id) < ($2, $3::uuid))"
        " and ($4::timestamptz is null or (r.requested_at, r.id) > ($4, $5::uuid))"
        f" order by {order} limit {int(limit)}",
        account_id,
        *(after or (None, None)),
        *(before or (None, None)),
    )
    return [opened(row) for row in rows]


async def decision_reasons(read: Snapshot, refund_ids: Sequence[UUID]) -> dict[str, str]:
    """What deciders wrote, by the refund's id as text; refunds without such words are left out."""
    found = await by_ids(read, refund_ids)
    reasons = {str(refund.id): refund.decision_reason() for refund in found.values()}
    return {refund_id: reason for refund_id, reason in reasons.items() if reason}


def opened(row: asyncpg.Record) -> Refund:
    """A refund of a row that starts with its columns."""
    return Refund(
        id=row["id"],
        payment_id=row["payment_id"],
        payer_id=row["payer_id"],
        payee_id=row["payee_id"],
        currency=row["currency"],
        amount_minor=row["amount"],
        state=State(row["state"]),
        requester_id=row["requester_id"],
        decided_by=row["decider_id"],
        policy_id=row["policy_id"],
        advanced=row["advanced"],
        requested_at=row["requested_at"],
        decided_at=row["decided_at"],
        reason_sealed=row["reason"],
        decision_reason_sealed=row["decision_reason"],
    )


_WITH_REFUNDS = """
select distinct on (p.account_id, p.seq)
       p.account_id, p.at, p.seq, p.entry_id, p.operation, p.currency, p.amount,
       p.counterparty_id, p.subject_id, a.owner_id,
       r.id as refund_id, r.amount as refund_amount, r.decider_id, r.policy_id, r.decision_reason,
       (select i.detail from ledger.instruction i
         where i.id = p.entry_id and p.operation in (41, 42) limit 1) as detail
  from unnest($1::bigint[], $2::timestamptz[], $3::bigint[]) as k(account_id, at, seq)
  cross join lateral (  -- fenced, so that no plan reads all that a merchant ever did
    select w.* from ledger.posting w
     where w.account_id = k.account_id and w.at = k.at and w.seq = k.seq offset 0) p
  join ledger.account a on a.id = p.account_id and a.owner_id is not null
  left join lateral (
    select w.id, w.amount, w.decider_id, w.policy_id, w.decision_reason from ledger.refund w
     where p.operation in (40, 41, 42) and w.payment_id = p.subject_id
       and (w.id = p.entry_id or w.decided_at = p.at) limit 1) r on true
 order by p.account_id, p.seq"""


async def with_refunds(read: Snapshot, rows: Sequence[Mapping[str, Any]]) -> list[asyncpg.Record]:
    """The postings that outbox rows number, on accounts with an owner, each with its refund if any.

    In the order of each account; each once, however often it is numbered.
    """
    keys = [
        (account_id, row["times"][0], seq)
        for row in rows
        for account_id, seq in zip(row["accounts"], row["seqs"], strict=True)
    ]
    columns = [list(column) for column in zip(*keys, strict=True)] or [[], [], []]
    return await read.fetch(_WITH_REFUNDS, *columns)


async def follow(work: UnitOfWork, postings: Sequence[asyncpg.Record]) -> None:
    """What follows from postings that nobody followed up before: reviews, and the audit's rows.

    Called with what was told for the first time, so each follows once, whatever crashed before.
    """
    for row in postings:
        operation, refund_id = row["operation"], row["refund_id"]
        if operation == Operation.REQUEST_REFUND:
            work.enqueue(Job.REVIEW_REFUND, stream=f"refund:{refund_id}", refund_id=str(refund_id))
        elif _decided_by_staff(row):
            approved = operation == Operation.APPROVE_REFUND
            await audit.record(
                work,
                actor_id=row["decider_id"],
                action="DECIDE_REFUND",
                object=f"refund:{refund_id}",
                detail={"decision": "APPROVE" if approved else "REJECT"},
                reason=_opened_decision(refund_id, row["decision_reason"]),
                acted=audit.by_of(row["detail"]),
            )


def _decided_by_staff(row: asyncpg.Record) -> bool:
    """Seen at the payer's posting, which every decision has one of."""
    decided = row["operation"] == Operation.REJECT_REFUND or (
        row["operation"] == Operation.APPROVE_REFUND and row["amount"] > 0
    )
    return decided and row["decider_id"] is not None and row["policy_id"] is None
