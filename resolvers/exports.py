"""A copy of one's own data: ordered with a fresh proof, followed, and fetched by a link."""

from __future__ import annotations

from domain.proofs import Action, Given, Password
from resolvers import proofs
from resolvers.viewer import ANYONE, SIGNED_IN, Viewer, access
from services.exports import orders
from services.exports.orders import Archive, Export, Ordered
from services.identity import proofs as verbs
from services.unit_of_work import snapshot, unit_of_work

_TOKEN_LENGTH = 64


@access(SIGNED_IN)
async def export_my_data(viewer: Viewer, *, proof: Given | Password) -> Ordered:
    """Have a copy of one's data made; its password is in this answer only.

    Raises AccountNotActive, ExportUnderWay, RateLimited, and what `resolvers.proofs.step_up` does.
    """
    proof_id = await proofs.step_up(viewer, proof, action=Action.EXPORT_DATA)
    async with unit_of_work() as work:
        asked = await orders.order(work, user_id=viewer.user_id, session_id=viewer.session_id)
        await verbs.use_step_up(work, proof_id, user_id=viewer.user_id, action=Action.EXPORT_DATA)
        return asked


@access(SIGNED_IN)
async def data_exports(viewer: Viewer) -> list[Export]:
    """The caller's newest ten copies, newest first."""
    async with snapshot() as read:
        return await orders.of_user(read, viewer.user_id)


@access(ANYONE)
async def download(viewer: Viewer, token: str) -> Archive | None:
    """The archive behind a link; None unless the link is right and has not expired.

    Whoever has the link may fetch: without its password the archive says nothing.
    """
    if len(token) != _TOKEN_LENGTH or not token.isascii():
        return None
    async with unit_of_work() as work:
        return await orders.fetch(work, token)
