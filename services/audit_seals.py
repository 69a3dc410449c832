"""The chain of seals over the audit log, and whether the log is still what was sealed.

A sealer numbers the entries that no seal covers yet, keeps a keyed hash of each (a leaf), and seals
the batch together with the seal before it. The key is not in the database: whoever has that alone
can change entries, but not their seals. Entries count as they are committed, not as they were
begun: what commits late is in the next batch, whatever its time.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from infra import settings
from services.unit_of_work import Snapshot, UnitOfWork

BATCH_MAX = 2_000
SILENCE = timedelta(hours=1)
"""After so long without entries, a seal of none says that there were none."""
LATENESS_MAX = timedelta(hours=1)
"""No transaction of ours lasts as long: an entry that comes later has been slipped in."""
OVERDUE = timedelta(minutes=10)
_LOOK_BACK = timedelta(days=1)
_LOCK = 0x61756469742073
_GENESIS = "0" * 64
_PREFETCH = 500
_ENTRY = (
    "e.id, e.actor_id, e.role, e.session_id, e.address_hash, e.request_id, e.action, e.object,"
    " e.detail, e.reason, e.created_at"
)

TITLE = "the audit log against its seals, and the seals against each other"
CODES = (
    "AUDIT_ENTRY_CHANGED",
    "AUDIT_ENTRY_MISSING",
    "AUDIT_ENTRY_INSERTED",
    "AUDIT_CHAIN_BROKEN",
    "AUDIT_SEAL_OVERDUE",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, with which entry (None where it is about a seal)."""

    code: str
    entry_id: UUID | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Seal:
    """``number`` of it in the chain, how many entries it took in, and its ``hash`` (hex)."""

    number: int
    count: int
    complete: bool
    hash: str


def _mac(kind: str, *parts: object) -> str:
    """64 hex digits that differ whenever a part differs."""
    key = settings.get_settings().audit_key.get_secret_value().encode()
    text = msgspec.json.encode([kind, *parts], order="sorted")
    return hmac.digest(key, text, "sha256").hex()


def _entry_hash(seq: int, row: asyncpg.Record) -> str:
    return _mac(
        "entry",
        seq,
        str(row["id"]),
        row["actor_id"],
        row["role"],
        str(row["session_id"]),
        row["address_hash"],
        row["request_id"],
        row["action"],
        row["object"],
        msgspec.json.decode(row["detail"]),
        None if row["reason"] is None else row["reason"].hex(),
        _instant(row["created_at"]),
    )


def _seal_hash(seal: Any, leaves: list[str]) -> str:
    return _mac(
        "seal",
        seal["id"],
        seal["first_seq"],
        seal["count"],
        seal["complete"],
        _instant(seal["sealed_at"]),
        seal["previous_hash"],
        leaves,
    )


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


async def seal(work: UnitOfWork) -> Seal | None:
    """Seal the oldest entries that no seal covers; None if there is nothing to do.

    One sealer at a time: the second waits for the first to commit, and finds what is left.
    """
    await work.execute("select pg_advisory_xact_lock($1)", _LOCK)
    # Now, not when the transaction began: it may have waited.
    now = await work.fetchval("select ledger.now()")
    last = await work.fetchrow("select * from audit_seal order by id desc limit 1")
    rows = await _uncovered(work)
    if not rows and (last is None or last["sealed_at"] > now - SILENCE):
        return None
    first = 1 if last is None else last["first_seq"] + last["count"]
    leaves = [(seq, row["id"], _entry_hash(seq, row)) for seq, row in enumerate(rows, first)]
    made = {
        "id": 1 if last is None else last["id"] + 1,
        "first_seq": first,
        "count": len(leaves),
        "complete": len(rows) < BATCH_MAX,
        "previous_hash": _GENESIS if last is None else last["hash"],
        "sealed_at": now,
    }
    return await _keep(work, made, leaves)


async def _uncovered(work: UnitOfWork) -> list[asyncpg.Record]:
    """Entries in the order of their time; those that come a day late are left to ``faults``."""
    return await work.fetch(
        f"select {_ENTRY} from audit_entry e"  # noqa: S608 - constants only
        " where e.created_at >= coalesce((select max(sealed_at) from audit_seal where complete)"
        " - $1::interval, '-infinity')"
        " and not exists (select from audit_leaf l where l.entry_id = e.id)"
        " order by e.created_at, e.id limit $2",
        _LOOK_BACK,
        BATCH_MAX,
    )


async def _keep(
    work: UnitOfWork, made: dict[str, Any], leaves: list[tuple[int, UUID, str]]
) -> Seal:
    digest = _seal_hash(made, [one for *_, one in leaves])
    if leaves:
        await work.execute(
            "insert into audit_leaf(seq, entry_id, hash)"
            " select * from unnest($1::bigint[], $2::uuid[], $3::text[])",
            *(list(column) for column in zip(*leaves, strict=True)),
        )
    await work.execute(
        "insert into audit_seal(id, first_seq, count, complete, previous_hash, hash, sealed_at)"
        " values ($1, $2, $3, $4, $5, $6, $7)",
        made["id"],
        made["first_seq"],
        made["count"],
        made["complete"],
        made["previous_hash"],
        digest,
        made["sealed_at"],
    )
    return Seal(made["id"], made["count"], made["complete"], digest)


async def head(read: Snapshot) -> Seal | None:
    """The newest seal. That none was cut off, only a copy elsewhere shows: the worker logs each."""
    row = await read.fetchrow("select * from audit_seal order by id desc limit 1")
    return None if row is None else Seal(row["id"], row["count"], row["complete"], row["hash"])


async def faults(read: Snapshot) -> AsyncIterator[Fault]:
    """Everything that is not as it was sealed. ``read`` comes from ``snapshot(consistent=True)``.

    Reads the whole log once, in the order of its numbers; memory holds one batch.
    """
    walk = _Walk(_leaves(read))
    async for row in read.connection.cursor(
        "select * from audit_seal order by id", prefetch=_PREFETCH
    ):
        async for fault in walk.seal(row):
            yield fault
    async for leaf in walk.rest():
        yield Fault("AUDIT_CHAIN_BROKEN", leaf["entry_id"], f"number {leaf['seq']} has no seal")
    async for fault in _never_sealed(read, walk.swept):
        yield fault


def _leaves(read: Snapshot) -> AsyncIterator[asyncpg.Record]:
    return read.connection.cursor(
        f"select l.seq, l.entry_id, l.hash, {_ENTRY} from audit_leaf l"  # noqa: S608 - constants
        " left join audit_entry e on e.id = l.entry_id order by l.seq",
        prefetch=_PREFETCH,
    ).__aiter__()


class _Walk:
    """Along the leaves, seal by seal. ``swept``: until when nothing can have been left out."""

    def __init__(self, leaves: AsyncIterator[asyncpg.Record]) -> None:
        self._leaves = leaves
        self._ahead: asyncpg.Record | None = None
        self._number = 0
        self._hash = _GENESIS
        self._next_seq = 1
        self.swept: datetime | None = None

    async def seal(self, row: asyncpg.Record) -> AsyncIterator[Fault]:
        """What is wrong with a seal and with the entries under it."""
        kept: list[str] = []
        end = row["first_seq"] + row["count"]
        while (leaf := await self._take(end)) is not None:
            kept.append(leaf["hash"])
            fault = self._entry_fault(leaf)
            if fault is not None:
                yield fault
        for wrong, sentence in (
            (row["id"] != self._number + 1, "does not follow the one before"),
            (row["previous_hash"] != self._hash, "was not made for the one before"),
            (row["first_seq"] != self._next_seq, "does not begin where the one before ended"),
            (row["hash"] != _seal_hash(row, kept), "does not fit what it covers"),
        ):
            if wrong:
                yield Fault("AUDIT_CHAIN_BROKEN", None, f"seal {row['id']} {sentence}")
        self._number, self._hash, self._next_seq = row["id"], row["hash"], end
        if row["complete"]:
            self.swept = max(self.swept or row["sealed_at"], row["sealed_at"])

    def _entry_fault(self, leaf: asyncpg.Record) -> Fault | None:
        seq, entry_id = leaf["seq"], leaf["entry_id"]
        if leaf["id"] is None:
            return Fault("AUDIT_ENTRY_MISSING", entry_id, f"number {seq} was sealed and is gone")
        if _entry_hash(seq, leaf) != leaf["hash"]:
            return Fault("AUDIT_ENTRY_CHANGED", entry_id, f"number {seq} is not what was sealed")
        if self.swept is not None and leaf["created_at"] < self.swept - LATENESS_MAX:
            return Fault(
                "AUDIT_ENTRY_INSERTED", entry_id, f"number {seq} is older than seals before it"
            )
        return None

    async def rest(self) -> AsyncIterator[asyncpg.Record]:
        """Leaves behind the last seal."""
        while (leaf := await self._take(None)) is not None:
            yield leaf

    async def _take(self, end: int | None) -> asyncpg.Record | None:
        """The next leaf, if it is numbered below ``end``."""
        if self._ahead is None:
            self._ahead = await anext(self._leaves, None)
        if self._ahead is None or (end is not None and self._ahead["seq"] >= end):
            return None
        taken, self._ahead = self._ahead, None
        return taken


_NEVER_SEALED = """
select e.id, e.created_at from audit_entry e
 where e.created_at < ledger.now() - $1::interval
   and not exists (select from audit_leaf l where l.entry_id = e.id)"""


async def _never_sealed(read: Snapshot, swept: datetime | None) -> AsyncIterator[Fault]:
    late, oldest = 0, None
    async for row in read.connection.cursor(_NEVER_SEALED, OVERDUE, prefetch=_PREFETCH):
        if swept is not None and row["created_at"] < swept - LATENESS_MAX:
            yield Fault("AUDIT_ENTRY_INSERTED", row["id"], "it is older than seals without it")
        else:
            late, oldest = late + 1, oldest or row["id"]
    if late:
        yield Fault("AUDIT_SEAL_OVERDUE", oldest, f"{late} entries have no seal yet, this is one")
