"""What applicants tell and correct, and what staff decide of what was referred to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain import refusals, resident_ids
from domain import registration as rules
from domain.identity import REGISTRATION_REVIEWERS, Decision, Status
from resolvers.viewer import ANYONE, SIGNED_IN, Viewer, access, elevated, staff
from services import people
from services.identity import registration, sessions
from services.people import Details
from services.unit_of_work import snapshot, unit_of_work

_REASON_LENGTH_MAX = 200
# Reviewers see applications in full.
_REVIEWER = elevated(staff(*REGISTRATION_REVIEWERS))


@dataclass(frozen=True, slots=True)
class Told:
    """What an applicant typed beside name and phone; each None if nothing."""

    id_number: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    postal_address: str | None = field(default=None, repr=False)


NOTHING_TOLD = Told()


def checked_name(name: str) -> str:
    """The name as kept. Raises InvalidInput."""
    kept = rules.clean_name(name)
    if kept is None:
        raise refusals.InvalidInput(path=("input", "name"))
    return kept


def checked(told: Told) -> Details:
    """What was typed, as kept. Raises InvalidInput."""
    resident = resident_ids.parse(told.id_number) if told.id_number is not None else None
    email = rules.email(told.email) if told.email is not None else None
    address = rules.postal_address(told.postal_address) if told.postal_address is not None else None
    for given, kept, name in (
        (told.id_number, resident, "idNumber"),
        (told.email, email, "email"),
        (told.postal_address, address, "postalAddress"),
    ):
        if given is not None and kept is None:
            raise refusals.InvalidInput(path=("input", name))
    return Details(resident.number if resident else None, email, address)


def checked_reason(decision: Decision, reason: str | None) -> str | None:
    """What staff wrote, as kept; a rejection needs some. Raises InvalidInput."""
    kept = " ".join((reason or "").split()) or None
    if (kept is None and decision is Decision.REJECT) or len(kept or "") > _REASON_LENGTH_MAX:
        raise refusals.InvalidInput(
            path=("input", "reason"),
            en="A rejection needs a reason of up to 200 characters.",
            zh="拒绝时须填写原因，不超过200字。",
        )
    return kept


@access(SIGNED_IN)
async def resubmit_registration(viewer: Viewer, *, name: str, told: Told) -> Viewer:
    """Correct a rejected application: all of it is replaced. The caller, PENDING_REVIEW again.

    Raises InvalidInput, RegistrationNotRejected, UnderAge, RateLimited (for a day, after three).
    """
    kept_name, details = checked_name(name), checked(told)
    assert viewer.session_id is not None
    async with unit_of_work() as work:
        await registration.resubmit(work, viewer.user_id, name=kept_name, details=details)
        current = await sessions.viewer_by_session(work, viewer.session_id)
    if current is None:
        raise refusals.NotSignedIn
    return current


@access(SIGNED_IN)
async def may_apply_again_at(viewer: Viewer) -> datetime | None:
    """From when the caller may correct the application; None if it isn't rejected."""
    if viewer.status is not Status.REJECTED:
        return None
    async with snapshot() as read:
        return await registration.may_apply_again_at(read, viewer.user_id)


@access(SIGNED_IN)
async def personal_details(viewer: Viewer) -> Details:
    """What the caller told beside name and phone."""
    async with snapshot() as read:
        return await people.details_of(read, viewer.user_id)


@access(ANYONE)
def staff_or_none(viewer: Viewer) -> Viewer | None:
    """The caller if a member of staff."""
    return viewer if viewer.staff else None


@access(_REVIEWER)
async def review_registration(
    viewer: Viewer,
    *,
    user_id: int,
    decision: Decision,
    reason: str | None,
    expected_version: int | None,
) -> registration.Registration:
    """Decide a referred registration.

    Raises InvalidInput, NotFound, StaleVersion, TooManyAccounts.
    """
    kept = checked_reason(decision, reason)
    async with unit_of_work() as work:
        return await registration.review_by_staff(
            work,
            viewer,
            user_id=user_id,
            decision=decision,
            reason=kept,
            expected_version=expected_version,
        )


@access(_REVIEWER)
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
