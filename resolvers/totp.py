"""Authenticator apps of staff: set up by their owners, removed by an ADMIN."""

from __future__ import annotations

from domain import inputs, refusals
from domain.identity import STAFF, Role
from domain.staffing import REASON_LENGTH_MAX
from resolvers import identity
from resolvers.viewer import SIGNED_IN, Viewer, access, also_enrolling, elevated, staff
from services import audit, people
from services.identity import (
    logins,
    passkeys,
    second_factors,
    sessions,
    staffing,
    totp,
)
from services.identity.staffing import Member
from services.identity.totp import Enrolment
from services.unit_of_work import snapshot, unit_of_work


@access(also_enrolling(staff(*STAFF)))
async def enrol_totp(viewer: Viewer, *, password: str, address: str) -> Enrolment:
    """A new secret for the caller's authenticator app, shown once; `confirm_totp` puts it to use.

    Raises WrongCredentials, TotpAlreadySet, RateLimited, Overloaded.
    """
    attempt, new_hash = await identity.shown_password(viewer, password=password, address=address)
    async with unit_of_work() as work:
        await logins.succeed(work, attempt, new_hash=new_hash)
        made = await totp.enrol(work, viewer.user_id, label=people.label_of(viewer))
        await audit.record(
            work,
            actor_id=viewer.user_id,
            action="ENROL_AUTHENTICATOR",
            object=f"user:{viewer.user_id}",
        )
        return made


@access(also_enrolling(staff(*STAFF)))
async def confirm_totp(viewer: Viewer, *, code: str) -> None:
    """Put the new secret to use by a first code of it; opens a session that had to enrol.

    Raises TotpInvalid, TotpNotSet, TotpAlreadySet, RateLimited, SecondFactorRequired.
    """
    async with unit_of_work() as work:
        await second_factors.ensure_may_enrol(work, viewer)
        refused = await totp.confirm(work, viewer.user_id, code)
        if refused is None:
            await second_factors.enrolled(work, viewer)
            await audit.record(
                work,
                actor_id=viewer.user_id,
                action="ADD_AUTHENTICATOR",
                object=f"user:{viewer.user_id}",
            )
    # After the commit: the try stays counted.
    if refused is not None:
        refused.path = ("input", "code")
        raise refused


@access(elevated(staff(Role.ADMIN)))
async def remove_totp(
    viewer: Viewer, *, user_id: int, reason: str, passkeys_too: bool = False
) -> Member:
    """Take another's authenticator away (and all passkeys, for who has lost them); sessions end.

    Without any second factor left, the next sign-in has to set one up. Raises InvalidInput,
    NotFound, ReviewerIsParty (one's own), TotpNotSet (nothing to remove).
    """
    kept = inputs.needed_text(reason, "input", "reason", length_max=REASON_LENGTH_MAX)
    if user_id == viewer.user_id:
        raise refusals.ReviewerIsParty(path=("input", "staffId"))
    async with unit_of_work() as work:
        if await staffing.role_of(work, user_id) is None:
            raise refusals.NotFound(path=("input", "staffId"))
        # First: a login that is being completed holds the authenticator.
        await sessions.shut_out(work, user_id, reason="AUTHENTICATOR_REMOVED")
        gone = int(await totp.remove(work, user_id))
        lost = await passkeys.remove_all(work, user_id) if passkeys_too else 0
        if not gone + lost:
            raise refusals.TotpNotSet(path=("input", "staffId"))
        await audit.record(
            work,
            actor_id=viewer.user_id,
            action="REMOVE_AUTHENTICATOR",
            object=f"user:{user_id}",
            detail={"authenticators": gone, "passkeys": lost},
            reason=kept,
        )
        member = await staffing.member(work, user_id)
    assert member is not None
    return member


@access(also_enrolling(SIGNED_IN))
async def has_totp(viewer: Viewer) -> bool:
    """Whether the caller has an authenticator that works."""
    if not viewer.staff:
        return False
    async with snapshot() as read:
        return await totp.is_set(read, viewer.user_id)
