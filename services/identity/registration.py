"""Registrations: applied for, reviewed by rules in a job, and by staff where rules don't know."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg

from domain import refusals, registration
from domain.identity import Decision, Role, Status, Viewer
from infra.queue import Job
from services import audit, notices, people
from services.identity import codes, contact, number_releases, persons
from services.people import NO_DETAILS, Details
from services.unit_of_work import Snapshot, UnitOfWork

_KINDS = {
    Status.ACTIVE: "REGISTRATION_APPROVED",
    Status.REFERRED: "REGISTRATION_REFERRED",
    Status.REJECTED: "REGISTRATION_REJECTED",
}
_COUNTED = (
    "version = version + 1,"
    " rejections = rejections + case when $2::varchar = 'REJECTED' then 1 else 0 end"
)
# A wallet counts until it is closed for good: then its ID number isn't kept here any more. One
# whose closing has only begun is CLOSED already, and may still be opened again.
_QUEUE = """
select u.*, (select count(*) from users o where o.id_number_index = u.id_number_index
              and o.id <> u.id and o.status in ('ACTIVE', 'CLOSED')) as others
  from users u where status = 'REFERRED'
   and ($1::timestamptz is null or (created_at, id) > ($1, $2::bigint))
   and ($3::timestamptz is null or (created_at, id) < ($3, $4::bigint))
"""
_QUEUE_FORWARDS = _QUEUE + " order by created_at, id limit $5"
_QUEUE_BACKWARDS = _QUEUE + " order by created_at desc, id desc limit $5"


@dataclass(frozen=True, slots=True)
class Registration:
    """An application as staff see it, opened. ``reason`` is a rule's code or what staff wrote.

    ``others`` counts active wallets of the same ID number, ``rejections`` earlier applications.
    """

    user_id: int
    name: str = field(repr=False)
    phone: str = field(repr=False)
    details: Details = field(repr=False)
    age_years: int | None
    others: int
    rejections: int
    status: Status
    reason: str | None
    requested_at: datetime
    version: int


async def register(
    work: UnitOfWork,
    *,
    name: str,
    phone: str,
    code_id: UUID,
    password_hash: str,
    language: str,
    details: Details = NO_DETAILS,
) -> int:
    """The new user's id, PENDING_REVIEW, and the job that reviews.

    ``code_id`` is of a code that was right (`codes.spend_try`); it is used up here. An account that
    has to let go of the number does so now (`number_releases`). Raises PhoneTaken, CodeInvalid,
    UnderAge, InvalidInput.
    """
    await persons.ensure_of_age(work, details.id_number)
    await codes.use(work, code_id)
    await number_releases.release(work, phone)
    user_id = await people.create(
        work,
        role=Role.RESIDENT,
        status=Status.PENDING_REVIEW,
        name=name,
        phone=phone,
        password_hash=password_hash,
        language=language,
        details=details,
    )
    work.enqueue(Job.REVIEW_REGISTRATION, stream=f"user:{user_id}", user_id=user_id)
    return user_id


async def resubmit(work: UnitOfWork, user_id: int, *, name: str, details: Details) -> None:
    """Hand a rejected application in again with all that it says now, and have it reviewed.

    Raises RegistrationNotRejected, RateLimited (after each third rejection), UnderAge,
    InvalidInput.
    """
    row = await work.fetchrow(
        "select rejections, reviewed_at from users where id = $1 and status = 'REJECTED'"
        " for update",
        user_id,
    )
    if row is None:
        raise refusals.RegistrationNotRejected
    free_at = registration.may_apply_again_at(row["rejections"], row["reviewed_at"])
    if free_at > work.now:
        wait_seconds = math.ceil((free_at - work.now).total_seconds())
        raise refusals.RateLimited(retry_after_seconds=wait_seconds)
    await persons.ensure_of_age(work, details.id_number)
    old = await people.details_of(work, user_id)
    verified = old.email_verified and details.email == old.email
    kept = dataclasses.replace(details, email_verified=verified)
    await people.correct(work, user_id, name=name, details=kept)
    await work.execute(
        "update users set status = 'PENDING_REVIEW', review_reason = null, review_text = null,"
        " reviewed_by = null, reviewed_at = null, version = version + 1,"
        " rejections = case when rejections >= $2 then 0 else rejections end where id = $1",
        user_id,
        registration.REJECTIONS_MAX,
    )
    if old.email_verified:
        await contact.tell_of_email(work, user_id, old=old, new=details.email)
    work.enqueue(Job.REVIEW_REGISTRATION, stream=f"user:{user_id}", user_id=user_id)
    work.announce(f"user:{user_id}")


async def may_apply_again_at(read: Snapshot, user_id: int) -> datetime | None:
    """From when the user's rejected application may be corrected; None if it isn't rejected."""
    row = await read.fetchrow(
        "select rejections, reviewed_at from users where id = $1 and status = 'REJECTED'", user_id
    )
    return registration.may_apply_again_at(*row) if row else None


async def review(work: UnitOfWork, user_id: int) -> Status | None:
    """Let the rules decide; the new status, or None if there was nothing to decide (any more)."""
    row = await work.fetchrow(
        "select * from users where id = $1 and status = 'PENDING_REVIEW' for update", user_id
    )
    if row is None:
        return None
    verdict = registration.review(
        name=people.open_name(user_id, row["name"]),
        phone=people.open_phone(user_id, row["phone"]),
        person=await _person(work, row),
        accounts_max=persons.accounts_max(),
    )
    decided = await work.fetchrow(
        f"update users set status = $2, review_reason = $3, reviewed_at = $4, {_COUNTED}"  # noqa: S608
        " where id = $1 returning *",
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
    """Decide a referred registration, recorded.

    ``expected_version`` None decides whatever version there is, as long as it is undecided. Raises
    NotFound, StaleVersion for the second, TooManyAccounts.
    """
    status = Status.ACTIVE if decision is Decision.APPROVE else Status.REJECTED
    row = await work.fetchrow(
        "update users set status = $2, review_reason = null, review_text = $3,"  # noqa: S608
        f" reviewed_by = $4, reviewed_at = $5, {_COUNTED} where id = $1 and status = 'REFERRED'"
        " and version = coalesce($6, version) returning *",
        user_id,
        status,
        people.seal_review_text(user_id, reason),
        viewer.user_id,
        work.now,
        expected_version,
    )
    if row is None:
        raise await _why_undecided(work, user_id)
    others = await _others_within_cap(work, row)
    await audit.record(
        work,
        actor_id=viewer.user_id,
        action="REVIEW_REGISTRATION",
        object=f"user:{user_id}",
        detail={"decision": decision.value},
        reason=reason,
    )
    await _follow(work, row)
    return _opened(row, others=others, today=await persons.today(work))


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
    today = await persons.today(work)
    return [_opened(row, others=row["others"], today=today) for row in rows]


async def _follow(work: UnitOfWork, row: asyncpg.Record) -> None:
    """What a decision brings: the wallet's account, a notice, and a live event."""
    user_id, status = row["id"], Status(row["status"])
    if status is Status.ACTIVE:
        await people.open_account(work, user_id, Role(row["role"]))
        await people.raise_kyc_level(work, user_id)
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


async def _why_undecided(read: Snapshot, user_id: int) -> refusals.Refusal:
    """Why a registration could not be decided: there is none, or somebody else was faster."""
    if await read.fetchval("select exists (select from users where id = $1)", user_id):
        return refusals.StaleVersion()
    return refusals.NotFound(path=("input", "registrationId"))


async def _others_within_cap(work: UnitOfWork, row: asyncpg.Record) -> int:
    """How many other wallets a decided applicant has. Raises TooManyAccounts for one too many."""
    person = await _person(work, row)
    if row["status"] == Status.ACTIVE:
        persons.ensure_within_cap(person)
    return len(person.others) if person else 0


async def _person(work: UnitOfWork, row: asyncpg.Record) -> registration.Person | None:
    """Who the ID number of a row of users stands for; see `persons.of_number`."""
    number = people.open_details(row["id"], row).id_number
    return await persons.of_number(work, number, but_user_id=row["id"])


def _opened(row: asyncpg.Record, *, others: int, today: date) -> Registration:
    details = people.open_details(row["id"], row)
    return Registration(
        user_id=row["id"],
        name=people.open_name(row["id"], row["name"]),
        phone=people.open_phone(row["id"], row["phone"]),
        details=details,
        age_years=persons.age_years(details.id_number, today),
        others=others,
        rejections=row["rejections"],
        status=Status(row["status"]),
        reason=people.open_review_text(row["id"], row["review_text"]) or row["review_reason"],
        requested_at=row["created_at"],
        version=row["version"],
    )
