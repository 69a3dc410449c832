"""Asking for a copy of one's data, following it, fetching it, and its end."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg

from domain import exports as rules
from domain import refusals
from domain.exports import ExportState
from infra import encryption, settings
from infra.queue import Job
from services.exports import parts
from services.unit_of_work import Snapshot, UnitOfWork, snapshot

PASSWORD = "data_export.password"  # noqa: S105 - a place, not a secret
_COLUMNS = "id, state, part, parts, size_bytes, requested_at, ready_at, expires_at, fetched_at"
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Export:
    """One copy. ``part`` of ``parts`` are done; the link works from ready to expiry."""

    id: UUID
    state: ExportState
    part: int
    parts: int
    size_bytes: int
    requested_at: datetime
    ready_at: datetime | None
    expires_at: datetime | None
    fetched_at: datetime | None

    @property
    def progress_percent(self) -> int:
        return rules.progress_percent(self.state, part=self.part, parts=self.parts)

    @property
    def url(self) -> str | None:
        """Where the archive is fetched while it is ready. Whoever has it needs the password too."""
        if self.state is not ExportState.READY:
            return None
        return f"{settings.get_settings().public_url}/exports/{_token(self.id)}"


@dataclass(frozen=True, slots=True)
class Ordered:
    """A new copy, and the password of its archive, which is shown this once."""

    export: Export
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Archive:
    """A finished archive: its size, and its bytes piece by piece, each by a read of its own."""

    export_id: UUID
    size_bytes: int
    pieces: int

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises Expired when it is deleted meanwhile."""
        for number in range(self.pieces):
            async with snapshot() as read:
                content = await read.fetchval(
                    "select content from data_export_piece where export_id = $1 and number = $2",
                    self.export_id,
                    number,
                )
            if content is None:
                raise Expired
            yield content


class Expired(Exception):
    """The archive was deleted while somebody fetched it."""


async def order(work: UnitOfWork, *, user_id: int, session_id: UUID | None) -> Ordered:
    """Have a copy made.

    Raises AccountNotActive (closed), ExportUnderWay, RateLimited (three a day).
    """
    # Held against a closing, which erases copies: it comes first and is seen here, or waits.
    if await work.fetchval("select status from users where id = $1 for share", user_id) == "CLOSED":
        raise refusals.AccountNotActive
    await work.execute("select pg_advisory_xact_lock(7, hashint8($1))", user_id)
    times = await work.fetch(
        "select requested_at, state in ('WAITING', 'RUNNING') as under_way from data_export"
        " where user_id = $1 and (requested_at > $2 or state in ('WAITING', 'RUNNING'))"
        " order by requested_at",
        user_id,
        work.now - _DAY,
    )
    if any(row["under_way"] for row in times):
        raise refusals.ExportUnderWay
    if len(times) >= rules.PER_DAY_MAX:
        free_at = times[-rules.PER_DAY_MAX]["requested_at"] + _DAY
        wait_seconds = max(int((free_at - work.now).total_seconds()), 1)
        raise refusals.RateLimited(retry_after_seconds=wait_seconds)
    export_id, password = uuid4(), _new_password()
    row = await work.fetchrow(
        "insert into data_export(id, user_id, session_id, password, token_hash, parts,"  # noqa: S608
        f" requested_at) values ($1, $2, $3, $4, $5, $6, $7) returning {_COLUMNS}",
        export_id,
        user_id,
        session_id,
        encryption.encrypt(PASSWORD, export_id, password),
        _hash(_token(export_id)),
        len(parts.PARTS),
        work.now,
    )
    assert row is not None
    work.enqueue(Job.EXPORT_DATA, export_id=str(export_id))
    return Ordered(_export(row), password)


async def of_user(read: Snapshot, user_id: int) -> list[Export]:
    """The newest ten copies, newest first."""
    rows = await read.fetch(
        f"select {_COLUMNS} from data_export where user_id = $1"  # noqa: S608 - our own text
        " order by requested_at desc, id desc limit $2",
        user_id,
        rules.LISTED_MAX,
    )
    return [_export(row) for row in rows]


async def fetch(work: UnitOfWork, token: str) -> Archive | None:
    """The archive behind a link, while that works; None for all else. Notes that it was fetched."""
    row = await work.fetchrow(
        "update data_export set fetched_at = coalesce(fetched_at, $2) where token_hash = $1"
        " and state = 'READY' and expires_at > $2 returning id, size_bytes, pieces",
        _hash(token),
        work.now,
    )
    return Archive(*row) if row is not None else None


async def expire(work: UnitOfWork) -> int:
    """Delete archives whose link has expired, and give up what was never finished; how many."""
    rows = await work.fetch(
        "update data_export set state = case state when 'READY' then 'EXPIRED' else 'FAILED' end,"
        " password = ''::bytea where (state = 'READY' and expires_at <= $1)"
        " or (state in ('WAITING', 'RUNNING') and requested_at <= $2) returning id",
        work.now,
        work.now - rules.GIVE_UP_AFTER,
    )
    await work.execute(
        "delete from data_export_piece where export_id = any($1::uuid[])",
        [row["id"] for row in rows],
    )
    return len(rows)


def _new_password() -> str:
    """150 bits in six groups that can be typed."""
    groups = (
        "".join(secrets.choice(rules.PASSWORD_LETTERS) for _ in range(rules.PASSWORD_GROUP_LENGTH))
        for _ in range(rules.PASSWORD_GROUPS)
    )
    return "-".join(groups)


def _token(export_id: UUID) -> str:
    """The link's token: keyed, so that it need not be kept to be shown again."""
    return encryption.blind_index("export link", str(export_id))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _export(row: asyncpg.Record) -> Export:
    id_, state, *rest = row
    return Export(id_, ExportState(state), *rest)
