"""Identity checks: name and ID number of somebody who registered by phone only, reviewed.

The wallet works as before meanwhile. What was handed in lies here, sealed, until it is decided; if
it is approved, it becomes the user's own, and the KYC level rises. Rules decide first, staff decide
what rules don't know, as with registrations. The user's row is locked before the check's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from domain import refusals, registration
from domain.identity import CheckState, Decision, KycLevel, Status, Viewer
from domain.notices import NoticeKind
from infra import encryption
from infra.queue import Job
from services import audit, notices, people, wallets
from services.identity import persons
from services.unit_of_work import Snapshot, UnitOfWork

_NAME, _NUMBER = "identity_check.name", "identity_check.id_number"
_KINDS = {
    CheckState.APPROVED: NoticeKind.IDENTITY_APPROVED,
    CheckState.REFERRED: NoticeKind.IDENTITY_REFERRED,
    CheckState.REJECTED: NoticeKind.IDENTITY_REJECTED,
}
_STATES = {
    Status.ACTIVE: CheckState.APPROVED,
    Status.REFERRED: CheckState.REFERRED,
    Status.REJECTED: CheckState.REJECTED,
}
_OPEN = "state in ('PENDING_REVIEW', 'REFERRED')"
_QUEUE = """
select c.*, u.name as known_as, u.phone from identity_check c join users u on u.id = c.user_id
 where c.state = 'REFERRED' and u.status = 'ACTIVE'
   and ($1::timestamptz is null or (c.created_at, c.id) > ($1, $2::uuid))
   and ($3::timestamptz is null or (c.created_at, c.id) < ($3, $4::uuid))
"""
_QUEUE_FORWARDS = _QUEUE + " order by c.created_at, c.id limit $5"
_QUEUE_BACKWARDS = _QUEUE + " order by c.created_at desc, c.id desc limit $5"


@dataclass(frozen=True, slots=True)
class Check:
    """A check as its user sees it. ``reason`` is a rule's code or what staff wrote."""

    id: UUID
    state: CheckState
    reason: str | None
    requested_at: datetime
    reviewed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Case:
    """A check as staff see it, opened. ``known_as`` is the name that the user has until now."""

    id: UUID
    user_id: int
    name: str = field(repr=False)
    known_as: str = field(repr=False)
    id_number: str = field(repr=False)
    phone: str = field(repr=False)
    age_years: int | None
    state: CheckState
    reason: str | None
    requested_at: datetime
    version: int


async def submit(work: UnitOfWork, user_id: int, *, name: str, id_number: str) -> None:
    """Hand in a cleaned name and a parsed ID number, and have them reviewed.

    Raises IdentityKnown, IdentityUnderReview, UnderAge, InvalidInput, RateLimited (for a day, after
    three rejections within one).
    """
    level = await _lock_user(work, user_id)
    if level is None:
        raise refusals.AccountNotActive
    if level["kyc_level"] != KycLevel.PHONE:
        raise refusals.IdentityKnown
    await persons.ensure_of_age(work, id_number)
    await _ensure_not_too_often(work, user_id)
    check_id = uuid4()  # made here: the ciphertexts are bound to it
    made = await work.fetchval(
        "insert into identity_check(id, user_id, state, name, id_number, created_at)"  # noqa: S608
        f" values ($1, $2, 'PENDING_REVIEW', $3, $4, $5) on conflict (user_id) where {_OPEN}"
        " do nothing returning id",
        check_id,
        user_id,
        encryption.encrypt(_NAME, check_id, name),
        encryption.encrypt(_NUMBER, check_id, id_number),
        work.now,
    )
    if made is None:
        raise refusals.IdentityUnderReview
    work.enqueue(Job.REVIEW_IDENTITY, stream=f"user:{user_id}", check_id=str(check_id))
    work.announce(f"user:{user_id}")


async def resume(work: UnitOfWork, user_id: int) -> None:
    """Have a check reviewed whose job may have found its user on the way out, who stayed."""
    check_id = await work.fetchval(
        "select id from identity_check where user_id = $1 and state = 'PENDING_REVIEW'", user_id
    )
    if check_id is not None:
        work.enqueue(Job.REVIEW_IDENTITY, stream=f"user:{user_id}", check_id=str(check_id))


async def latest(read: Snapshot, user_id: int) -> Check | None:
    """The user's newest check."""
    row = await read.fetchrow(
        "select * from identity_check where user_id = $1 order by created_at desc, id desc limit 1",
        user_id,
    )
    if row is None:
        return None
    return Check(
        id=row["id"],
        state=CheckState(row["state"]),
        reason=_reason(row),
        requested_at=row["created_at"],
        reviewed_at=row["reviewed_at"],
    )


async def review(work: UnitOfWork, check_id: UUID) -> CheckState | None:
    """Let the rules decide; the new state, or None if there was nothing to decide (any more)."""
    found = await _lock(work, check_id, CheckState.PENDING_REVIEW)
    if found is None:
        return None
    user, row = found
    number = _number(row)
    verdict = registration.review(
        name=_name(row),
        phone=people.open_phone(user["id"], user["phone"]),
        person=await persons.of_number(work, number, but_user_id=user["id"]),
        accounts_max=persons.accounts_max(),
        known_as=people.open_name(user["id"], user["name"]),
    )
    state = _STATES[verdict.status]
    await _decide(work, user, row, state=state, reason=verdict.reason)
    return state


async def review_by_staff(
    work: UnitOfWork,
    viewer: Viewer,
    *,
    check_id: UUID,
    decision: Decision,
    reason: str | None,
    expected_version: int | None,
) -> Case:
    """Decide a referred check, recorded.

    ``expected_version`` None decides whatever version there is. Raises NotFound, StaleVersion for
    whoever comes second, TooManyAccounts.
    """
    found = await _lock(work, check_id, CheckState.REFERRED)
    if found is None or expected_version not in (None, found[1]["version"]):
        raise await _why_undecided(work, check_id)
    user, row = found
    state = CheckState.APPROVED if decision is Decision.APPROVE else CheckState.REJECTED
    if state is CheckState.APPROVED:
        person = await persons.of_number(work, _number(row), but_user_id=user["id"])
        persons.ensure_within_cap(person)
    await audit.record(
        work,
        actor_id=viewer.user_id,
        action="REVIEW_IDENTITY",
        object=f"user:{user['id']}",
        detail={"check_id": str(check_id), "decision": decision.value},
        reason=reason,
    )
    decided = await _decide(work, user, row, state=state, text=reason, by=viewer.user_id)
    return _case(row, decided, user, await persons.today(work))


async def queue(
    work: UnitOfWork,
    viewer: Viewer,
    *,
    limit: int,
    after: tuple[Any, ...] | None = None,
    before: tuple[Any, ...] | None = None,
    backwards: bool = False,
) -> list[Case]:
    """Referred checks strictly between two keys (requested_at, id), oldest first.

    ``backwards`` reads from the end. Who looked at whom is recorded in this unit of work, so the
    data may leave after its commit only.
    """
    rows = await work.fetch(
        _QUEUE_BACKWARDS if backwards else _QUEUE_FORWARDS,
        *(after or (None, None)),
        *(before or (None, None)),
        limit,
    )
    await audit.record(
        work,
        actor_id=viewer.user_id,
        action="READ_IDENTITY_QUEUE",
        object="identity_checks",
        detail={"users": [row["user_id"] for row in rows]},
    )
    day = await persons.today(work)
    users = [{"name": row["known_as"], "phone": row["phone"]} for row in rows]
    return [_case(row, row, user, day) for row, user in zip(rows, users, strict=True)]


async def _lock_user(work: UnitOfWork, user_id: int) -> asyncpg.Record | None:
    return await work.fetchrow(
        "select id, name, phone, kyc_level from users where id = $1 and status = 'ACTIVE'"
        " for no key update",
        user_id,
    )


async def _lock(
    work: UnitOfWork, check_id: UUID, state: CheckState
) -> tuple[asyncpg.Record, asyncpg.Record] | None:
    """The user and the check, locked in this order; None if the check isn't in this state."""
    user_id = await work.fetchval("select user_id from identity_check where id = $1", check_id)
    user = await _lock_user(work, user_id) if user_id is not None else None
    if user is None:
        return None
    row = await work.fetchrow(
        "select * from identity_check where id = $1 and state = $2 for update", check_id, state
    )
    return (user, row) if row is not None else None


async def _decide(
    work: UnitOfWork,
    user: asyncpg.Record,
    row: asyncpg.Record,
    *,
    state: CheckState,
    reason: str | None = None,
    text: str | None = None,
    by: int | None = None,
) -> asyncpg.Record:
    """Write a decision down with all that follows; the check's row as it is then."""
    user_id = user["id"]
    decided = await work.fetchrow(
        "update identity_check set state = $2, reason = $3, review_text = $4, reviewed_by = $5,"
        " reviewed_at = $6, version = version + 1,"
        " name = case when $2::varchar = 'REFERRED' then name end,"
        " id_number = case when $2::varchar = 'REFERRED' then id_number end"
        " where id = $1 returning *",
        row["id"],
        state,
        reason,
        people.seal_check_text(row["id"], text),
        by,
        work.now,
    )
    assert decided is not None
    if state is CheckState.APPROVED:
        await _make_known(work, user, row)
    params = {"reason": reason} if reason else {"check_id": str(row["id"])} if text else {}
    await notices.tell(
        work,
        user_id=user_id,
        kind=_KINDS[state],
        params=params,
        source=f"identity:{row['id']}:{decided['version']}",
    )
    work.announce(f"user:{user_id}")
    return decided


async def _make_known(work: UnitOfWork, user: asyncpg.Record, row: asyncpg.Record) -> None:
    """Name and number are the user's now; a card in another name says nothing of them."""
    if people.open_name(user["id"], user["name"]) != _name(row):
        await wallets.forget_holder_checks(work, user["id"])
    await people.identify(work, user["id"], name=_name(row), id_number=_number(row))
    await people.raise_kyc_level(work, user["id"])


async def _ensure_not_too_often(work: UnitOfWork, user_id: int) -> None:
    day = timedelta(seconds=registration.COOL_DOWN_SECONDS)
    third = await work.fetchval(
        "select reviewed_at from identity_check where user_id = $1 and state = 'REJECTED'"
        " and reviewed_at > $2 order by reviewed_at desc offset $3 limit 1",
        user_id,
        work.now - day,
        registration.REJECTIONS_MAX - 1,
    )
    if third is not None:
        wait_seconds = math.ceil((third + day - work.now).total_seconds())
        raise refusals.RateLimited(retry_after_seconds=wait_seconds)


async def _why_undecided(read: Snapshot, check_id: UUID) -> refusals.Refusal:
    """Why a check could not be decided: there is none, or somebody else was faster."""
    if await read.fetchval("select exists (select from identity_check where id = $1)", check_id):
        return refusals.StaleVersion()
    return refusals.NotFound(path=("input", "identityCheckId"))


def open_told(row: asyncpg.Record) -> tuple[str, str] | None:
    """Name and ID number as they were handed in; None once it is decided and they are gone."""
    if row["name"] is None:
        return None
    return _name(row), _number(row)


def _name(row: asyncpg.Record) -> str:
    return encryption.decrypt(_NAME, row["id"], row["name"])


def _number(row: asyncpg.Record) -> str:
    return encryption.decrypt(_NUMBER, row["id"], row["id_number"])


def _reason(row: asyncpg.Record) -> str | None:
    return people.open_check_text(row["id"], row["review_text"]) or row["reason"]


def _case(handed_in: asyncpg.Record, now: asyncpg.Record, user: Any, day: date) -> Case:
    """``handed_in`` has the sealed texts, which are gone from a decided row (``now``)."""
    number = _number(handed_in)
    return Case(
        id=now["id"],
        user_id=now["user_id"],
        name=_name(handed_in),
        known_as=people.open_name(now["user_id"], user["name"]),
        id_number=number,
        phone=people.open_phone(now["user_id"], user["phone"]),
        age_years=persons.age_years(number, day),
        state=CheckState(now["state"]),
        reason=_reason(now),
        requested_at=now["created_at"],
        version=now["version"],
    )
