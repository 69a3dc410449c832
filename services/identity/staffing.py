"""Who is staff: appointed, moved to another role, dismissed; always by an ADMIN, never by oneself.

The database decides, and is the only one that writes a role (``migrations/sql/staffing.sql``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec

from domain import registration, staffing
from domain.identity import STAFF, Role
from domain.notices import NoticeKind
from domain.staffing import ChangeState
from infra import encryption
from services import audit, notices, people
from services.identity import sessions
from services.unit_of_work import Snapshot, UnitOfWork

REASON = "role_change.reason"
Key = tuple[datetime, UUID]
_CHANGE = """
select c.id, c.user_id, c.from_role, c.to_role, c.reason, c.proposed_by, c.proposed_at,
       c.decided_by, c.decided_at, u.name,
       case when c.state = 'PROPOSED' and c.proposed_at <= ledger.now() - interval '1 day'
            then 'EXPIRED' else c.state end as state
  from role_change c join users u on u.id = c.user_id"""
_MEMBERS = """
select u.id, u.role, u.name, u.phone, u.created_at,
       exists (select from totp where user_id = u.id and confirmed_at is not null) as has_totp,
       exists (select from passkey where user_id = u.id and removed_at is null) as has_passkey
  from users u"""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of role, opened. ``reason`` is None for the first admin, whom nobody appointed."""

    id: UUID
    user_id: int
    name: str = field(repr=False)
    from_role: Role
    to_role: Role
    state: ChangeState
    reason: str | None = field(repr=False)
    proposed_by: int
    proposed_at: datetime
    decided_by: int | None
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class Member:
    """A member of staff. ``phone`` is masked."""

    user_id: int
    role: Role
    name: str = field(repr=False)
    phone: str = field(repr=False)
    has_totp: bool
    has_passkey: bool
    registered_at: datetime


async def change_role(
    work: UnitOfWork, *, actor_id: int, user_id: int, from_role: Role, to_role: Role, reason: str
) -> Change:
    """Change a role now, or propose it where another ADMIN has to confirm.

    With the change the person's sessions end. Raises NotPermitted, NotFound, StaleVersion,
    AccountNotActive, WalletInUse.
    """
    change_id = uuid4()
    outcome = await work.fetchval(
        "select change_role_v1($1, $2, $3, $4, $5, $6, $7::jsonb)",
        change_id,
        actor_id,
        user_id,
        from_role,
        to_role,
        encryption.encrypt(REASON, change_id, reason),
        await _circumstances(work, actor_id, reason),
    )
    staffing.check(outcome)
    return await _followed(work, change_id)


async def decide(work: UnitOfWork, *, actor_id: int, change_id: UUID, confirm: bool) -> Change:
    """Confirm or reject what another ADMIN proposed; whoever proposed it may only take it back.

    Raises NotPermitted, NotFound, StaleVersion, SecondPersonNeeded, AccountNotActive, WalletInUse.
    """
    outcome = await work.fetchval(
        "select decide_role_change_v1($1, $2, $3, $4::jsonb)",
        change_id,
        actor_id,
        confirm,
        await _circumstances(work, actor_id, None),
    )
    staffing.check(outcome)
    return await _followed(work, change_id)


async def make_first_admin(work: UnitOfWork, user_id: int) -> bool:
    """Make an ACTIVE resident the first ADMIN; False if there is an ADMIN already."""
    outcome = await work.fetchval("select make_first_admin_v1($1, $2)", uuid4(), user_id)
    if outcome == "EXISTS":
        return False
    staffing.check(outcome)
    return True


async def role_of(read: Snapshot, user_id: int) -> Role | None:
    """The role of a member of staff; None for everybody else."""
    role = await read.fetchval("select role from users where id = $1", user_id)
    return Role(role) if role in STAFF else None


async def members(
    work: UnitOfWork,
    *,
    actor_id: int,
    limit: int,
    after: tuple[Any, ...] | None = None,
    before: tuple[Any, ...] | None = None,
    backwards: bool = False,
) -> list[Member]:
    """Members of staff strictly between two keys (registered_at, user_id), newest first.

    Who looked is recorded in this unit of work: the data may leave after its commit only.
    """
    order = "u.created_at, u.id" if backwards else "u.created_at desc, u.id desc"
    rows = await work.fetch(
        f"{_MEMBERS} where u.role not in ('RESIDENT', 'MERCHANT')"
        " and ($1::timestamptz is null or (u.created_at, u.id) < ($1, $2::bigint))"
        " and ($3::timestamptz is null or (u.created_at, u.id) > ($3, $4::bigint))"
        f" order by {order} limit {int(limit)}",
        *(after or (None, None)),
        *(before or (None, None)),
    )
    users = [row["id"] for row in rows]
    await audit.record(
        work, actor_id=actor_id, action="READ_STAFF", object="staff", detail={"users": users}
    )
    return [_member(row) for row in rows]


async def member(read: Snapshot, user_id: int) -> Member | None:
    """One member of staff; None for everybody else."""
    row = await read.fetchrow(f"{_MEMBERS} where u.id = $1", user_id)
    return _member(row) if row is not None and row["role"] in STAFF else None


async def changes(
    work: UnitOfWork,
    *,
    actor_id: int,
    limit: int,
    after: Key | None = None,
    before: Key | None = None,
    backwards: bool = False,
) -> list[Change]:
    """Changes of role strictly between two keys, newest first; who looked is recorded."""
    order = "c.proposed_at, c.id" if backwards else "c.proposed_at desc, c.id desc"
    rows = await work.fetch(
        f"{_CHANGE} where ($1::timestamptz is null or (c.proposed_at, c.id) < ($1, $2::uuid))"
        " and ($3::timestamptz is null or (c.proposed_at, c.id) > ($3, $4::uuid))"
        f" order by {order} limit {int(limit)}",
        *(after or (None, None)),
        *(before or (None, None)),
    )
    ids = [str(row["id"]) for row in rows]
    await audit.record(
        work,
        actor_id=actor_id,
        action="READ_ROLE_CHANGES",
        object="role_changes",
        detail={"changes": ids},
    )
    return [_change(row) for row in rows]


async def _followed(work: UnitOfWork, change_id: UUID) -> Change:
    """What a change brings: sessions of the old role end, and the person is told.

    Authenticators are for staff: that of whoever leaves is forgotten.
    """
    row = await work.fetchrow(f"{_CHANGE} where c.id = $1", change_id)
    assert row is not None
    change = _change(row)
    if change.state is ChangeState.DONE:
        await sessions.shut_out(work, change.user_id, reason="ROLE_CHANGED")
        if change.to_role is Role.RESIDENT:
            await work.execute("delete from totp where user_id = $1", change.user_id)
        await notices.tell(
            work,
            user_id=change.user_id,
            kind=NoticeKind.STAFF_ROLE_CHANGED,
            params={"role": change.to_role.value},
            source=f"role_change:{change.id}",
        )
    return change


async def _circumstances(work: UnitOfWork, actor_id: int, reason: str | None) -> str:
    known = await audit.circumstances(work, actor_id=actor_id, reason=reason)
    return msgspec.json.encode(known).decode()


def _change(row: asyncpg.Record) -> Change:
    sealed = row["reason"]
    return Change(
        id=row["id"],
        user_id=row["user_id"],
        name=people.open_name(row["user_id"], row["name"]),
        from_role=Role(row["from_role"]),
        to_role=Role(row["to_role"]),
        state=ChangeState(row["state"]),
        reason=None if sealed is None else encryption.decrypt(REASON, row["id"], sealed),
        proposed_by=row["proposed_by"],
        proposed_at=row["proposed_at"],
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
    )


def _member(row: asyncpg.Record) -> Member:
    return Member(
        user_id=row["id"],
        role=Role(row["role"]),
        name=people.open_name(row["id"], row["name"]),
        phone=registration.masked_phone(people.open_phone(row["id"], row["phone"])),
        has_totp=row["has_totp"],
        has_passkey=row["has_passkey"],
        registered_at=row["created_at"],
    )
