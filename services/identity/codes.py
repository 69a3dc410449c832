"""Verification codes: asked for, sent by a job, tried at most five times, used once.

Everything here is the same for phones that we know and phones that we don't.
"""

from __future__ import annotations

import hmac
import math
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from domain import refusals
from domain.identity import CODE_LIFE_SECONDS, CODE_RESEND_SECONDS, CODE_TRIES, CodePurpose, network
from infra import encryption, settings
from infra.queue import Job
from services import people
from services.unit_of_work import Snapshot, UnitOfWork

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_TEXTS = {
    "zh": "【鹏城钱包】您的验证码是{code}，5分钟内有效。请勿告诉任何人，包括工作人员。",
    "en": "[Pengcheng Wallet] Your code is {code}, valid for 5 minutes. Tell it to nobody.",
}


@dataclass(frozen=True, slots=True)
class Requested:
    """When the code dies, and after how many seconds another may be asked for."""

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
    """A code on its way out: phone in E.164 and the text in the caller's language."""

    phone: str = field(repr=False)
    text: str = field(repr=False)


async def request(
    work: UnitOfWork, *, phone: str, purpose: CodePurpose, address: str, language: str
) -> Requested:
    """Make a code for a phone (E.164) and have it sent. Older codes of the purpose stop working.

    Raises RateLimited: one a minute, and caps per phone and per address.
    """
    index = people.phone_index(phone)
    address_hash = encryption.blind_index("address", network(address))
    await _take_turns(work, index, address_hash)
    await _ensure_allowed(work, index, address_hash)
    code_id = uuid.uuid4()
    code = f"{secrets.randbelow(1_000_000):06d}"
    expires_at = work.now + timedelta(seconds=CODE_LIFE_SECONDS)
    await work.execute(
        "insert into verification_code(id, purpose, phone_index, address_hash, code_hash, code,"
        " tries_left, created_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        code_id,
        purpose,
        index,
        address_hash,
        _hash(code_id, code),
        encryption.encrypt("verification_code.code", code_id, f"{phone} {code}"),
        CODE_TRIES,
        work.now,
        expires_at,
    )
    work.enqueue(Job.SEND_CODE, code_id=str(code_id), language=language)
    return Requested(expires_at=expires_at, resend_after_seconds=CODE_RESEND_SECONDS)


async def spend_try(work: UnitOfWork, *, phone: str, purpose: CodePurpose, code: str) -> Tried:
    """Compare a code with the newest one of this phone, after spending one of its tries."""
    index = people.phone_index(phone)
    row = await work.fetchrow(
        "update verification_code set tries_left = tries_left - 1 where id = (select id"
        " from verification_code where phone_index = $1 and purpose = $2"
        " order by created_at desc, id desc limit 1)"
        " and tries_left > 0 and used_at is null and expires_at > $3 returning id, code_hash",
        index,
        purpose,
        work.now,
    )
    path = ("input", "code")
    if row is None:
        return Tried(None, await _why_not(work, index, purpose, path))
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


async def to_send(read: Snapshot, code_id: UUID, *, language: str) -> Message | None:
    """What to send; None if it was sent, or is too old to be worth sending."""
    sealed = await read.fetchval(
        "select code from verification_code where id = $1 and sent_at is null"
        " and used_at is null and expires_at > ledger.now()",
        code_id,
    )
    if not sealed:
        return None
    phone, code = encryption.decrypt("verification_code.code", code_id, sealed).split(" ")
    text = _TEXTS["zh" if language.startswith("zh") else "en"].format(code=code)
    return Message(phone=phone, text=text)


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


async def _take_turns(work: UnitOfWork, index: str, address_hash: str) -> None:
    """One request of a phone, and of an address, at a time: the caps are counted under this lock.

    Phone before address, in two spaces, so that two requests never wait for each other.
    """
    await work.execute("select pg_advisory_xact_lock(1, hashtext($1))", index)
    await work.execute("select pg_advisory_xact_lock(2, hashtext($1))", address_hash)


async def _ensure_allowed(work: UnitOfWork, index: str, address_hash: str) -> None:
    caps = settings.get_settings()
    rows = await work.fetch(
        "select created_at from verification_code where phone_index = $1 and created_at > $2"
        " order by created_at desc limit $3",
        index,
        work.now - _DAY,
        max(caps.code_daily_max_per_phone, caps.code_hourly_max_per_phone),
    )
    times = [row["created_at"] for row in rows]
    of_address = await work.fetchval(
        "select created_at from verification_code where address_hash = $1 and created_at > $2"
        " order by created_at desc offset $3 limit 1",
        address_hash,
        work.now - _HOUR,
        caps.code_hourly_max_per_address - 1,
    )
    free_at = [
        _free_at(times, 1, timedelta(seconds=CODE_RESEND_SECONDS)),
        _free_at(times, caps.code_hourly_max_per_phone, _HOUR),
        _free_at(times, caps.code_daily_max_per_phone, _DAY),
        of_address + _HOUR if of_address else None,
    ]
    latest = max((at for at in free_at if at is not None), default=work.now)
    if latest > work.now:
        wait_seconds = math.ceil((latest - work.now).total_seconds())
        raise refusals.RateLimited(retry_after_seconds=wait_seconds)


def _free_at(times: list[datetime], count: int, window: timedelta) -> datetime | None:
    """When the ``count``-th newest leaves the window; None if there are fewer."""
    return times[count - 1] + window if len(times) >= count else None


async def _why_not(
    work: UnitOfWork, index: str, purpose: CodePurpose, path: tuple[str, ...]
) -> refusals.Refusal:
    worn_out = await work.fetchval(
        "select used_at is null from verification_code where phone_index = $1 and purpose = $2"
        " order by created_at desc, id desc limit 1",
        index,
        purpose,
    )
    return refusals.CodeExpired(path=path) if worn_out else refusals.CodeInvalid(path=path)
