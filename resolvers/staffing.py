"""Who appoints, moves and dismisses members of staff: an ADMIN, elevated, and never oneself."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from domain import inputs, refusals, registration
from domain.identity import Role
from domain.staffing import REASON_LENGTH_MAX, ChangeDecision, StaffRole
from resolvers.viewer import Viewer, access, elevated, staff
from services import people
from services.identity import staffing
from services.identity.staffing import Change, Key, Member
from services.unit_of_work import unit_of_work

_ADMIN = elevated(staff(Role.ADMIN))
_READ = staff(Role.ADMIN, Role.AUDITOR)


@access(_ADMIN)
async def appoint_staff(viewer: Viewer, *, phone: str, role: StaffRole, reason: str) -> Change:
    """Make somebody with an approved account and an unused wallet a member of staff.

    Raises InvalidInput, NotFound, StaleVersion (is staff already, or waits to be), WalletInUse,
    AccountNotActive.
    """
    kept = _reason(reason)
    e164 = registration.phone(phone)
    if e164 is None:
        raise refusals.InvalidInput(
            path=("input", "phone"), en="Enter a mobile phone number.", zh="请输入正确的手机号。"
        )
    async with unit_of_work() as work:
        person = await people.find_by_phone(work, e164)
        if person is None:
            raise refusals.NotFound(path=("input", "phone"))
        return await staffing.change_role(
            work,
            actor_id=viewer.user_id,
            user_id=person.user_id,
            from_role=Role.RESIDENT,
            to_role=role.role,
            reason=kept,
        )


@access(_ADMIN)
async def change_staff_role(
    viewer: Viewer, *, user_id: int, role: StaffRole, reason: str
) -> Change:
    """Give another member of staff another role. Raises InvalidInput, NotFound, StaleVersion."""
    return await _move(viewer, user_id=user_id, to_role=role.role, reason=reason)


@access(_ADMIN)
async def dismiss_staff(viewer: Viewer, *, user_id: int, reason: str) -> Change:
    """Make another member of staff a resident again. Raises InvalidInput, NotFound, StaleVersion.

    Of two ADMINs who dismiss each other at once, one stays.
    """
    return await _move(viewer, user_id=user_id, to_role=Role.RESIDENT, reason=reason)


@access(_ADMIN)
async def decide_role_change(
    viewer: Viewer, *, change_id: UUID, decision: ChangeDecision
) -> Change:
    """Confirm or reject a change by which an ADMIN comes or goes.

    Raises NotFound, StaleVersion, SecondPersonNeeded, WalletInUse, AccountNotActive.
    """
    async with unit_of_work() as work:
        return await staffing.decide(
            work,
            actor_id=viewer.user_id,
            change_id=change_id,
            confirm=decision is ChangeDecision.CONFIRM,
        )


@access(_READ)
async def members(
    viewer: Viewer,
    *,
    limit: int,
    after: tuple[Any, ...] | None,
    before: tuple[Any, ...] | None,
    backwards: bool,
) -> list[Member]:
    """Members of staff, newest first; who looked is on record before they are shown."""
    async with unit_of_work() as work:
        return await staffing.members(
            work,
            actor_id=viewer.user_id,
            limit=limit,
            after=after,
            before=before,
            backwards=backwards,
        )


@access(_READ)
async def role_changes(
    viewer: Viewer, *, limit: int, after: Key | None, before: Key | None, backwards: bool
) -> list[Change]:
    """Changes of role, newest first; who looked is on record before they are shown."""
    async with unit_of_work() as work:
        return await staffing.changes(
            work,
            actor_id=viewer.user_id,
            limit=limit,
            after=after,
            before=before,
            backwards=backwards,
        )


async def _move(viewer: Viewer, *, user_id: int, to_role: Role, reason: str) -> Change:
    kept = _reason(reason)
    async with unit_of_work() as work:
        current = await staffing.role_of(work, user_id)
        if current is None:
            raise refusals.NotFound(path=("input", "staffId"))
        return await staffing.change_role(
            work,
            actor_id=viewer.user_id,
            user_id=user_id,
            from_role=current,
            to_role=to_role,
            reason=kept,
        )


def _reason(text: str) -> str:
    return inputs.needed_text(text, "input", "reason", length_max=REASON_LENGTH_MAX)
