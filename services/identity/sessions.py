"""Sessions: a short access token, and a refresh token that rotates and betrays its thief.

Tokens are opaque, and the database has their SHA-256 only, so reading it signs nobody in. A refresh
token is worth nothing without the key of the session's device, which signs it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from domain.devices import refresh_message
from domain.identity import (
    REFRESH_GRACE_SECONDS,
    KycLevel,
    Role,
    Status,
    Viewer,
    network_hint,
)
from domain.notices import NoticeKind
from infra import device_keys, encryption, settings
from services import notices
from services.identity import challenges
from services.unit_of_work import Snapshot, UnitOfWork

Key = tuple[datetime, UUID]

_ACCESS = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_REFRESH = re.compile(r"([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})", re.ASCII)

_VIEWER = """
select s.id as session_id, s.device_id, u.id, u.role, u.status, u.language,
       u.pin_hash is not null as pin_set, u.kyc_level, u.version, u.review_reason, u.review_text,
       u.phone, u.name, a.id as account_id, a.status as account_status,
       s.second_factor,
       case when s.elevated_until > ledger.now() then s.elevated_until end as elevated_until
  from session s
  join users u on u.id = s.user_id and u.status <> 'CLOSED'
  left join ledger.account a on a.owner_id = u.id and a.currency = 'CNY'
        and a.role = case u.role when 'MERCHANT' then 2 when 'RESIDENT' then 1 end
 where s.revoked_at is null and """
_BY_ACCESS = _VIEWER + "s.access_hash = $1 and s.access_expires_at > ledger.now()"
_BY_SESSION = _VIEWER + "s.id = $1 and s.refresh_expires_at > ledger.now()"
_ISSUE = """
insert into session(id, user_id, device_id, access_hash, access_expires_at, family_hash,
                    refresh_hash, refresh_expires_at, ends_at, network, created_at,
                    second_factor)
select $1, u.id, $3, $4, $5, $6, $7, $12::timestamptz + least($8::interval, life.most),
       $12::timestamptz + life.most, $11, $12, $13
  from users u, lateral (select case when u.role in ('RESIDENT', 'MERCHANT') then $9::interval
                                     else $10::interval end as most) life
 where u.id = $2"""
_TO_REFRESH = """
select s.id, s.user_id, s.refresh_hash, s.previous_hash, s.refreshed_at, s.refresh_salt,
       s.refresh_expires_at, s.access_expires_at, s.ends_at, d.public_key
  from session s
  join users u on u.id = s.user_id and u.status <> 'CLOSED'
  left join device d on d.id = s.device_id and d.revoked_at is null
 where s.family_hash = $1 and s.revoked_at is null
   for update of s"""
_END = "update session set revoked_at = $1, revoked_reason = $2 where revoked_at is null"
_ENDED = " returning id"
# Locked in the order of their ids, so that two who end them at once don't wait in a circle.
_END_ALL = f"""
with mine as (
  select id from session where user_id = $3 and revoked_at is null
     and ($4::uuid is null or device_id = $4) and id is distinct from $5::uuid
   order by id for update)
{_END} and id in (select id from mine){_ENDED}"""  # noqa: S608 - our own text
_LIST = """
select id, device_id, created_at, refreshed_at, refresh_expires_at, network from session
 where user_id = $1 and revoked_at is null and refresh_expires_at > ledger.now()"""
_PAGE = f"""{_LIST}
   and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))
   and ($4::timestamptz is null or (created_at, id) > ($4, $5::uuid))
"""
_PAGE_FORWARDS = _PAGE + " order by created_at desc, id desc limit $6"
_PAGE_BACKWARDS = _PAGE + " order by created_at, id limit $6"
_ROLES = {role.value: role for role in Role}
_LEVELS = {level.value: level for level in KycLevel}
_STATUSES = {status.value: status for status in Status}


@dataclass(frozen=True, slots=True)
class Issued:
    """Tokens for the client. ``expires_at`` is the access token's."""

    session_id: UUID
    user_id: int
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A session as its user sees it. ``expires_at`` is when it ends if it isn't used until then.

    ``network`` is roughly where it was used last, or empty.
    """

    id: UUID
    device_id: UUID | None
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    network: str = field(repr=False)


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


async def issue(
    work: UnitOfWork, user_id: int, *, device_id: UUID, address: str, second_factor: bool
) -> Issued:
    """A new session of a user on a device of theirs, from an address.

    ``second_factor``: whether a passkey or an authenticator opened it.
    """
    lives = settings.get_settings()
    session_id = uuid.uuid4()
    family, access, rotating = (secrets.token_urlsafe(32) for _ in range(3))
    access_expires_at = work.now + timedelta(seconds=lives.access_token_seconds)
    await work.execute(
        _ISSUE,
        session_id,
        user_id,
        device_id,
        _hash(access),
        access_expires_at,
        _hash(family),
        _hash(rotating),
        timedelta(seconds=lives.refresh_token_seconds),
        timedelta(seconds=lives.session_seconds),
        timedelta(seconds=lives.staff_session_seconds),
        _seal_network(session_id, address),
        work.now,
        second_factor,
    )
    return Issued(session_id, user_id, access, f"{family}.{rotating}", access_expires_at)


async def refresh(
    work: UnitOfWork, refresh_token: str, *, signature: str, address: str
) -> Issued | None:
    """New tokens for the newest refresh token, signed by its device; the old ones stop working.

    The device may have lost the answer: for ten seconds the same token, signed again, gets the
    same answer again. Any other token that was used before ends the session, and its owner is told.
    That must commit, so this raises nothing. None: sign in again.
    """
    parts = _REFRESH.fullmatch(refresh_token)
    if parts is None:
        return None
    family, rotating = parts.groups()
    row = await work.fetchrow(_TO_REFRESH, _hash(family))
    if row is None:
        return None
    signed = row["public_key"] is not None and device_keys.verify(
        row["public_key"], signature, refresh_message(refresh_token)
    )
    if row["refresh_hash"] == _hash(rotating):
        if not signed or row["refresh_expires_at"] <= work.now:
            return None
        return await _rotate(work, row, family=family, presented=refresh_token, address=address)
    if signed and _in_grace(work, row, _hash(rotating)):
        made = _successor(refresh_token, row["refresh_salt"])
        return _issued(row, family, made, row["access_expires_at"])
    await _betrayed(work, row)
    return None


async def end_family(work: UnitOfWork, refresh_token: str) -> None:
    """End the session of a refresh token, at once and everywhere. Unknown tokens end nothing."""
    parts = _REFRESH.fullmatch(refresh_token)
    if parts is not None:
        ended = await work.fetch(
            _END + " and family_hash = $3" + _ENDED, *_why(work, "LOGOUT"), _hash(parts[1])
        )
        _announce(work, ended)


async def end(work: UnitOfWork, *, user_id: int, session_id: UUID) -> bool:
    """End one of the user's own sessions; False if there is none such. Ending it again is well."""
    ended = await work.fetch(
        _END + " and user_id = $3 and id = $4" + _ENDED, *_why(work, "REVOKED"), user_id, session_id
    )
    _announce(work, ended)
    return bool(ended) or await work.fetchval(
        "select exists (select from session where user_id = $1 and id = $2)", user_id, session_id
    )


async def shut_out(
    work: UnitOfWork, user_id: int, *, reason: str, except_id: UUID | None = None
) -> int:
    """End the user's sessions (all but one) and logins under way; how many sessions there were.

    Call it before anything that a login locks: a login that is being completed is waited for, and
    its session ends too.
    """
    await challenges.void_all(work, user_id)
    return await end_all(work, user_id, reason=reason, except_id=except_id)


async def end_all(
    work: UnitOfWork,
    user_id: int,
    *,
    reason: str,
    device_id: UUID | None = None,
    except_id: UUID | None = None,
) -> int:
    """End the user's sessions (those on a device, or all but one); how many there were.

    A refresh that runs meanwhile ends with them; `shut_out` also ends logins. ``reason`` is a code:
    LOGOUT_EVERYWHERE, DEVICE_REVOKED, PASSWORD_CHANGED …
    """
    ended = await work.fetch(
        _END_ALL,
        *_why(work, reason),
        user_id,
        device_id,
        except_id,
    )
    _announce(work, ended)
    return len(ended)


async def strengthen(work: UnitOfWork, session_id: UUID) -> None:
    """A second factor was set up in this session: it counts as opened by one, also in sockets."""
    await work.execute(
        "update session set second_factor = true where id = $1 and revoked_at is null", session_id
    )
    work.announce(f"session:{session_id}")


async def page(
    read: Snapshot,
    user_id: int,
    *,
    limit: int,
    after: Key | None = None,
    before: Key | None = None,
    backwards: bool = False,
) -> list[Session]:
    """The user's sessions that are not over, strictly between two keys (created_at, id).

    Newest first; ``backwards`` reads from the end.
    """
    rows = await read.fetch(
        _PAGE_BACKWARDS if backwards else _PAGE_FORWARDS,
        user_id,
        *(after or (None, None)),
        *(before or (None, None)),
        limit,
    )
    return [_opened(row) for row in rows]


async def by_ids(read: Snapshot, user_id: int, session_ids: Sequence[UUID]) -> dict[UUID, Session]:
    """Those of the sessions that are the user's and not over."""
    rows = await read.fetch(_LIST + " and id = any($2::uuid[])", user_id, session_ids)
    return {row["id"]: _opened(row) for row in rows}


@dataclass(frozen=True, slots=True)
class _Successor:
    access: str = field(repr=False)
    rotating: str = field(repr=False)


def _successor(presented: str, salt: str) -> _Successor:
    """What follows on a refresh token: by our key, so that it can be told again and isn't kept.

    The salt is the next one's after the next refresh: an old token and our key lead nowhere.
    """
    return _Successor(
        access=encryption.derived_secret("access token", f"{presented} {salt}"),
        rotating=encryption.derived_secret("refresh token", f"{presented} {salt}"),
    )


async def _rotate(
    work: UnitOfWork, row: asyncpg.Record, *, family: str, presented: str, address: str
) -> Issued:
    """The row is locked: whoever comes with the same token finds it used, and asks in its grace."""
    lives = settings.get_settings()
    salt = secrets.token_urlsafe(32)
    made = _successor(presented, salt)
    access_expires_at = work.now + timedelta(seconds=lives.access_token_seconds)
    access_expires_at = min(access_expires_at, row["ends_at"])
    await work.execute(
        "update session set access_hash = $2, access_expires_at = $3, previous_hash = refresh_hash,"
        " refresh_hash = $4, refresh_salt = $5, refreshed_at = $6,"
        " refresh_expires_at = least($7, ends_at), network = $8 where id = $1",
        row["id"],
        _hash(made.access),
        access_expires_at,
        _hash(made.rotating),
        salt,
        work.now,
        work.now + timedelta(seconds=lives.refresh_token_seconds),
        _seal_network(row["id"], address),
    )
    return _issued(row, family, made, access_expires_at)


def _in_grace(work: UnitOfWork, row: asyncpg.Record, presented_hash: str) -> bool:
    if row["previous_hash"] != presented_hash:
        return False
    return work.now < row["refreshed_at"] + timedelta(seconds=REFRESH_GRACE_SECONDS)


async def _betrayed(work: UnitOfWork, row: asyncpg.Record) -> None:
    ended = await work.fetch(
        _END + " and id = $3" + _ENDED, *_why(work, "REFRESH_REUSED"), row["id"]
    )
    _announce(work, ended)
    await notices.tell(
        work,
        user_id=row["user_id"],
        kind=NoticeKind.SESSION_MISUSED,
        params={},
        source=f"session:{row['id']}:misused",
    )


def _why(work: UnitOfWork, reason: str) -> tuple[datetime, str]:
    return work.now, reason


def _announce(work: UnitOfWork, ended: Sequence[asyncpg.Record]) -> None:
    work.announce_all([f"session:{row['id']}" for row in ended])


def _issued(
    row: asyncpg.Record, family: str, made: _Successor, access_expires_at: datetime
) -> Issued:
    refresh_token = f"{family}.{made.rotating}"
    return Issued(row["id"], row["user_id"], made.access, refresh_token, access_expires_at)


def open_network(session_id: UUID, sealed: bytes | None) -> str:
    """Roughly where a session was used last; empty if that isn't known."""
    return encryption.decrypt("session.network", session_id, sealed) if sealed else ""


def _seal_network(session_id: UUID, address: str) -> bytes:
    return encryption.encrypt("session.network", session_id, network_hint(address))


def _opened(row: asyncpg.Record) -> Session:
    return Session(
        id=row["id"],
        device_id=row["device_id"],
        created_at=row["created_at"],
        last_seen_at=row["refreshed_at"] or row["created_at"],
        expires_at=row["refresh_expires_at"],
        network=open_network(row["id"], row["network"]),
    )


def _viewer(row: Any) -> Viewer | None:
    if row is None:
        return None
    return Viewer(
        user_id=row["id"],
        role=_ROLES[row["role"]],
        status=_STATUSES[row["status"]],
        language=row["language"],
        session_id=row["session_id"],
        device_id=row["device_id"],
        account_id=row["account_id"],
        account_status=row["account_status"],
        pin_set=row["pin_set"],
        kyc_level=_LEVELS[row["kyc_level"]],
        version=row["version"],
        review_reason=row["review_reason"],
        review_text_sealed=row["review_text"],
        second_factor=row["second_factor"],
        elevated_until=row["elevated_until"],
        phone_sealed=row["phone"],
        name_sealed=row["name"],
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
