"""Elevations: for a quarter of an hour after a new proof, one session may do what is sensitive."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from domain import refusals
from domain.identity import Viewer
from domain.staffing import ELEVATION_SECONDS, Method
from infra import encryption
from services import audit
from services.unit_of_work import Snapshot, UnitOfWork

REASON = "elevation.reason"


@dataclass(frozen=True, slots=True)
class Elevation:
    """A session's elevation that lasts until then."""

    until: datetime
    reason: str = field(repr=False)


def open_reason(elevation_id: UUID, sealed: bytes) -> str:
    """Why somebody was elevated, in their own words."""
    return encryption.decrypt(REASON, elevation_id, sealed)


async def begin(work: UnitOfWork, viewer: Viewer, *, method: Method, reason: str) -> Elevation:
    """Elevate the caller's session, on record; a new one replaces what was left of the last.

    Raises NotSignedIn if the session ended meanwhile.
    """
    until = work.now + timedelta(seconds=ELEVATION_SECONDS)
    assert viewer.session_id is not None, "a signed-in caller has a session"
    await _close(work, viewer.session_id)
    elevated = await work.fetchval(
        "update session set elevated_until = $2 where id = $1 and revoked_at is null returning id",
        viewer.session_id,
        until,
    )
    if elevated is None:
        raise refusals.NotSignedIn
    elevation_id = uuid4()
    await work.execute(
        "insert into elevation(id, user_id, session_id, method, reason, started_at, until)"
        " values ($1, $2, $3, $4, $5, $6, $7)",
        elevation_id,
        viewer.user_id,
        viewer.session_id,
        method,
        encryption.encrypt(REASON, elevation_id, reason),
        work.now,
        until,
    )
    await audit.record(
        work,
        actor_id=viewer.user_id,
        action="ELEVATE",
        object=f"session:{viewer.session_id}",
        detail={"elevation": str(elevation_id), "method": method},
        reason=reason,
    )
    # Open sockets of this session go on as who it is now.
    work.announce(f"session:{viewer.session_id}")
    return Elevation(until=until, reason=reason)


async def end(work: UnitOfWork, viewer: Viewer, *, everywhere: bool = False) -> int:
    """End the elevation of the caller's session, or of all of them, on record; how many it were."""
    rows = await work.fetch(
        "update session set elevated_until = null where user_id = $1 and ($2 or id = $3)"
        " and elevated_until > $4 returning id",
        viewer.user_id,
        everywhere,
        viewer.session_id,
        work.now,
    )
    for row in rows:
        closed = await _close(work, row["id"])
        await audit.record(
            work,
            actor_id=viewer.user_id,
            action="END_ELEVATION",
            object=f"session:{row['id']}",
            detail={"elevations": [str(one) for one in closed]},
        )
    work.announce_all([f"session:{row['id']}" for row in rows])
    return len(rows)


async def of_session(read: Snapshot, session_id: UUID) -> Elevation | None:
    """The elevation of a session while it lasts."""
    row = await read.fetchrow(
        "select e.id, e.reason, s.elevated_until from session s"
        " join elevation e on e.session_id = s.id and e.ended_at is null"
        " where s.id = $1 and s.elevated_until > ledger.now() and s.revoked_at is null"
        " order by e.started_at desc limit 1",
        session_id,
    )
    if row is None:
        return None
    reason = open_reason(row["id"], row["reason"])
    return Elevation(until=row["elevated_until"], reason=reason)


async def _close(work: UnitOfWork, session_id: UUID) -> list[UUID]:
    rows = await work.fetch(
        "update elevation set ended_at = $2 where session_id = $1 and ended_at is null"
        " and until > $2 returning id",
        session_id,
        work.now,
    )
    return [row["id"] for row in rows]
