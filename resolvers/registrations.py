"""What staff do about registrations that the rules referred to them."""

from __future__ import annotations

from typing import Any

from domain import refusals
from domain.identity import REGISTRATION_REVIEWERS, Decision
from resolvers.viewer import ANYONE, Viewer, access, staff
from services.identity import registration
from services.unit_of_work import unit_of_work

_REASON_LENGTH_MAX = 200


@access(ANYONE)
def staff_or_none(viewer: Viewer) -> Viewer | None:
    """The caller if a member of staff."""
    return viewer if viewer.staff else None


@access(staff(*REGISTRATION_REVIEWERS))
async def review_registration(
    viewer: Viewer,
    *,
    user_id: int,
    decision: Decision,
    reason: str | None,
    expected_version: int | None,
) -> registration.Registration:
    """Decide a referred registration. Raises InvalidInput, NotFound, StaleVersion."""
    kept = " ".join((reason or "").split()) or None
    if (kept is None and decision is Decision.REJECT) or len(kept or "") > _REASON_LENGTH_MAX:
        raise refusals.InvalidInput(
            path=("input", "reason"),
            en="A rejection needs a reason of up to 200 characters.",
            zh="拒绝时须填写原因，不超过200字。",
        )
    async with unit_of_work() as work:
        return await registration.review_by_staff(
            work,
            viewer,
            user_id=user_id,
            decision=decision,
            reason=kept,
            expected_version=expected_version,
        )


@access(staff(*REGISTRATION_REVIEWERS))
async def registration_queue(
    viewer: Viewer,
    *,
    limit: int,
    after: tuple[Any, ...] | None,
    before: tuple[Any, ...] | None,
    backwards: bool,
) -> list[registration.Registration]:
    """Referred registrations, oldest first; who looked is on record before they are shown."""
    async with unit_of_work() as work:
        return await registration.queue(
            work, viewer, limit=limit, after=after, before=before, backwards=backwards
        )
