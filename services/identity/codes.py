"""Verification codes: asked for, sent or mailed by a job, tried at most five times, used once.

A code belongs to the request that it was made for: only whoever got that request's id can try it,
so a stranger who asks for the same phone neither sees nor spoils the owner's code. Everything that
a request does is the same for phones that we know and phones that we don't.
"""

from __future__ import annotations

import hmac
import math
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import structlog

from domain import codes as rules
from domain import refusals
from domain.identity import CODE_LIFE_SECONDS, CODE_RESEND_SECONDS, CODE_TRIES, CodePurpose, network
from infra import encryption, settings
from infra.queue import Job
from services import people
from services.unit_of_work import Snapshot, UnitOfWork

log = structlog.get_logger()
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Requested:
    """The request's id, without which its code is worthless; when the code dies; when to ask again.

    The id is made by chance and known to the asker only.
    """

    verification_id: UUID
    expires_at: datetime
    resend_after_seconds: int


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a try: the code's id if it was right, else why not.

    The refusal is raised after the commit, because the try must stay spent.
    """

    code_id: UUID | None
    refusal: refusals.Refusal | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A code on its way out, in the caller's language.

    ``to`` is a phone in E.164, or a mail address where there is a ``subject``.
    """

    to: str = field(repr=False)
    text: str = field(repr=False)
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class _Recipient:
    """Where a code goes: what it is looked up by, and as it is written."""

    index: str
    written: str = field(repr=False)


async def request(
    work: UnitOfWork,
    *,
    phone: str,
    purpose: CodePurpose,
    address: str,
    language: str,
    subject: str = "",
) -> Requested:
    """Make a code for a phone (E.164) and have it sent; codes that were asked for before stay good.

    ``subject`` (64 characters) names the one thing the code is for, a login or payment challenge.
    Raises RateLimited: one a minute per phone and purpose, and caps per phone, address and in all.
    """
    return await _request(
        work,
        _Recipient(people.phone_index(phone), phone),
        purpose=purpose,
        address=address,
        language=language,
        subject=subject,
    )


async def request_by_mail(
    work: UnitOfWork, *, email: str, user_id: int, address: str, language: str
) -> Requested:
    """Make a code that proves to be a user's a mail address (as `domain.registration.email` gave).

    Raises RateLimited: as for phones, and what a user asks for is counted whatever the address.
    """
    return await _request(
        work,
        _Recipient(_email_index(email), email),
        purpose=CodePurpose.CONTACT_EMAIL,
        address=address,
        language=language,
        subject=subject_of(user_id),
    )


async def _request(
    work: UnitOfWork,
    to: _Recipient,
    *,
    purpose: CodePurpose,
    address: str,
    language: str,
    subject: str,
) -> Requested:
    address_hash = encryption.blind_index("address", network(address))
    asker = subject if purpose in rules.BY_MAIL else None
    await _take_turns(work, [to.index], address_hash, asker)
    await _ensure_allowed(work, to.index, address_hash, purpose, asker=asker)
    code_id = uuid.uuid4()
    code = f"{secrets.randbelow(1_000_000):06d}"
    expires_at = work.now + timedelta(seconds=CODE_LIFE_SECONDS)
    await work.execute(
        "insert into verification_code(id, purpose, subject, phone_index, address_hash, code_hash,"
        " code, tries_left, created_at, expires_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        code_id,
        purpose,
        subject,
        to.index,
        address_hash,
        _hash(code_id, code),
        encryption.encrypt("verification_code.code", code_id, f"{to.written} {code}"),
        CODE_TRIES,
        work.now,
        expires_at,
    )
    await _count_in_total(work, purpose)
    work.enqueue(Job.SEND_CODE, code_id=str(code_id), language=language)
    return Requested(code_id, expires_at, resend_after_seconds=CODE_RESEND_SECONDS)


async def take_turns(work: UnitOfWork, *, phones: list[str], address: str) -> None:
    """Before requests for several phones (E.164) in one unit of work: all locks in one order."""
    address_hash = encryption.blind_index("address", network(address))
    # In the order of the locks' numbers: two phones may share one.
    indexes = await work.fetch(
        "select i from unnest($1::text[]) i order by hashtext(i)",
        list(map(people.phone_index, phones)),
    )
    await _take_turns(work, [row["i"] for row in indexes], address_hash)


async def spend_try(
    work: UnitOfWork,
    *,
    phone: str,
    purpose: CodePurpose,
    verification_id: UUID,
    code: str,
    subject: str = "",
) -> Tried:
    """Compare a code with that of a request, after spending one of its tries.

    Phone, purpose and subject must be those that it was asked for; if not, no try is spent.
    """
    return await spend_try_of(
        work,
        phone_index=people.phone_index(phone),
        purpose=purpose,
        verification_id=verification_id,
        code=code,
        subject=subject,
    )


async def spend_try_by_mail(
    work: UnitOfWork, *, email: str, user_id: int, verification_id: UUID, code: str
) -> Tried:
    """The same for a code that was mailed for a user: the address must be the same."""
    return await spend_try_of(
        work,
        phone_index=_email_index(email),
        purpose=CodePurpose.CONTACT_EMAIL,
        verification_id=verification_id,
        code=code,
        subject=subject_of(user_id),
    )


async def spend_try_of(
    work: UnitOfWork,
    *,
    phone_index: str,
    purpose: CodePurpose,
    verification_id: UUID,
    code: str,
    subject: str = "",
) -> Tried:
    """The same where only the index of the phone, or of the mail address, is known."""
    row = await work.fetchrow(
        "update verification_code set tries_left = tries_left - 1 where id = $1"
        " and phone_index = $2 and purpose = $3 and subject = $4"
        " and tries_left > 0 and used_at is null and expires_at > $5 returning id, code_hash",
        verification_id,
        phone_index,
        purpose,
        subject,
        work.now,
    )
    path = ("input", "code")
    if row is None:
        return Tried(None, await _why_not(work, verification_id, path))
    if not hmac.compare_digest(row["code_hash"], _hash(row["id"], code)):
        return Tried(None, refusals.CodeInvalid(path=path))
    return Tried(row["id"])


async def use(work: UnitOfWork, code_id: UUID) -> None:
    """Use a code that was right. Raises CodeInvalid for whoever comes second."""
    used = await work.fetchval(
        "update verification_code set used_at = $2 where id = $1 and used_at is null returning id",
        code_id,
        work.now,
    )
    if used is None:
        raise refusals.CodeInvalid(path=("input", "code"))


async def give_back_try(work: UnitOfWork, verification_id: UUID) -> None:
    """Nothing came of the try (the hasher was busy): it doesn't count."""
    await work.execute(
        "update verification_code set tries_left = least(tries_left + 1, $2)"
        " where id = $1 and used_at is null",
        verification_id,
        CODE_TRIES,
    )


async def to_send(read: Snapshot, code_id: UUID, *, language: str) -> Message | None:
    """What to send; None if it was sent, is too old, or goes to a phone that is nobody's in vain.

    Here, in a job, and not where codes are asked for, so that askers can't time the difference.
    """
    row = await read.fetchrow(
        "select code, purpose, subject, exists (select from users u"
        " where u.phone_index = v.phone_index and u.status <> 'CLOSED') as known,"
        " exists (select from users u where u.phone_index = v.phone_index) as taken"
        " from verification_code v where id = $1"
        " and sent_at is null and used_at is null and expires_at > ledger.now()",
        code_id,
    )
    if row is None or not row["code"]:
        return None
    purpose = CodePurpose(row["purpose"])
    if purpose in rules.TO_KNOWN_PHONES and not row["known"]:
        return None
    if row["subject"].startswith(rules.OF_NEW_PHONE) and row["taken"]:
        return None
    to, code = encryption.decrypt("verification_code.code", code_id, row["code"]).split(" ")
    if purpose in rules.BY_MAIL:
        subject, text = rules.mail(purpose, code, language=language)
        return Message(to=to, text=text, subject=subject)
    return Message(to=to, text=rules.text(purpose, code, language=language))


async def forget(work: UnitOfWork, code_id: UUID, *, sent: bool) -> None:
    """Blank the readable code; from now on only its hash is left."""
    await work.execute(
        "update verification_code set code = ''::bytea,"
        " sent_at = case when $3 then coalesce(sent_at, $2) else sent_at end where id = $1",
        code_id,
        work.now,
        sent,
    )


def _hash(code_id: UUID, code: str) -> str:
    return encryption.blind_index("code", f"{code_id}:{code}")


def _email_index(email: str) -> str:
    return encryption.blind_index("email", email)


def subject_of(user_id: int) -> str:
    """What a code is bound to that is mailed for a user."""
    return f"user {user_id}"


def _counted_with(purpose: CodePurpose) -> list[str]:
    """The purposes whose codes are counted together."""
    return sorted(rules.ASKERS[rules.asker(purpose)])


async def _take_turns(
    work: UnitOfWork, indexes: list[str], address_hash: str, asker: str | None = None
) -> None:
    """One request of a recipient, and of an address, at a time: caps are counted under this lock.

    Recipient, address and asker are three spaces, in this order, so that two requests never wait
    for each other.
    """
    for index in indexes:
        await work.execute("select pg_advisory_xact_lock(1, hashtext($1))", index)
    await work.execute("select pg_advisory_xact_lock(2, hashtext($1))", address_hash)
    if asker is not None:
        await work.execute("select pg_advisory_xact_lock(6, hashtext($1))", asker)


async def _ensure_allowed(
    work: UnitOfWork,
    index: str,
    address_hash: str,
    purpose: CodePurpose,
    *,
    asker: str | None = None,
) -> None:
    caps = settings.get_settings()
    free_at = await _free_again(work, "phone_index", index, purpose)
    if asker is not None:
        free_at += await _free_again(work, "subject", asker, purpose)
    of_address = await work.fetchval(
        "select created_at from verification_code where address_hash = $1"
        " and purpose = any($2::text[]) and created_at > $3"
        " order by created_at desc offset $4 limit 1",
        address_hash,
        _counted_with(purpose),
        work.now - _HOUR,
        caps.code_hourly_max_per_address - 1,
    )
    free_at += [of_address + _HOUR if of_address else None]
    _refuse_until(work, max((at for at in free_at if at is not None), default=work.now))


async def _free_again(
    work: UnitOfWork, column: Literal["phone_index", "subject"], value: str, purpose: CodePurpose
) -> list[datetime | None]:
    """When each of the caps of a recipient or of an asker leaves room; None for those that do."""
    caps = settings.get_settings()
    rows = await work.fetch(
        f"select created_at, purpose from verification_code where {column} = $1"  # noqa: S608
        " and purpose = any($2::text[]) and created_at > $3 order by created_at desc limit $4",
        value,
        _counted_with(purpose),
        work.now - _DAY,
        max(caps.code_daily_max_per_phone, caps.code_hourly_max_per_phone),
    )
    times = [row["created_at"] for row in rows]
    same = [row["created_at"] for row in rows if row["purpose"] == purpose]
    return [
        _free_at(same, 1, timedelta(seconds=CODE_RESEND_SECONDS)),
        _free_at(times, caps.code_hourly_max_per_phone, _HOUR),
        _free_at(times, caps.code_daily_max_per_phone, _DAY),
    ]


def _free_at(times: list[datetime], count: int, window: timedelta) -> datetime | None:
    """When the ``count``-th newest leaves the window; None if there are fewer."""
    return times[count - 1] + window if len(times) >= count else None


async def _count_in_total(work: UnitOfWork, purpose: CodePurpose) -> None:
    """Caps over all phones: each text costs money, and pumping them up is a business.

    Whoever comes second waits for this row's lock until the first commits: so it is taken last.
    """
    caps = settings.get_settings()
    hour = work.now.replace(minute=0, second=0, microsecond=0)
    askers = rules.asker(purpose)
    for period, starts_at, length, cap in (
        ("HOUR", hour, _HOUR, caps.code_hourly_max_total),
        ("DAY", hour.replace(hour=0), _DAY, caps.code_daily_max_total),
    ):
        count = await work.fetchval(
            "insert into code_total as t (askers, period, starts_at, count) values ($1, $2, $3, 1)"
            " on conflict (askers, period, starts_at) do update set count = t.count + 1"
            " where t.count < $4 returning count",
            askers,
            period,
            starts_at,
            cap,
        )
        if count is None:
            _refuse_until(work, starts_at + length)
        if count == cap:
            log.warning("codes_total_reached", askers=askers, period=period, cap=cap)


def _refuse_until(work: UnitOfWork, free_at: datetime) -> None:
    if free_at > work.now:
        wait_seconds = math.ceil((free_at - work.now).total_seconds())
        raise refusals.RateLimited(retry_after_seconds=wait_seconds)


async def _why_not(
    work: UnitOfWork, verification_id: UUID, path: tuple[str, ...]
) -> refusals.Refusal:
    worn_out = await work.fetchval(
        "select used_at is null and (tries_left = 0 or expires_at <= $2)"
        " from verification_code where id = $1",
        verification_id,
        work.now,
    )
    return refusals.CodeExpired(path=path) if worn_out else refusals.CodeInvalid(path=path)
