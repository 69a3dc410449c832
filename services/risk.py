"""The scan for anomalies: which wallets to look at, what their debits say, and where it stands.

Postings have no global order, so the scan reads by time and reads the last minutes again: what
committed late is found by the next scan, and judging the same debits twice freezes once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import msgspec

from domain import ledger, risk
from domain.ledger import CITY_ACTOR_ID, Instruction, Operation
from domain.risk import Debit, Rules, Suspicion
from services.unit_of_work import Snapshot, UnitOfWork

ACCOUNTS_AT_ONCE = 200
SLICE = timedelta(hours=1)
LEASE = timedelta(seconds=15)  # less than the pause between two scans: a dead one costs one turn
_NAME = "anomalies"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to scan from ``scanned_until`` on; it ends by itself if its holder dies."""

    id: UUID
    scanned_until: datetime


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of time to scan. Debits from ``judged_from`` on are evidence."""

    since: datetime
    until: datetime
    judged_from: datetime
    complete: bool
    rules: Rules


async def claim(work: UnitOfWork) -> Lease | None:
    """The lease, unless another scanner holds it."""
    lease_id = uuid4()
    scanned_until = await work.fetchval(
        "update risk_scan set lease = $2, leased_until = $3::timestamptz + $4::interval"
        " where name = $1 and leased_until <= $3 returning scanned_until",
        _NAME,
        lease_id,
        work.now,
        LEASE,
    )
    return None if scanned_until is None else Lease(lease_id, scanned_until)


async def renew(work: UnitOfWork, lease: Lease) -> bool:
    """Keep the lease for as long again; False if it was lost meanwhile."""
    return (
        await work.fetchval(
            "update risk_scan set leased_until = $3::timestamptz + $4::interval"
            " where name = $1 and lease = $2 returning true",
            _NAME,
            lease.id,
            work.now,
            LEASE,
        )
        is not None
    )


async def advance(work: UnitOfWork, lease: Lease, scanned: Slice) -> Lease | None:
    """All suspects of a slice are done: go on behind it. None if the lease was lost meanwhile.

    The lease is given back with the last slice.
    """
    kept = await work.fetchval(
        "update risk_scan set scanned_until = $3, scanned_at = $4,"
        " leased_until = $4::timestamptz + $5::interval"
        " where name = $1 and lease = $2 returning true",
        _NAME,
        lease.id,
        scanned.until,
        work.now,
        timedelta(0) if scanned.complete else LEASE,
    )
    return Lease(lease.id, scanned.until) if kept else None


async def next_slice(read: Snapshot, lease: Lease) -> Slice:
    """From the cursor to now, at most an hour, reading the last minutes again."""
    now: datetime = await read.fetchval("select ledger.now()")
    rows = await read.fetch("select code, thresholds from risk_rule where enabled")
    rules = Rules.of({row["code"]: msgspec.json.decode(row["thresholds"]) for row in rows})
    until = min(now, lease.scanned_until + SLICE)
    return Slice(
        since=lease.scanned_until - risk.SCAN_OVERLAP,
        until=max(until, lease.scanned_until),
        judged_from=lease.scanned_until - rules.lookback,
        complete=until == now,
        rules=rules,
    )


async def touched(read: Snapshot, part: Slice) -> list[list[int]]:
    """The residents' accounts that paid or sent in a slice, in batches."""
    rows = await read.fetch(
        "select distinct p.account_id from ledger.posting p"
        " join ledger.account a on a.id = p.account_id and a.role = 1"
        " where p.at >= $1 and p.at <= $2 and p.amount < 0 and p.operation in (20, 30, 31)"
        " order by p.account_id",
        part.since,
        part.until,
    )
    ids = [row[0] for row in rows]
    return [ids[n : n + ACCOUNTS_AT_ONCE] for n in range(0, len(ids), ACCOUNTS_AT_ONCE)]


async def suspects(
    read: Snapshot, account_ids: Sequence[int], part: Slice
) -> list[tuple[int, Suspicion]]:
    """What the rules find suspicious about these accounts: two statements for all of them."""
    found: list[tuple[int, Suspicion]] = []
    for account_id, (debits, after_seq) in (await _debits(read, account_ids, part.until)).items():
        judged = risk.judge(debits, part.rules, judged_from=part.judged_from, after_seq=after_seq)
        found += [(account_id, one) for one in judged]
    known = await _paid_before(read, [one for one in found if one[1].payee_id is not None])
    return [one for one in found if (one[0], one[1].payee_id) not in known]


_DEBITS = """
select k.id as account_id, p.at, p.seq, p.operation, p.amount, p.posted_after, p.counterparty_id
  from unnest($1::bigint[]) as k(id)
 cross join lateral (
   select q.at, q.seq, q.operation, q.amount, q.posted_after, q.counterparty_id
     from ledger.posting q
    where q.account_id = k.id and q.at <= $2 and q.at > $2 - $3::interval
      and (q.operation = 51 or q.amount < 0 and q.operation in (20, 30, 31))
    order by q.at desc, q.seq desc limit $4) p
 order by p.at, p.seq"""


async def _debits(
    read: Snapshot, account_ids: Sequence[int], until: datetime
) -> dict[int, tuple[list[Debit], int]]:
    """The newest debits of each account, oldest first, and the number of its last unfreezing."""
    rows = await read.fetch(
        _DEBITS, account_ids, until, timedelta(days=risk.HISTORY_DAYS), risk.HISTORY_MAX
    )
    found: dict[int, tuple[list[Debit], int]] = {one: ([], 0) for one in account_ids}
    for row in rows:
        debits, after_seq = found[row["account_id"]]
        if row["operation"] == Operation.UNFREEZE:
            found[row["account_id"]] = (debits, max(after_seq, row["seq"]))
            continue
        amount_minor = -row["amount"]
        debits.append(
            Debit(
                at=row["at"],
                seq=row["seq"],
                amount_minor=amount_minor,
                payee_id=row["counterparty_id"],
                balance_before_minor=row["posted_after"] + amount_minor,
            )
        )
    return found


async def _paid_before(
    read: Snapshot, found: Sequence[tuple[int, Suspicion]]
) -> set[tuple[int, int | None]]:
    """Which (account, payee) pairs have an older debit than the evidence, however old."""
    if not found:
        return set()
    rows = await read.fetch(
        "select k.account_id, k.payee_id"
        " from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as k(account_id, payee_id, seq)"
        " where exists (select from ledger.posting p where p.account_id = k.account_id"
        " and p.counterparty_id = k.payee_id and p.amount < 0 and p.seq < k.seq)",
        [account_id for account_id, _ in found],
        [one.payee_id for _, one in found],
        [one.seqs[0] for _, one in found],
    )
    return {(row["account_id"], row["payee_id"]) for row in rows}


def freeze(account_id: int, suspicion: Suspicion) -> Instruction:
    """The city stops all that would leave a wallet; the same evidence does it once."""
    return ledger.instruct(
        actor_id=CITY_ACTOR_ID,
        operation=Operation.FREEZE,
        key=suspicion.key(account_id),
        legs=ledger.touch(account_id),
        detail={"rule": suspicion.rule.value, "evidence": suspicion.evidence()},
    )
