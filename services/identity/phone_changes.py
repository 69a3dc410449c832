"""Moving an account to another phone number, with codes to both.

Whether somebody has the new number is found out by the job that sends its code, and by the unique
index: whoever asks sees the same in both cases.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

import asyncpg

from domain import codes as code_rules
from domain import refusals
from domain.identity import CodePurpose
from domain.notices import NoticeKind
from domain.recovery import CaseKind
from infra import encryption
from services import audit, notices, people, wallets
from services.identity import codes, logins, recoveries, sessions
from services.unit_of_work import UnitOfWork

_NEW_PHONE = "phone_change.new_phone"
_OPEN = "used_at is null and tries_left > 0 and expires_at > $3"


@dataclass(frozen=True, slots=True)
class Opened:
    """A change that waits for both codes."""

    id: UUID
    expires_at: datetime
    resend_after_seconds: int


@dataclass(frozen=True, slots=True)
class Tried:
    """A spent try; a code's id is None where it was wrong. Phones in E.164.

    ``old_phone_index`` is that of the number which the change was asked for.
    """

    change_id: UUID
    user_id: int
    old_phone: str = field(repr=False)
    old_phone_index: str = field(repr=False)
    new_phone: str = field(repr=False)
    old_code_id: UUID | None
    new_code_id: UUID | None


async def open_for(
    work: UnitOfWork, *, user_id: int, old_phone: str, new_phone: str, address: str, language: str
) -> Opened:
    """Have codes sent to both phones (E.164); a change that waited before is worth nothing now.

    Raises RateLimited, as `codes.request` does for each.
    """
    change_id = uuid4()
    await codes.take_turns(work, phones=[old_phone, new_phone], address=address)
    old, new = [
        await codes.request(
            work,
            phone=phone,
            purpose=CodePurpose.CHANGE_PHONE,
            address=address,
            language=language,
            subject=subject,
        )
        for phone, subject in ((old_phone, _of_old(change_id)), (new_phone, _of_new(change_id)))
    ]
    await _void(work, user_id)
    await work.execute(
        "insert into phone_change(id, user_id, old_phone_index, new_phone_index, new_phone,"
        " old_verification_id, new_verification_id, created_at, expires_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        change_id,
        user_id,
        people.phone_index(old_phone),
        people.phone_index(new_phone),
        encryption.encrypt(_NEW_PHONE, change_id, new_phone),
        old.verification_id,
        new.verification_id,
        work.now,
        old.expires_at,
    )
    return Opened(change_id, old.expires_at, old.resend_after_seconds)


async def spend_try(
    work: UnitOfWork, change_id: UUID, *, user_id: int, old_code: str, new_code: str
) -> Tried | None:
    """Compare both codes, after spending a try of each; to be committed in any case.

    None if the user has no such change that waits.
    """
    row = await work.fetchrow(
        "update phone_change set tries_left = tries_left - 1"  # noqa: S608 - our own text
        f" where id = $1 and user_id = $2 and {_OPEN} returning *",
        change_id,
        user_id,
        work.now,
    )
    if row is None:
        return None
    found = [
        await codes.spend_try_of(
            work,
            phone_index=row[f"{which}_phone_index"],
            purpose=CodePurpose.CHANGE_PHONE,
            verification_id=row[f"{which}_verification_id"],
            code=code,
            subject=subject,
        )
        for which, code, subject in (
            ("old", old_code, _of_old(change_id)),
            ("new", new_code, _of_new(change_id)),
        )
    ]
    return Tried(
        change_id=change_id,
        user_id=user_id,
        old_phone=await people.phone_of_user(work, user_id),
        old_phone_index=row["old_phone_index"],
        new_phone=encryption.decrypt(_NEW_PHONE, change_id, row["new_phone"]),
        old_code_id=found[0].code_id,
        new_code_id=found[1].code_id,
    )


async def confirm(work: UnitOfWork, tried: Tried, *, keep_session_id: UUID, address: str) -> None:
    """Move the account, with all that follows; of many at once, one.

    Raises PhoneChangeInvalid, and then nothing was changed: a code was wrong, or somebody has the
    number.
    """
    wrong = refusals.PhoneChangeInvalid(path=("input",))
    if tried.old_code_id is None or tried.new_code_id is None:
        raise wrong
    used = await work.fetchval(
        "update phone_change set used_at = $2, new_phone = ''::bytea where id = $1"
        " and used_at is null returning id",
        tried.change_id,
        work.now,
    )
    if used is None:
        raise wrong
    try:
        await codes.use(work, tried.old_code_id)
        await codes.use(work, tried.new_code_id)
    except refusals.CodeInvalid:
        raise wrong from None
    if not await move(
        work, tried.user_id, old_index=tried.old_phone_index, new_phone=tried.new_phone
    ):
        raise wrong
    await logins.know_place(work, tried.user_id, address=address)
    await follow(
        work,
        tried.user_id,
        old_phone=tried.old_phone,
        event=f"phone-change:{tried.change_id}",
        keep_session_id=keep_session_id,
    )


async def move(work: UnitOfWork, user_id: int, *, old_index: str, new_phone: str) -> bool:
    """Give a user another number by one UPDATE; False if somebody has it, or the old one is gone.

    ``old_index`` is what the account is found by as yet. What went before in this unit of work must
    be given up if it is False: an index may have decided. Nobody waits any more for the old number
    to be let go of: such cases end, or they would be good for the new one.
    """
    try:
        moved = await work.fetchval(
            "update users u set phone = $2, phone_index = $3, former_phone_index = null,"
            " version = version + 1 where id = $1 and status <> 'CLOSED'"
            " and phone_index = $4"
            " and not exists (select from users o where o.phone_index = $3) returning id",
            user_id,
            encryption.encrypt("users.phone", user_id, new_phone),
            people.phone_index(new_phone),
            old_index,
        )
    except asyncpg.UniqueViolationError:
        return False
    if moved is None:
        return False
    await recoveries.object_to(work, user_id, kind=CaseKind.RELEASE)
    return True


async def follow(
    work: UnitOfWork,
    user_id: int,
    *,
    old_phone: str,
    event: str,
    keep_session_id: UUID | None = None,
    approved_as: UUID | None = None,
) -> None:
    """What comes with another number: sessions and logins end, it is told and recorded, caution.

    ``event`` names the move, once; ``approved_as`` is staff's case, where it took one. It locks the
    account: call it last.
    """
    await sessions.shut_out(work, user_id, reason="PHONE_CHANGED", except_id=keep_session_id)
    await audit.record(
        work,
        actor_id=user_id,
        action="CHANGE_PHONE",
        object=f"user:{user_id}",
        detail=None if approved_as is None else {"recovery_case": str(approved_as)},
    )
    work.announce(f"user:{user_id}")
    await notices.tell(
        work,
        user_id=user_id,
        kind=NoticeKind.PHONE_CHANGED,
        params={},
        source=event,
        also_to=old_phone or None,
    )
    await wallets.take_care(work, user_id=user_id, key=event)


async def _void(work: UnitOfWork, user_id: int) -> None:
    await work.execute(
        "update phone_change set used_at = $2, new_phone = ''::bytea"
        " where user_id = $1 and used_at is null",
        user_id,
        work.now,
    )


def _of_old(change_id: UUID) -> str:
    return f"old phone {change_id}"


def _of_new(change_id: UUID) -> str:
    return f"{code_rules.OF_NEW_PHONE}{change_id}"
