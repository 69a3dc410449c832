"""Passwords of people who have one: changed by themselves, and once a year thought of."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from domain import refusals
from domain.notices import NoticeKind
from domain.passwords import REMINDED_AFTER_DAYS
from domain.recovery import RECOVERABLE
from services import notices
from services.identity import sessions
from services.notices import News
from services.unit_of_work import UnitOfWork

REMINDED_AT_ONCE = 500


async def change(
    work: UnitOfWork, *, user_id: int, stored: str, new_hash: str, keep_session_id: UUID | None
) -> None:
    """Replace a password that was just shown (``stored`` is its hash), and end other sessions.

    Logins that are under way by the old password end too. Raises WrongCredentials if it was changed
    in the meantime: of two, one wins.
    """
    version = await work.fetchval(
        "update users set password_hash = $3, password_changed_at = $4, version = version + 1"
        " where id = $1 and password_hash = $2 returning version",
        user_id,
        stored,
        new_hash,
        work.now,
    )
    if version is None:
        raise refusals.WrongCredentials(path=("input", "password"))
    await sessions.shut_out(work, user_id, reason="PASSWORD_CHANGED", except_id=keep_session_id)
    await notices.tell(
        work,
        user_id=user_id,
        kind=NoticeKind.PASSWORD_CHANGED,
        params={},
        source=f"password:{user_id}:{version}",
    )
    work.announce(f"user:{user_id}")


async def replace(work: UnitOfWork, *, user_id: int, new_hash: str) -> int | None:
    """A forgotten password becomes another, and all sessions and logins under way end.

    The user's new version; None for an account that is closed or was rejected. What is told of it
    is for the caller.
    """
    version = await work.fetchval(
        "update users set password_hash = $2, password_changed_at = $3, version = version + 1"
        " where id = $1 and status = any($4::text[]) returning version",
        user_id,
        new_hash,
        work.now,
        list(RECOVERABLE),
    )
    if version is not None:
        await sessions.shut_out(work, user_id, reason="PASSWORD_RESET")
        work.announce(f"user:{user_id}")
    return version


async def remind(work: UnitOfWork) -> int:
    """Tell some of those whose password is a year old, once a year; how many.

    Nobody has to change it: see docs/decisions/0007.
    """
    rows = await work.fetch(
        "update users set password_reminded_at = $1 where id in (select id from users"
        " where status = 'ACTIVE' and greatest(created_at, password_changed_at,"
        " password_reminded_at) <= $2 order by id limit $3 for update skip locked) returning id",
        work.now,
        work.now - timedelta(days=REMINDED_AFTER_DAYS),
        REMINDED_AT_ONCE,
    )
    news = [
        News(row["id"], NoticeKind.PASSWORD_REMINDER, {}, f"password-year:{work.now:%Y-%m-%d}")
        for row in rows
    ]
    await notices.tell_all(work, news)
    return len(news)
