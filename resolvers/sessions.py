"""Sessions: who a request or a socket comes from, going on, and ending it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from domain import inputs, refusals
from domain.identity import Role, Status
from domain.notices import NoticeKind
from domain.staffing import REASON_LENGTH_MAX
from resolvers.viewer import (
    ANONYMOUS,
    ANYONE,
    SIGNED_IN,
    Viewer,
    access,
    also_enrolling,
    elevated,
    staff,
)
from services import audit, notices, people
from services.identity import proofs, sessions
from services.identity.sessions import Issued, Key, Session
from services.unit_of_work import UnitOfWork, snapshot, unit_of_work

State = Literal["none", "valid", "ended", "bad"]
Standing = Literal["STAYS", "COMES_BACK", "OVER"]
_SCHEME = "Bearer "
_OPEN = 1


async def caller(
    authorization: str, *, address: str = "", request_id: str = ""
) -> tuple[Viewer, State]:
    """The caller behind an Authorization header, and what became of the session; one read.

    Where the request comes from is kept for what it may put into the audit log.

    ``none``: nothing was sent; ``bad``: no token of ours could look like that; ``ended``: expired,
    revoked or never issued.
    """
    audit.came_from(address=address, request_id=request_id)
    if not authorization:
        return ANONYMOUS, "none"
    token = authorization.removeprefix(_SCHEME)
    if token is authorization or not sessions.well_formed(token):
        return ANONYMOUS, "bad"
    async with snapshot() as read:
        viewer = await sessions.viewer_of(read, token)
    return (viewer, "valid") if viewer is not None else (ANONYMOUS, "ended")


async def current(viewer: Viewer) -> tuple[Standing, Viewer]:
    """What becomes of the open socket of a caller, and the caller as of now.

    OVER: the session has ended, or the caller's role changed or stopped being active, so that what
    runs on the socket was permitted to somebody else: sign in again. COMES_BACK: the wallet was
    frozen since; the session is good, and who connects anew is met as the caller is now. Without a
    session it stays as it is.
    """
    if viewer.session_id is None:
        return "STAYS", viewer
    async with snapshot() as read:
        found = await sessions.viewer_by_session(read, viewer.session_id)
    if found is None or found.role is not viewer.role:
        return "OVER", viewer
    if viewer.status is Status.ACTIVE and found.status is not Status.ACTIVE:
        return "OVER", viewer
    frozen = viewer.account_status == _OPEN and found.account_status != _OPEN
    return "COMES_BACK" if frozen else "STAYS", found


@access(ANYONE)
async def refresh_session(
    viewer: Viewer, *, refresh_token: str, device_signature: str, address: str
) -> Issued:
    """New tokens for a refresh token, signed by its device. Raises SessionInvalid."""
    async with unit_of_work() as work:
        issued = await sessions.refresh(
            work, refresh_token, signature=device_signature, address=address
        )
    if issued is None:
        raise refusals.SessionInvalid
    return issued


@access(ANYONE)
async def logout(viewer: Viewer, *, refresh_token: str) -> None:
    """End a session, at once and everywhere; whoever has its refresh token may."""
    async with unit_of_work() as work:
        await sessions.end_family(work, refresh_token)


@access(SIGNED_IN)
async def revoke_session(viewer: Viewer, *, session_id: UUID | None) -> None:
    """End one of the caller's sessions, at once and everywhere. Raises NotFound."""
    async with unit_of_work() as work:
        if session_id is None or not await sessions.end(
            work, user_id=viewer.user_id, session_id=session_id
        ):
            raise refusals.NotFound(path=("input", "sessionId"))


@access(also_enrolling(SIGNED_IN))
async def logout_everywhere(viewer: Viewer, *, except_this: bool) -> int:
    """End the caller's sessions, and whatever login is under way; how many sessions there were."""
    kept = viewer.session_id if except_this else None
    async with unit_of_work() as work:
        return await sessions.shut_out(
            work, viewer.user_id, reason="LOGOUT_EVERYWHERE", except_id=kept
        )


@access(elevated(staff(Role.RISK, Role.ADMIN)))
async def end_sessions(viewer: Viewer, *, user_id: int, reason: str) -> int:
    """End somebody else's sessions, logins and proofs under way; how many sessions there were.

    Whoever had any is told. Raises InvalidInput, NotFound, ReviewerIsParty (one's own).
    """
    kept = inputs.needed_text(reason, "input", "reason", length_max=REASON_LENGTH_MAX)
    if user_id == viewer.user_id:
        raise refusals.ReviewerIsParty(path=("input", "userId"))
    async with unit_of_work() as work:
        person = (await people.find(work, [user_id])).get(user_id)
        if person is None or person.status is Status.CLOSED:
            raise refusals.NotFound(path=("input", "userId"))
        ended = await sessions.shut_out(work, user_id, reason="ENDED_BY_STAFF")
        await proofs.void_all(work, user_id)
        await audit.record(
            work,
            actor_id=viewer.user_id,
            action="END_SESSIONS",
            object=f"user:{user_id}",
            detail={"sessions": ended},
            reason=kept,
        )
        if ended:
            await _tell_signed_out(work, user_id)
    return ended


async def _tell_signed_out(work: UnitOfWork, user_id: int) -> None:
    await notices.tell(
        work,
        user_id=user_id,
        kind=NoticeKind.SIGNED_OUT_BY_STAFF,
        params={},
        source=f"signed out:{work.now.isoformat()}",
    )


@access(SIGNED_IN)
async def session_page(
    viewer: Viewer, *, limit: int, after: Key | None, before: Key | None, backwards: bool
) -> list[Session]:
    """The caller's sessions that are not over, newest first."""
    async with snapshot() as read:
        return await sessions.page(
            read, viewer.user_id, limit=limit, after=after, before=before, backwards=backwards
        )


@access(SIGNED_IN)
async def sessions_by_ids(viewer: Viewer, session_ids: Sequence[UUID]) -> dict[UUID, Session]:
    """Those of the sessions that are the caller's and not over."""
    async with snapshot() as read:
        return await sessions.by_ids(read, viewer.user_id, session_ids)
