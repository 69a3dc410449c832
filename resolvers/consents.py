"""What people are asked to agree to, and their own word on it."""

from __future__ import annotations

from domain.consents import Purpose
from resolvers.viewer import ANYONE, SIGNED_IN, Viewer, access
from services import consents
from services.consents import Asked, Consent
from services.unit_of_work import UnitOfWork, snapshot, unit_of_work


@access(ANYONE)
async def consent_purposes(viewer: Viewer) -> list[Asked]:
    """What everybody is asked, with the texts of today."""
    async with snapshot() as read:
        return await consents.in_effect(read)


@access(SIGNED_IN)
async def own_consents(viewer: Viewer) -> list[Consent]:
    """Where the caller stands with each purpose."""
    async with snapshot() as read:
        return await consents.of_user(read, viewer.user_id)


@access(SIGNED_IN)
async def give_consent(viewer: Viewer, *, purpose: Purpose, version: int) -> Consent:
    """Agree to a version. Raises StaleVersion unless it is the one in effect."""
    async with unit_of_work() as work:
        await consents.give(
            work,
            user_id=viewer.user_id,
            session_id=viewer.session_id,
            given=[(purpose, version)],
            path=("input", "version"),
        )
        return await _own(work, viewer, purpose)


@access(SIGNED_IN)
async def withdraw_consent(viewer: Viewer, *, purpose: Purpose) -> Consent:
    """Take a consent back, from now on. Raises ConsentRequired for what an account needs."""
    async with unit_of_work() as work:
        await consents.withdraw(
            work, user_id=viewer.user_id, session_id=viewer.session_id, purpose=purpose
        )
        return await _own(work, viewer, purpose)


async def _own(work: UnitOfWork, viewer: Viewer, purpose: Purpose) -> Consent:
    found = await consents.of_user(work, viewer.user_id)
    return next(one for one in found if one.asked.purpose is purpose)
