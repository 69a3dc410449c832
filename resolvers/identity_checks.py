"""Who may hand in name and ID number later, and who decides what rules don't know."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from domain import refusals
from domain.identity import REGISTRATION_REVIEWERS, Decision
from resolvers import registrations
from resolvers.registrations import Told
from resolvers.viewer import SIGNED_IN, Viewer, access, elevated, staff
from resolvers.wallets import RESIDENT
from services.identity import checks, sessions
from services.unit_of_work import snapshot, unit_of_work

_REVIEWER = elevated(staff(*REGISTRATION_REVIEWERS))


@access(RESIDENT)
async def submit_identity(viewer: Viewer, *, name: str, id_number: str) -> Viewer:
    """Have the caller's name and ID number reviewed. The caller as of after it.

    Raises InvalidInput, UnderAge, IdentityKnown, IdentityUnderReview, RateLimited.
    """
    kept = registrations.checked_name(name)
    number = registrations.checked(Told(id_number)).id_number
    assert number is not None
    assert viewer.session_id is not None
    async with unit_of_work() as work:
        await checks.submit(work, viewer.user_id, name=kept, id_number=number)
        current = await sessions.viewer_by_session(work, viewer.session_id)
    if current is None:
        raise refusals.NotSignedIn
    return current


@access(SIGNED_IN)
async def identity_check(viewer: Viewer) -> checks.Check | None:
    """The caller's newest check; None if there was none."""
    async with snapshot() as read:
        return await checks.latest(read, viewer.user_id)


@access(_REVIEWER)
async def review_identity(
    viewer: Viewer,
    *,
    check_id: UUID | None,
    decision: Decision,
    reason: str | None,
    expected_version: int | None,
) -> checks.Case:
    """Decide a referred check. Raises InvalidInput, NotFound, StaleVersion, TooManyAccounts."""
    kept = registrations.checked_reason(decision, reason)
    if check_id is None:
        raise refusals.NotFound(path=("input", "identityCheckId"))
    async with unit_of_work() as work:
        return await checks.review_by_staff(
            work,
            viewer,
            check_id=check_id,
            decision=decision,
            reason=kept,
            expected_version=expected_version,
        )


@access(_REVIEWER)
async def identity_queue(
    viewer: Viewer,
    *,
    limit: int,
    after: tuple[Any, ...] | None,
    before: tuple[Any, ...] | None,
    backwards: bool,
) -> list[checks.Case]:
    """Referred checks, oldest first; who looked is on record before they are shown."""
    async with unit_of_work() as work:
        return await checks.queue(
            work, viewer, limit=limit, after=after, before=before, backwards=backwards
        )
