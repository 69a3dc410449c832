"""Closing one's own account, and thinking better of it."""

from __future__ import annotations

from uuid import UUID

from domain import refusals
from domain.closings import ClosingState
from domain.identity import Role
from domain.proofs import Action, Given, Password
from resolvers import proofs
from resolvers.viewer import SIGNED_IN, Rule, Viewer, access
from services.identity import closings
from services.identity import proofs as verbs
from services.identity.closings import Closing
from services.unit_of_work import snapshot, unit_of_work


def _private(viewer: Viewer) -> None:
    if not viewer.user_id:
        raise refusals.NotSignedIn
    if viewer.role is not Role.RESIDENT:
        raise refusals.NotPermitted


PRIVATE = Rule("PRIVATE", _private)
"""Residents, and whoever wants to become one; shops and staff leave by the city's hand."""


@access(SIGNED_IN)
async def own_closing(viewer: Viewer) -> Closing | None:
    """The caller's newest request to close the account, if there ever was one."""
    async with snapshot() as read:
        return await closings.newest(read, viewer.user_id)


@access(PRIVATE)
async def close_my_account(viewer: Viewer, *, proof: Given | Password) -> Closing:
    """Have one's account closed in a week; asked again it stays at the first time.

    Raises AccountNotActive, ClosingNotPossible, and what `resolvers.proofs.step_up` does.
    """
    proof_id = await proofs.step_up(viewer, proof, action=Action.CLOSE_ACCOUNT)
    async with unit_of_work() as work:
        asked = await closings.request(work, user_id=viewer.user_id, session_id=viewer.session_id)
        await verbs.use_step_up(work, proof_id, user_id=viewer.user_id, action=Action.CLOSE_ACCOUNT)
        return asked


@access(PRIVATE)
async def cancel_closing(viewer: Viewer, *, closing_id: UUID | None) -> Closing:
    """Stay; cancelled before is as good. Raises NotFound if it isn't the caller's, or too late."""
    async with unit_of_work() as work:
        found = await closings.newest(work, viewer.user_id)
        if found is not None and found.id == closing_id:
            found = await closings.cancel(work, viewer.user_id) or found
    if found is None or found.id != closing_id or found.state is not ClosingState.CANCELLED:
        raise refusals.NotFound(path=("input", "closingId"))
    return found
