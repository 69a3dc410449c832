"""What staff did and looked at, written in the transaction of the deed.

Who acts, in which session and from where is known further up: `came_from` says where a request or
socket comes from, `actor` as whom a resolver runs, so that callers of `record` need not.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from domain.identity import Role, Viewer, network
from domain.ledger import Instruction
from infra import encryption
from services.unit_of_work import UnitOfWork

REASON = "audit_entry.reason"
Key = tuple[datetime, UUID]


@dataclass(frozen=True, slots=True)
class By:
    """In what capacity somebody acts: ``address_hash`` is a keyed hash of the network address."""

    role: str | None = None
    session_id: str | None = None
    address_hash: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What narrows the log down; ``address`` is a network address as text."""

    actor_id: int | None = None
    action: str | None = None
    object: str | None = None
    address: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry, opened. ``seal`` is the number of the seal that covers it, None until one does."""

    id: UUID
    actor_id: int
    by: By
    action: str
    object: str
    detail: dict[str, Any]
    reason: str | None = field(repr=False)
    created_at: datetime
    seal: int | None

    @property
    def key(self) -> Key:
        """Its place in lists."""
        return (self.created_at, self.id)


_came: ContextVar[tuple[str, str]] = ContextVar("came", default=("", ""))
actor: ContextVar[Viewer | None] = ContextVar("actor", default=None)
"""Whoever acts in this task; set around each resolver function by its access rule."""


def came_from(*, address: str, request_id: str) -> None:
    """Say where this task's request or socket comes from; tasks that it starts inherit it."""
    _came.set((address, request_id))


def by(actor_id: int) -> By | None:
    """How this actor acts right now; None where somebody else, or nobody, called."""
    viewer = actor.get()
    if viewer is None or viewer.user_id != actor_id:
        return None
    _, request_id = _came.get()
    return By(
        role=viewer.role,
        session_id=str(viewer.session_id) if viewer.session_id else None,
        address_hash=origin(),
        request_id=request_id or None,
    )


def origin() -> str | None:
    """The keyed hash of the address that this task's request comes from."""
    address, _ = _came.get()
    return _address_hash(address) if address else None


def _address_hash(address: str) -> str:
    return encryption.blind_index("audit address", network(address))


def carried(instruction: Instruction) -> Instruction:
    """The instruction with a note of how its actor acts, for the job that records the deed later.

    The note is no part of what is asked for, so the instruction's hash doesn't cover it.
    """
    acts = by(instruction.actor_id)
    if acts is None:
        return instruction
    detail = msgspec.json.decode(instruction.detail or "{}") | {"by": asdict(acts)}
    return replace(instruction, detail=msgspec.json.encode(detail, order="sorted").decode())


def by_of(detail: str | None) -> By | None:
    """What `carried` noted in an instruction's detail."""
    noted = msgspec.json.decode(detail or "{}").get("by")
    return msgspec.convert(noted, By) if noted else None


async def record(
    work: UnitOfWork,
    *,
    actor_id: int,
    action: str,
    object: str,
    detail: dict[str, Any] | None = None,
    reason: str | None = None,
    acted: By | None = None,
) -> None:
    """Keep that an actor did something to an object (``"user:42"``), and why (``reason``, sealed).

    A read of personal data is recorded in a unit of work that commits before the data leaves.
    ``detail`` holds facts about the deed, never the personal data itself. Session and address come
    from the call that is under way, or from ``acted`` where a job records it afterwards.
    """
    # Known beforehand only where something is bound to it.
    entry_id = None if reason is None else await work.fetchval("select uuidv7()")
    acts = acted or by(actor_id) or By()
    await work.execute(
        "insert into audit_entry(id, actor_id, role, session_id, address_hash, request_id, action,"
        " object, detail, reason, created_at) values (coalesce($1, uuidv7()), $2,"
        " coalesce($3, (select role from users where id = $2)), $4, $5, $6, $7, $8, $9::jsonb,"
        " $10, $11)",
        entry_id,
        actor_id,
        acts.role,
        acts.session_id and UUID(acts.session_id),
        acts.address_hash,
        acts.request_id,
        action,
        object,
        msgspec.json.encode(detail or {}).decode(),
        None if reason is None else encryption.encrypt(REASON, entry_id, reason),
        work.now,
    )


async def circumstances(
    work: UnitOfWork, *, actor_id: int, reason: str | None = None
) -> dict[str, Any]:
    """The columns of an entry that the database writes itself, as JSON: who acts how, and why."""
    entry_id = await work.fetchval("select uuidv7()")
    known: dict[str, Any] = {"id": str(entry_id), **asdict(by(actor_id) or By())}
    if reason is not None:
        known["reason"] = "\\x" + encryption.encrypt(REASON, entry_id, reason).hex()
    return known


_SELECT = """
select e.*, (select s.id from audit_leaf l join audit_seal s on s.first_seq <= l.seq
              where l.entry_id = e.id and s.count > 0 order by s.first_seq desc limit 1) as seal
  from audit_entry e where true"""


def _conditions(
    wanted: Filter, *, after: Key | None, before: Key | None
) -> tuple[str, list[object]]:
    """Only those that were asked for, so that each has the plan that fits it."""
    address = None if wanted.address is None else _address_hash(wanted.address)
    asked: list[tuple[str, tuple[object, ...]]] = [
        ("actor_id = {}", (wanted.actor_id,)),
        ("action = {}", (wanted.action,)),
        ("object = {}", (wanted.object,)),
        ("address_hash = {}", (address,)),
        ("created_at >= {}", (wanted.since,)),
        ("created_at < {}", (wanted.until,)),
        ("(created_at, id) < ({}, {}::uuid)", after or (None,)),
        ("(created_at, id) > ({}, {}::uuid)", before or (None,)),
    ]
    text, values = "", []
    for condition, given in asked:
        if given[0] is not None:
            places = [f"${len(values) + n}" for n in range(1, len(given) + 1)]
            text += " and " + condition.format(*places)
            values += given
    return text, values


async def page(
    work: UnitOfWork,
    *,
    actor_id: int,
    wanted: Filter,
    limit: int,
    after: Key | None = None,
    before: Key | None = None,
    backwards: bool = False,
) -> list[Entry]:
    """Entries strictly between two keys, newest first (oldest first if ``backwards``).

    Who looked, and for what, is recorded in this unit of work: the data may leave after its commit
    only. The look itself is not among what it shows.
    """
    order = "created_at, id" if backwards else "created_at desc, id desc"
    conditions, values = _conditions(wanted, after=after, before=before)
    rows = await work.fetch(f"{_SELECT}{conditions} order by {order} limit {int(limit)}", *values)
    await record(
        work,
        actor_id=actor_id,
        action="READ_AUDIT_LOG",
        object="audit_log",
        detail={"entries": len(rows), "filter": _facts(wanted)},
    )
    return [_entry(row) for row in rows]


def _facts(wanted: Filter) -> dict[str, Any]:
    """The filter as a fact of the log: an address only as its hash."""
    facts = {name: value for name, value in asdict(wanted).items() if value is not None}
    if "address" in facts:
        facts["address"] = _address_hash(facts["address"])
    return facts


def _entry(row: asyncpg.Record) -> Entry:
    sealed = row["reason"]
    return Entry(
        id=row["id"],
        actor_id=row["actor_id"],
        by=By(
            role=row["role"] and Role(row["role"]),
            session_id=row["session_id"] and str(row["session_id"]),
            address_hash=row["address_hash"],
            request_id=row["request_id"],
        ),
        action=row["action"],
        object=row["object"],
        detail=msgspec.json.decode(row["detail"]),
        reason=None if sealed is None else encryption.decrypt(REASON, row["id"], sealed),
        created_at=row["created_at"],
        seal=row["seal"],
    )
