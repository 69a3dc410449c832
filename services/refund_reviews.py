"""The finance desk: what a review finds, the queue, and the policies that finance signs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from domain import refunds as rules
from domain.refunds import Facts, Policy, Recommendation, State
from services import audit, counterparties, refunds
from services.refunds import Key, Refund
from services.unit_of_work import Snapshot, UnitOfWork


@dataclass(frozen=True, slots=True)
class Review:
    """What the review job found; ``policy_id`` is the policy that covers it, if any does."""

    facts: Facts
    recommendation: Recommendation
    policy_id: int | None
    reviewed_at: datetime


@dataclass(frozen=True, slots=True)
class QueueItem:
    """A refund as finance sees it. ``review`` is None until the job has run."""

    refund: Refund
    review: Review | None
    payer_name: str | None = field(repr=False)
    merchant_name: str | None


@dataclass(frozen=True, slots=True)
class SignedPolicy:
    """A policy with its dates; ``ended_at`` None while it holds."""

    policy: Policy
    signed_at: datetime
    ended_at: datetime | None


_FACTS = """
select r.amount, ceil(extract(epoch from ledger.now() - p.step_times[1]))::bigint as age_seconds,
       (select count(*) from ledger.refund w
         where w.payer_id = r.payer_id and w.requested_at > ledger.now() - interval '30 days')
         as refunds_30_days,
       m.id as merchant_id, a.posted - a.held >= r.amount as merchant_covers,
       array[r.requester_id, r.payer_owner_id, r.payee_owner_id] as parties
  from ledger.refund r
  join ledger.payment p on p.id = r.payment_id
  join ledger.account a on a.id = r.payee_id
  left join merchant m on m.account_id = r.payee_id
 where r.id = $1"""


async def review(work: UnitOfWork, refund_id: UUID) -> tuple[Refund, Review] | None:
    """The refund with what was found about it; found once, and kept. None unless undecided."""
    refund = (await refunds.by_ids(work, [refund_id])).get(refund_id)
    if refund is None or refund.state is not State.REQUESTED:
        return None
    found = await reviews(work, [refund_id])
    if refund_id not in found:
        await _keep(work, refund_id)
        found = await reviews(work, [refund_id])
    return refund, found[refund_id]


async def _keep(work: UnitOfWork, refund_id: UUID) -> None:
    row = await work.fetchrow(_FACTS, refund_id)
    assert row is not None
    facts = Facts(
        amount_minor=row["amount"],
        payment_age_seconds=row["age_seconds"],
        refunds_30_days=row["refunds_30_days"],
        merchant_id=row["merchant_id"],
        merchant_covers=row["merchant_covers"],
    )
    held = [one.policy for one in await policies(work, limit=1_000, holding=True)]
    policy = rules.covering(held, facts, parties=frozenset(row["parties"]))
    await work.execute(
        "insert into refund_review(refund_id, facts, recommendation, policy_id, reviewed_at)"
        " values ($1, $2::jsonb, $3, $4, $5) on conflict (refund_id) do nothing",
        refund_id,
        msgspec.json.encode(asdict(facts)).decode(),
        Recommendation.FINANCE if policy is None else Recommendation.POLICY,
        policy and policy.id,
        work.now,
    )


async def reviews(read: Snapshot, refund_ids: Sequence[UUID]) -> dict[UUID, Review]:
    """What was found about refunds; those not reviewed yet are left out."""
    rows = await read.fetch(
        "select refund_id, facts, recommendation, policy_id, reviewed_at from refund_review"
        " where refund_id = any($1::uuid[])",
        refund_ids,
    )
    return {
        row["refund_id"]: Review(
            facts=msgspec.convert(msgspec.json.decode(row["facts"]), Facts),
            recommendation=Recommendation(row["recommendation"]),
            policy_id=row["policy_id"],
            reviewed_at=row["reviewed_at"],
        )
        for row in rows
    }


async def queue(
    work: UnitOfWork,
    *,
    actor_id: int,
    limit: int,
    after: Key | None = None,
    before: Key | None = None,
    backwards: bool = False,
) -> list[QueueItem]:
    """Undecided refunds strictly between two keys, oldest first (newest first if ``backwards``).

    Who looked is recorded in this unit of work: the data may leave after its commit only.
    """
    order = "requested_at desc, id desc" if backwards else "requested_at, id"
    rows = await work.fetch(
        "select * from ledger.refund where state = 1"  # noqa: S608 - our own text
        " and ($1::timestamptz is null or (requested_at, id) > ($1, $2::uuid))"
        " and ($3::timestamptz is null or (requested_at, id) < ($3, $4::uuid))"
        f" order by {order} limit {int(limit)}",
        *(after or (None, None)),
        *(before or (None, None)),
    )
    found = [refunds.opened(row) for row in rows]
    await audit.record(
        work,
        actor_id=actor_id,
        action="READ_REFUND_QUEUE",
        object="refunds",
        detail={"refunds": [str(refund.id) for refund in found]},
    )
    return await _items(work, found)


async def item(work: UnitOfWork, *, actor_id: int, refund_id: UUID) -> QueueItem | None:
    """One refund, decided or not, as finance sees it; who looked is recorded."""
    found = (await refunds.by_ids(work, [refund_id])).get(refund_id)
    if found is None:
        return None
    await audit.record(work, actor_id=actor_id, action="READ_REFUND", object=f"refund:{found.id}")
    [one] = await _items(work, [found])
    return one


async def _items(read: Snapshot, found: Sequence[Refund]) -> list[QueueItem]:
    accounts = [account for refund in found for account in (refund.payer_id, refund.payee_id)]
    parties = await counterparties.of_accounts(read, accounts)
    known = await reviews(read, [refund.id for refund in found])
    return [
        QueueItem(
            refund,
            known.get(refund.id),
            parties[refund.payer_id].name,
            parties[refund.payee_id].name,
        )
        for refund in found
    ]


_POLICY_COLUMNS = (
    "id, amount_max_minor, payment_age_max_seconds, refunds_max_per_30_days, signed_by,"
    " signed_at, ended_at"
)


async def policies(
    read: Snapshot,
    *,
    limit: int,
    after: int | None = None,
    before: int | None = None,
    backwards: bool = False,
    holding: bool = False,
) -> list[SignedPolicy]:
    """Policies strictly between two ids, newest first; only those in force if ``holding``."""
    rows = await read.fetch(
        f"select {_POLICY_COLUMNS} from ledger.refund_policy"  # noqa: S608 - our own text
        " where ($1::bigint is null or id < $1) and ($2::bigint is null or id > $2)"
        f"{' and ended_at is null' if holding else ''}"
        f" order by id {'asc' if backwards else 'desc'} limit {int(limit)}",
        after,
        before,
    )
    return [_policy(row) for row in rows]


async def sign_policy(
    work: UnitOfWork,
    *,
    actor_id: int,
    amount_max_minor: int,
    payment_age_max_seconds: int,
    refunds_max_per_30_days: int,
) -> SignedPolicy:
    """Let the city approve such refunds by itself from now on, in the signer's name.

    Signing the same limits again while they are in force gives the policy that is there: twins,
    say of a repeated call, would let one live on unseen when the other is ended.
    """
    limits = (amount_max_minor, payment_age_max_seconds, refunds_max_per_30_days)
    # Signatures of one person are made one at a time, or two at once would both find none.
    await work.execute("select pg_advisory_xact_lock(3, hashtext($1))", str(actor_id))
    row = await work.fetchrow(
        f"select {_POLICY_COLUMNS} from ledger.refund_policy where ended_at is null"  # noqa: S608
        " and amount_max_minor = $1 and payment_age_max_seconds = $2"
        " and refunds_max_per_30_days = $3 and signed_by = $4 order by id limit 1",
        *limits,
        actor_id,
    )
    if row is not None:
        return _policy(row)
    row = await work.fetchrow(
        "insert into ledger.refund_policy(amount_max_minor, payment_age_max_seconds,"  # noqa: S608
        " refunds_max_per_30_days, signed_by, signed_at) values ($1, $2, $3, $4, $5)"
        f" returning {_POLICY_COLUMNS}",
        *limits,
        actor_id,
        work.now,
    )
    assert row is not None
    await _record(work, actor_id, "SIGN_REFUND_POLICY", row)
    return _policy(row)


async def end_policy(work: UnitOfWork, *, actor_id: int, policy_id: int) -> SignedPolicy | None:
    """End a policy, whoever signed it; ending it again changes nothing. None: no such policy."""
    row = await work.fetchrow(
        "update ledger.refund_policy set ended_at = $2 where id = $1 and ended_at is null"  # noqa: S608
        f" returning {_POLICY_COLUMNS}",
        policy_id,
        work.now,
    )
    if row is not None:
        await _record(work, actor_id, "END_REFUND_POLICY", row)
        return _policy(row)
    row = await work.fetchrow(
        f"select {_POLICY_COLUMNS} from ledger.refund_policy where id = $1",  # noqa: S608
        policy_id,
    )
    return _policy(row) if row is not None else None


async def _record(work: UnitOfWork, actor_id: int, action: str, row: asyncpg.Record) -> None:
    limits = {
        name: row[name]
        for name in ("amount_max_minor", "payment_age_max_seconds", "refunds_max_per_30_days")
    }
    await audit.record(
        work, actor_id=actor_id, action=action, object=f"refund_policy:{row['id']}", detail=limits
    )


def _policy(row: asyncpg.Record) -> SignedPolicy:
    policy_id, amount_max, age_max, refunds_max, signed_by, signed_at, ended_at = row
    return SignedPolicy(
        Policy(policy_id, amount_max, age_max, refunds_max, signed_by), signed_at, ended_at
    )
