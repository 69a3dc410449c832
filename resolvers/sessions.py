"""Who a request or a socket comes from."""

from __future__ import annotations

from typing import Literal

from domain.identity import Status
from resolvers.viewer import ANONYMOUS, Viewer
from services import audit
from services.identity import sessions
from services.unit_of_work import snapshot

State = Literal["none", "valid", "ended", "bad"]
_SCHEME = "Bearer "


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


async def current(viewer: Viewer) -> Viewer | None:
    """The caller of an open socket as of now; None if it has to close.

    It has to when the session is over, and when the caller's role changed or stopped being active:
    what runs on the socket was permitted to somebody else. Without a session it stays as it is.
    """
    if viewer.session_id is None:
        return viewer
    async with snapshot() as read:
        found = await sessions.viewer_by_session(read, viewer.session_id)
    if found is None or found.role is not viewer.role:
        return None
    demoted = viewer.status is Status.ACTIVE and found.status is not Status.ACTIVE
    return None if demoted else found
