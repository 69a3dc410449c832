"""Sessions: a short access token, and a refresh token that rotates and betrays its thief.

Tokens are random and opaque; the database has their SHA-256 only, so reading it signs nobody in.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from domain.identity import Role, Status, Viewer
from infra import settings
from services.unit_of_work import Snapshot, UnitOfWork

_ACCESS = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_REFRESH = re.compile(r"([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})", re.ASCII)

_VIEWER = """
select s.id as session_id, u.id, u.role, u.status, u.language, u.pin_hash is not null as pin_set,
       u.version, u.review_reason, u.review_text, u.phone, u.name, a.id as account_id,
       a.status as account_status
  from session s
  join users u on u.id = s.user_id and u.status <> 'CLOSED'
  left join ledger.account a on a.owner_id = u.id and a.currency = 'CNY'
        and a.role = case u.role when 'MERCHANT' then 2 else 1 end
 where s.revoked_at is null and """
_BY_ACCESS = _VIEWER + "s.access_hash = $1 and s.access_expires_at > ledger.now()"
_BY_SESSION = _VIEWER + "s.id = $1 and s.refresh_expires_at > ledger.now()"
_ROLES = {role.value: role for role in Role}
_STATUSES = {status.value: status for status in Status}


@dataclass(frozen=True, slots=True)
class Issued:
    """Tokens for the client. ``expires_at`` is the access token's."""

    session_id: UUID
    user_id: int
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: datetime


def well_formed(access_token: str) -> bool:
    """Whether this could be an access token of ours; one that could and finds nobody has ended."""
    return _ACCESS.fullmatch(access_token) is not None


async def viewer_of(read: Snapshot, access_token: str) -> Viewer | None:
    """The caller behind an access token, by one query; None if it is unknown, expired, revoked."""
    if not well_formed(access_token):
        return None
    return _viewer(await read.fetchrow(_BY_ACCESS, _hash(access_token)))


async def viewer_by_session(read: Snapshot, session_id: UUID) -> Viewer | None:
    """The caller of a session as of now; None once it is revoked or over, or its user closed.

    Sockets ask this again and again: their access token was good when they opened.
    """
    return _viewer(await read.fetchrow(_BY_SESSION, session_id))


async def issue(work: UnitOfWork, user_id: int) -> Issued:
    """A new session of a user."""
    family = secrets.token_urlsafe(32)
    issued = _new(work, family)
    session_id = await work.fetchval(
        "insert into session(user_id, access_hash, access_expires_at, family_hash, refresh_hash,"
        " refresh_expires_at, created_at) values ($1, $2, $3, $4, $5, $6, $7) returning id",
        user_id,
        _hash(issued.access),
        issued.access_expires_at,
        _hash(family),
        _hash(issued.rotating),
        issued.refresh_expires_at,
        work.now,
    )
    return issued.for_client(session_id, user_id)


async def refresh(work: UnitOfWork, refresh_token: str) -> Issued | None:
    """New tokens for the newest refresh token; the old ones stop working.

    None: sign in again. A token that was used before also revokes its session, which must commit,
    so this raises nothing.
    """
    parts = _REFRESH.fullmatch(refresh_token)
    if parts is None:
        return None
    family, rotating = parts.groups()
    issued = _new(work, family)
    row = await work.fetchrow(
        "update session s set access_hash = $3, access_expires_at = $4, refresh_hash = $5,"
        " refresh_expires_at = $6 from users u where s.family_hash = $1 and s.refresh_hash = $2"
        " and s.revoked_at is null and s.refresh_expires_at > $7"
        " and u.id = s.user_id and u.status <> 'CLOSED' returning s.id, s.user_id",
        _hash(family),
        _hash(rotating),
        _hash(issued.access),
        issued.access_expires_at,
        _hash(issued.rotating),
        issued.refresh_expires_at,
        work.now,
    )
    if row is None:
        await _revoke(work, family, reason="REFRESH_REUSED", unless_newest_is=_hash(rotating))
        return None
    return issued.for_client(row["id"], row["user_id"])


async def logout(work: UnitOfWork, refresh_token: str) -> None:
    """End the session of a refresh token, at once and everywhere. Unknown tokens end nothing."""
    parts = _REFRESH.fullmatch(refresh_token)
    if parts is not None:
        await _revoke(work, parts[1], reason="LOGOUT", unless_newest_is="")


@dataclass(frozen=True, slots=True)
class _Fresh:
    family: str = field(repr=False)
    access: str = field(repr=False)
    rotating: str = field(repr=False)
    access_expires_at: datetime
    refresh_expires_at: datetime

    def for_client(self, session_id: UUID, user_id: int) -> Issued:
        return Issued(
            session_id=session_id,
            user_id=user_id,
            access_token=self.access,
            refresh_token=f"{self.family}.{self.rotating}",
            expires_at=self.access_expires_at,
        )


def _new(work: UnitOfWork, family: str) -> _Fresh:
    lives = settings.get_settings()
    return _Fresh(
        family=family,
        access=secrets.token_urlsafe(32),
        rotating=secrets.token_urlsafe(32),
        access_expires_at=work.now + timedelta(seconds=lives.access_token_seconds),
        refresh_expires_at=work.now + timedelta(seconds=lives.refresh_token_seconds),
    )


async def _revoke(work: UnitOfWork, family: str, *, reason: str, unless_newest_is: str) -> None:
    ended = await work.fetchval(
        "update session set revoked_at = $2, revoked_reason = $3 where family_hash = $1"
        " and revoked_at is null and refresh_hash <> $4 returning id",
        _hash(family),
        work.now,
        reason,
        unless_newest_is,
    )
    if ended is not None:
        work.announce(f"session:{ended}")


def _viewer(row: Any) -> Viewer | None:
    if row is None:
        return None
    return Viewer(
        user_id=row["id"],
        role=_ROLES[row["role"]],
        status=_STATUSES[row["status"]],
        language=row["language"],
        session_id=row["session_id"],
        account_id=row["account_id"],
        account_status=row["account_status"],
        pin_set=row["pin_set"],
        version=row["version"],
        review_reason=row["review_reason"],
        review_text_sealed=row["review_text"],
        phone_sealed=row["phone"],
        name_sealed=row["name"],
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
