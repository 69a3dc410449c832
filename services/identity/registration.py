"""Registrations: applied for, reviewed by rules in a job, and by staff where rules don't know."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from domain import refusals, registration
from domain.identity import Decision, Role, Status, Viewer
from infra.queue import Job
from services import audit, notices, people
from services.identity import codes
from services.unit_of_work import UnitOfWork

_KINDS = {
    Status.ACTIVE: "REGISTRATION_APPROVED",
    Status.REFERRED: "REGISTRATION_REFERRED",
    Status.REJECTED: "REGISTRATION_REJECTED",
}
_QUEUE = """
select id, role, status, phone, name, review_reason, review_text, version, created_at from users
 where status = 'REFERRED'
   and ($1::timestamptz is null or (created_at, id) > ($1, $2::bigint))
   and ($3::timestamptz is null or (created_at, id) < ($3, $4::bigint))
"""
_QUEUE_FORWARDS = _QUEUE + " order by created_at, id limit $5"
_QUEUE_BACKWARDS = _QUEUE + " order by created_at desc, id desc limit $5"


@dataclass(frozen=True, slots=True)
class Registration:
    """An application as staff see it, opened. ``reason`` is a rule's code or what staff wrote."""

    user_id: int
    name: str = field(repr=False)
    phone: str = field(repr=False)
    status: Status
    reason: str | None
    requested_at: datetime
    version: int


async def register(
    work: UnitOfWork, *, name: str, phone: str, code_id: UUID, password_hash: str, language: str
) -> int:
    """The new user's id, PENDING_REVIEW, and the job that reviews. Raises PhoneTaken, CodeInvalid.

    ``code_id`` is of a code that was right (`codes.spend_try`); it is used up here.
    """
    await codes.use(work, code_id)
    user_id = await people.create(
        work,
        role=Role.RESIDENT,
        status=Status.PENDING_REVIEW,
        name=name,
        phone=phone,
        password_hash=password_hash,
        language=language,
    )
    work.enqueue(Job.REVIEW_REGISTRATION, stream=f"user:{user_id}", user_id=user_id)
    return user_id


async def review(work: UnitOfWork, user_id: int) -> Status | None:
    """Let the rules decide; the new status, or None if there was nothing to decide (any more)."""
    row = await work.fetchrow(
        "select phone, name from users where id = $1 and status = 'PENDING_REVIEW' for update",
        user_id,
    )
    if row is None:
        return None
    verdict = registration.review(
        name=people.open_name(user_id, row["name"]), phone=people.open_phone(user_id, row["phone"])
    )
    decided = await work.fetchrow(
        "update users set status = $2, review_reason = $3, reviewed_at = $4,"
        " version = version + 1 where id = $1 returning *",
        user_id,
        verdict.status,
        verdict.reason,
        work.now,
    )
    assert decided is not None
    await _follow(work, decided)
    return verdict.status


async def review_by_staff(
    work: UnitOfWork,
    viewer: Viewer,
    *,
    user_id: int,
    decision: Decision,
    reason: str | None,
    expected_version: int | None,
) -> Registration:
    """Decide a referred registration, recorded. Raises NotFound, StaleVersion for the second.

    ``expected_version`` None decides whatever version there is, as long as it is undecided.
    """
    status = Status.ACTIVE if decision is Decision.APPROVE else Status.REJECTED
    row = await work.fetchrow(
        "update users set status = $2, review_reason = null, review_text = $3, reviewed_by = $4,"
        " reviewed_at = $5, version = version + 1 where id = $1 and status = 'REFERRED'"
        " and version = coalesce($6, version) returning *",
        user_id,
        status,
        people.seal_review_text(user_id, reason),
        viewer.user_id,
        work.now,
        expected_version,
    )
    if row is None:
        if await work.fetchval("select exists (select from users where id = $1)", user_id):
            raise refusals.StaleVersion
        raise refusals.NotFound(path=("input", "registrationId"))
    await audit.record(
        work,
        actor_id=viewer.user_id,
        action="REVIEW_REGISTRATION",
        object=f"user:{user_id}",
        detail={"decision": decision.value},
        reason=reason,
    )
    await _follow(work, row)
    return _opened(row)


async def queue(
    work: UnitOfWork,
    viewer: Viewer,
    *,
    limit: int,
    after: tuple[Any, ...] | None = None,
    before: tuple[Any, ...] | None = None,
    backwards: bool = False,
) -> list[Registration]:
    """Referred registrations strictly between two keys (requested_at, user_id), oldest first.

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
        action="READ_REGISTRATION_QUEUE",
        object="registrations",
        detail={"users": [row["id"] for row in rows]},
    )
    return [_opened(row) for row in rows]


async def _follow(work: UnitOfWork, row: asyncpg.Record) -> None:
    """What a decision brings: the wallet's account, a notice, and a live event."""
    user_id, status = row["id"], Status(row["status"])
    if status is Status.ACTIVE:
        await people.open_account(work, user_id, Role(row["role"]))
    # The words of staff stay in one place, sealed; the notice finds them when it is read.
    params = {"reason": row["review_reason"]} if row["review_reason"] else {}
    if row["review_text"] is not None:
        params = {"review_of": user_id}
    await notices.tell(
        work,
        user_id=user_id,
        kind=_KINDS[status],
        params=params,
        source=f"registration:{user_id}:{row['version']}",
    )
    work.announce(f"user:{user_id}")


def _opened(row: asyncpg.Record) -> Registration:
    return Registration(
        user_id=row["id"],
        name=people.open_name(row["id"], row["name"]),
        phone=people.open_phone(row["id"], row["phone"]),
        status=Status(row["status"]),
        reason=people.open_review_text(row["id"], row["review_text"]) or row["review_reason"],
        requested_at=row["created_at"],
        version=row["version"],
    )
