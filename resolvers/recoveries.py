"""Who may ask staff for help back in, who decides it, and how the owner objects."""

from __future__ import annotations

from uuid import UUID

from domain import inputs, refusals
from domain import registration as rules
from domain.identity import Role
from resolvers import identity
from resolvers.viewer import ANYONE, SIGNED_IN, Viewer, access, elevated, staff
from services.identity import number_releases, password_resets, recoveries
from services.identity.recoveries import Case, Key
from services.unit_of_work import unit_of_work

STATEMENT_LENGTH_MAX = 1_000
REASON_LENGTH_MAX = 200
_REVIEWERS = elevated(staff(Role.SUPPORT, Role.COMPLIANCE))


@access(ANYONE)
async def request_recovery_review(
    viewer: Viewer, *, secret: str, code: str, statement: str, address: str
) -> Case:
    """Ask two of staff to stand in for the second proof of a reset whose code is right.

    Raises InvalidInput, ResetProofInvalid (whatever else is wrong), RateLimited.
    """
    kept = inputs.short_text(statement, "input", "statement", length_max=STATEMENT_LENGTH_MAX)
    if kept is None:
        raise refusals.InvalidInput(
            path=("input", "statement"),
            en="Please write what has happened.",
            zh="请说明情况。",
        )
    if not rules.is_pin(code):
        raise refusals.ResetProofInvalid(path=("input",))
    async with unit_of_work() as work:
        tried = await password_resets.spend_try(
            work, secret, code=code, identity=None, address=address
        )
    if tried is None or not tried.right:
        raise refusals.ResetProofInvalid(path=("input",))
    async with unit_of_work() as work:
        return await recoveries.open_for(work, tried, statement=kept)


@access(ANYONE)
async def request_number_release(
    viewer: Viewer, *, phone: str, verification_id: UUID | None, code: str, statement: str
) -> Case:
    """Ask two of staff to take a number from an old account, for whoever holds its phone now.

    The code is one to register by. Raises InvalidInput, CodeInvalid, CodeExpired, NotFound (nobody
    has the number, so one can register).
    """
    e164 = identity.phone_of_input(phone)
    kept = inputs.needed_text(statement, "input", "statement", length_max=STATEMENT_LENGTH_MAX)
    code_id = await identity.proven(e164, verification_id, code)
    async with unit_of_work() as work:
        return await number_releases.ask(work, phone=e164, code_id=code_id, statement=kept)


@access(SIGNED_IN)
async def object_to_recovery(viewer: Viewer, *, case_id: UUID | None = None) -> int:
    """End a case about the caller's account, or all, from any session; how many there were."""
    async with unit_of_work() as work:
        return await recoveries.object_to(work, viewer.user_id, case_id=case_id)


@access(_REVIEWERS)
async def recovery_cases(
    viewer: Viewer, *, limit: int, after: Key | None, before: Key | None, backwards: bool
) -> list[Case]:
    """Cases that wait, oldest first; who looked is on record before they are shown."""
    async with unit_of_work() as work:
        return await recoveries.page(
            work, viewer, limit=limit, after=after, before=before, backwards=backwards
        )


@access(_REVIEWERS)
async def decide_recovery(
    viewer: Viewer, *, case_id: UUID | None, approve: bool, reason: str, expected_version: int
) -> Case:
    """Approve, as one of two persons, or end it. Never one's own case.

    Raises InvalidInput, NotFound, ReviewerIsParty, StaleVersion.
    """
    kept = inputs.short_text(reason, "input", "reason", length_max=REASON_LENGTH_MAX)
    if kept is None:
        raise refusals.InvalidInput(
            path=("input", "reason"), en="Please give a reason.", zh="请填写原因。"
        )
    if case_id is None:
        raise refusals.NotFound(path=("input", "recoveryCaseId"))
    async with unit_of_work() as work:
        return await recoveries.decide(
            work,
            viewer,
            case_id,
            approve=approve,
            reason=kept,
            expected_version=expected_version,
        )
