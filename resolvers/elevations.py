"""Elevation: a member of staff proves anew who they are, and may do what is sensitive."""

from __future__ import annotations

from domain import inputs
from domain.identity import STAFF
from domain.proofs import Action, Passkey
from domain.staffing import REASON_LENGTH_MAX, Method
from resolvers import proofs
from resolvers.viewer import SIGNED_IN, Viewer, access, staff
from services.identity import elevations, totp
from services.identity import proofs as proven
from services.identity.elevations import Elevation
from services.unit_of_work import snapshot, unit_of_work

_TOTP_PATH = ("input", "proof", "totp")


@access(staff(*STAFF))
async def elevate(viewer: Viewer, *, reason: str, given: Passkey | str) -> Elevation:
    """Elevate this session for a quarter of an hour.

    ``given`` is a passkey's answer to a step-up challenge for ELEVATE, or the authenticator's code.
    Raises InvalidInput, TotpInvalid, TotpNotSet, RateLimited, ChallengeInvalid, PasskeyInvalid.
    """
    kept = inputs.needed_text(reason, "input", "reason", length_max=REASON_LENGTH_MAX)
    if isinstance(given, Passkey):
        return await _by_passkey(viewer, given, reason=kept)
    return await _by_totp(viewer, given, reason=kept)


async def _by_totp(viewer: Viewer, code: str, *, reason: str) -> Elevation:
    async with unit_of_work() as work:
        refused = await totp.check(work, viewer.user_id, code)
        if refused is None:
            return await elevations.begin(work, viewer, method=Method.TOTP, reason=reason)
    # After the commit: the try stays counted.
    refused.path = _TOTP_PATH
    raise refused


async def _by_passkey(viewer: Viewer, given: Passkey, *, reason: str) -> Elevation:
    proof_id = await proofs.step_up(viewer, given, action=Action.ELEVATE)
    async with unit_of_work() as work:
        await proven.use_step_up(work, proof_id, user_id=viewer.user_id, action=Action.ELEVATE)
        return await elevations.begin(work, viewer, method=Method.PASSKEY, reason=reason)


@access(SIGNED_IN)
async def end_elevation(viewer: Viewer, *, everywhere: bool) -> None:
    """End the elevation of this session, or of all the caller's; nothing happens without one."""
    async with unit_of_work() as work:
        await elevations.end(work, viewer, everywhere=everywhere)


@access(SIGNED_IN)
async def own(viewer: Viewer) -> Elevation | None:
    """The elevation of this session while it lasts."""
    if viewer.elevated_until is None or viewer.session_id is None:
        return None
    async with snapshot() as read:
        return await elevations.of_session(read, viewer.session_id)
