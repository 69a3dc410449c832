"""Authenticator apps of staff: set up once, checked under their row's lock, each code good once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg
import pyotp

from domain import refusals, totp
from domain.notices import NoticeKind
from infra import encryption
from services import notices
from services.unit_of_work import Snapshot, UnitOfWork

SECRET = "totp.secret"  # noqa: S105 - a place, not a secret
ISSUER = "Pengcheng Wallet"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an app needs, shown once: ``secret`` to type, ``uri`` to scan."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


async def is_set(read: Snapshot, user_id: int) -> bool:
    """Whether somebody has an authenticator that works."""
    return await read.fetchval(
        "select exists (select from totp where user_id = $1 and confirmed_at is not null)", user_id
    )


async def enrol(work: UnitOfWork, user_id: int, *, label: str) -> Enrolment:
    """A new secret, which works once `confirm` has seen a code of it.

    Before that a later one replaces it. Raises TotpAlreadySet.
    """
    secret = pyotp.random_base32(totp.SECRET_LENGTH)
    made = await work.fetchval(
        "insert into totp as t (user_id, secret, created_at) values ($1, $2, $3)"
        " on conflict (user_id) do update set secret = excluded.secret,"
        " created_at = excluded.created_at where t.confirmed_at is null returning user_id",
        user_id,
        encryption.encrypt(SECRET, user_id, secret),
        work.now,
    )
    if made is None:
        raise refusals.TotpAlreadySet
    return Enrolment(secret=secret, uri=totp.uri(secret, label=label, issuer=ISSUER))


async def confirm(work: UnitOfWork, user_id: int, code: str) -> refusals.Refusal | None:
    """Take the new secret into use by a first code; its owner is told. None if that went well.

    A refusal is for after the commit: the try stays counted.
    """
    row = await _lock(work, user_id)
    if row is None:
        return refusals.TotpNotSet()
    if row["confirmed_at"] is not None:
        return refusals.TotpAlreadySet()
    refused = await _spend(work, row, code)
    if refused is None:
        await work.execute(
            "update totp set confirmed_at = $2 where user_id = $1", user_id, work.now
        )
        await notices.tell(
            work,
            user_id=user_id,
            kind=NoticeKind.AUTHENTICATOR_ADDED,
            params={},
            source=f"totp:{row['created_at'].timestamp()}",
        )
    return refused


async def check(work: UnitOfWork, user_id: int, code: str) -> refusals.Refusal | None:
    """Use a code up; None if it was right. Of many uses of one code at once, one is right.

    A refusal (TotpInvalid, RateLimited, TotpNotSet) is for after the commit: the try stays counted.
    """
    row = await _lock(work, user_id)
    if row is None or row["confirmed_at"] is None:
        return refusals.TotpNotSet()
    return await _spend(work, row, code)


async def remove(work: UnitOfWork, user_id: int) -> bool:
    """Forget an authenticator; its owner is told. False if there was none."""
    gone = await work.fetchval("delete from totp where user_id = $1 returning created_at", user_id)
    if gone is not None:
        await notices.tell(
            work,
            user_id=user_id,
            kind=NoticeKind.AUTHENTICATOR_REMOVED,
            params={},
            source=f"totp removed:{gone.timestamp()}",
        )
    return gone is not None


async def _lock(work: UnitOfWork, user_id: int) -> asyncpg.Record | None:
    return await work.fetchrow("select * from totp where user_id = $1 for update", user_id)


async def _spend(work: UnitOfWork, row: asyncpg.Record, code: str) -> refusals.Refusal | None:
    """Compare under the row's lock: a right code moves the last step on, a wrong one is counted."""
    user_id = row["user_id"]
    if row["blocked_until"] is not None and row["blocked_until"] > work.now:
        wait_seconds = math.ceil((row["blocked_until"] - work.now).total_seconds())
        return refusals.RateLimited(retry_after_seconds=wait_seconds)
    secret = encryption.decrypt(SECRET, user_id, row["secret"])
    step = totp.matching_step(secret, code, now=work.now, after_step=row["last_step"])
    if step is None:
        blocked = row["failures"] + 1 >= totp.TRIES
        await work.execute(
            "update totp set failures = $2, blocked_until = $3 where user_id = $1",
            user_id,
            0 if blocked else row["failures"] + 1,
            work.now + timedelta(seconds=totp.BLOCK_SECONDS) if blocked else None,
        )
        return refusals.TotpInvalid()
    await work.execute(
        "update totp set last_step = $2, failures = 0, blocked_until = null where user_id = $1",
        user_id,
        step,
    )
    return None
