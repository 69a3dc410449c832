"""What wallets see of the ledger: balances now and then, the history, the stream of postings.

Every statement here is an index probe or a walk along the primary key (account, time, number).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from domain.ledger import Operation
from domain.transactions import Direction, Filter
from infra import encryption
from infra.remembered import Remembered
from services import live
from services.live import Position
from services.unit_of_work import Snapshot

MEMO = "instruction.memo"
EVENTS_MAX = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = (
    "account_id, at, seq, entry_id, operation, currency, amount, posted_after,"
    " counterparty_id, subject_id"
)
Key = tuple[datetime, int]


@dataclass(frozen=True, slots=True)
class Posting:
    """One leg with its running balance, in minor units; ``amount_minor`` < 0 left the account."""

    account_id: int
    at: datetime
    seq: int
    entry_id: UUID
    operation: Operation
    currency: str
    amount_minor: int
    balance_after_minor: int
    counterparty_id: int | None
    subject_id: UUID | None

    @property
    def key(self) -> Key:
        """Its place in the account's history."""
        return (self.at, self.seq)


@dataclass(frozen=True, slots=True)
class City:
    """What the city decided for all wallets; amounts in minor units."""

    zone: str
    free_max_minor_cap: int
    free_daily_count_cap: int
    payment_open: timedelta


_city: Remembered[str, City] = Remembered(seconds=30, size_max=1)


def remembered_city() -> City | None:
    """The city's settings if they were read within 30 seconds."""
    return _city.get("city")


async def city(read: Snapshot) -> City:
    """The city's settings, at most 30 seconds old."""
    known = _city.get("city")
    if known is None:
        row = await read.fetchrow(
            "select zone, free_max_minor_cap, free_daily_count_cap, payment_open_seconds"
            " from ledger.city"
        )
        assert row is not None
        known = City(row[0], row[1], row[2], timedelta(seconds=row[3]))
        _city.put("city", known)
    return known


_BALANCE_AT = """
select posted_after from ledger.posting where account_id = $1 and at <= $2
 order by at desc, seq desc limit 1"""


async def balance_at(read: Snapshot, account_id: int, instant: datetime) -> int:
    """The posted balance at an instant, in minor units; 0 before the first posting.

    Walks back month by month and stops at the first posting it meets.
    """
    return await read.fetchval(_BALANCE_AT, account_id, instant) or 0


async def history(
    read: Snapshot,
    account_id: int,
    narrow: Filter,
    *,
    limit: int,
    after: Key | None = None,
    before: Key | None = None,
    backwards: bool = False,
) -> list[Posting]:
    """Postings of money, newest first (from the oldest if ``backwards``), strictly between keys."""
    clauses, values = _narrowed(account_id, narrow)
    if after is not None:
        values += after
        n = len(values)
        clauses.append(f"at <= ${n - 1} and (at, seq) < (${n - 1}, ${n})")
    if before is not None:
        values += before
        n = len(values)
        clauses.append(f"at >= ${n - 1} and (at, seq) > (${n - 1}, ${n})")
    order = "at, seq" if backwards else "at desc, seq desc"
    rows = await read.fetch(
        f"select {_COLUMNS} from ledger.posting where {' and '.join(clauses)}"  # noqa: S608
        f" order by {order} limit {int(limit)}",
        *values,
    )
    return [_posting(row) for row in rows]


def _narrowed(account_id: int, narrow: Filter) -> tuple[list[str], list[object]]:
    clauses = ["account_id = $1", "amount <> 0"]
    values: list[object] = [account_id]
    bounds = (
        ("operation = any(${}::smallint[])", narrow.operations()),
        ("at >= ${}", narrow.since),
        ("at < ${}", narrow.until),
        ("abs(amount) >= ${}", narrow.amount_min_minor),
        ("abs(amount) <= ${}", narrow.amount_max_minor),
    )
    for clause, value in bounds:
        if value is not None:
            values.append(value)
            clauses.append(clause.format(len(values)))
    if narrow.direction is not None:
        clauses.append("amount > 0" if narrow.direction is Direction.IN else "amount < 0")
    return clauses, values


# Fenced, so that no plan reads all that a merchant ever did.
_BY_KEYS = f"""
select p.* from unnest($2::timestamptz[], $3::bigint[]) as k(at, seq)
 cross join lateral (
   select {_COLUMNS} from ledger.posting w
    where w.account_id = $1 and w.at = k.at and w.seq = k.seq and w.amount <> 0 offset 0) p"""  # noqa: S608


async def postings(read: Snapshot, account_id: int, keys: Sequence[Key]) -> dict[Key, Posting]:
    """The account's postings of money at these places."""
    rows = await read.fetch(
        _BY_KEYS,
        account_id,
        [at for at, _ in keys],
        [seq for _, seq in keys],
    )
    return {posting.key: posting for posting in map(_posting, rows)}


async def posting_of(
    read: Snapshot, account_id: int, *, at: datetime, entry_id: UUID
) -> Posting | None:
    """The account's leg of an entry, found by when it was posted."""
    row = await read.fetchrow(
        f"select {_COLUMNS} from ledger.posting"  # noqa: S608
        " where account_id = $1 and at = $2 and entry_id = $3 and amount <> 0",
        account_id,
        at,
        entry_id,
    )
    return _posting(row) if row is not None else None


async def newest(read: Snapshot, account_id: int) -> Position:
    """The place of the account's newest posting."""
    epoch = await live.epoch(read)
    row = await read.fetchrow("select seq, at from ledger.account where id = $1", account_id)
    assert row is not None
    return Position(epoch, row["seq"], _microseconds(row["at"]))


async def events(
    read: Snapshot, account_id: int, place: Position
) -> list[tuple[Position, Posting]]:
    """Up to 100 postings of money behind a place, oldest first.

    Their numbers are the account's own: one is left out wherever an event moved no money.
    """
    at = _EPOCH + timedelta(microseconds=place.at_us)
    rows = await read.fetch(
        f"select {_COLUMNS} from ledger.posting"  # noqa: S608
        " where account_id = $1 and at >= $2 and (at, seq) > ($2, $3) and amount <> 0"
        f" order by at, seq limit {EVENTS_MAX}",
        account_id,
        at,
        place.number,
    )
    found = [_posting(row) for row in rows]
    return [(Position(place.epoch, one.seq, _microseconds(one.at)), one) for one in found]


async def memos(read: Snapshot, entry_ids: Sequence[UUID]) -> dict[UUID, str]:
    """The users' own words of entries, by entry; entries without any are left out."""
    rows = await read.fetch(
        "select id, actor_id, key, memo from ledger.instruction"
        " where id = any($1::uuid[]) and operation in (20, 30) and memo is not null",
        entry_ids,
    )
    return {
        row["id"]: encryption.decrypt(MEMO, f"{row['actor_id']}:{row['key']}", row["memo"])
        for row in rows
    }


async def asked_before(read: Snapshot, *, actor_id: int, operation: Operation, key: str) -> bool:
    """Whether an actor used this key for this operation already."""
    return await read.fetchval(
        "select exists (select from ledger.instruction"
        " where actor_id = $1 and operation = $2 and key = $3)",
        actor_id,
        operation.value,
        key,
    )


def sealed_memo(text: str | None, *, actor_id: int, key: str) -> bytes | None:
    """A user's words, encrypted for the instruction that they go with."""
    return None if text is None else encryption.encrypt(MEMO, f"{actor_id}:{key}", text)


def mark_of(text: str | None) -> str | None:
    """Stands for a user's words in the hash of an instruction.

    Keyed, because short words could be guessed from a plain hash.
    """
    return None if text is None else encryption.blind_index("words", text)


def _posting(row: asyncpg.Record) -> Posting:
    account_id, at, seq, entry_id, operation, currency, amount, after, other, subject = row
    return Posting(
        account_id,
        at,
        seq,
        entry_id,
        Operation(operation),
        currency,
        amount,
        after,
        other,
        subject,
    )


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
