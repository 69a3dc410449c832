"""Members of staff and their roles, as ADMINs see and change them."""

from __future__ import annotations

from datetime import datetime

import strawberry

from domain import identity
from domain import refusals as no
from domain import staffing as domain
from resolvers import staffing
from schema import enums, fields, ids, nodes, pagination
from schema.context import Info
from services.identity import staffing as rows

enums.described(
    domain.StaffRole,
    "StaffRole",
    "What a member of staff may be.",
    SUPPORT="Customer service.",
    FINANCE="The finance desk, which decides refunds.",
    RISK="Fraud and frozen wallets.",
    COMPLIANCE="Reviews registrations.",
    AUDITOR="Reads, decides nothing.",
    ADMIN="Administers the installation. Needs a second ADMIN where there is one.",
)
enums.described(
    domain.ChangeState,
    "RoleChangeState",
    "Where a change of role stands.",
    PROPOSED="Another ADMIN has to confirm it.",
    DONE="It is so.",
    REJECTED="An ADMIN rejected it, or took it back.",
    EXPIRED="Nobody confirmed it within a day.",
)
enums.described(
    domain.ChangeDecision,
    "RoleChangeDecision",
    "What another ADMIN says of a proposed change.",
    CONFIRM="It is done now.",
    REJECT="It isn't done.",
)


@strawberry.type(description="A member of staff.")
class StaffMember:
    """As `services.identity.staffing.Member`."""

    id: strawberry.ID = strawberry.field(description="What the mutations take as `staffId`.")
    display_name: str = strawberry.field(description="The name.")
    phone: str = strawberry.field(description="The phone number, masked.")
    role: identity.Role = strawberry.field(description="What they may do.")
    has_totp: bool = strawberry.field(description="Whether their authenticator app is set up.")
    has_passkey: bool = strawberry.field(description="Whether they have a passkey.")
    registered_at: datetime = strawberry.field(description="When the account was made.")

    @classmethod
    def of(cls, row: rows.Member) -> StaffMember:
        return cls(
            id=_user(row.user_id),
            display_name=row.name,
            phone=row.phone,
            role=row.role,
            has_totp=row.has_totp,
            has_passkey=row.has_passkey,
            registered_at=row.registered_at,
        )


@strawberry.type(description="Somebody's way from one role to another. Kept for good.")
class RoleChange:
    """As `services.identity.staffing.Change`."""

    id: strawberry.ID = strawberry.field(description="Its global id.")
    staff_id: strawberry.ID = strawberry.field(description="Whose role it is.")
    display_name: str = strawberry.field(description="The person's name.")
    from_role: identity.Role = strawberry.field(description="What they were.")
    to_role: identity.Role = strawberry.field(description="What they become.")
    state: domain.ChangeState = strawberry.field(description="Where it stands.")
    reason: str | None = strawberry.field(description="Why; null for the first ADMIN.")
    proposed_by_id: strawberry.ID | None = strawberry.field(
        description="Who asked for it; null for the installation itself."
    )
    proposed_at: datetime = strawberry.field(description="When.")
    decided_by_id: strawberry.ID | None = strawberry.field(description="Who decided it.")
    decided_at: datetime | None = strawberry.field(description="When it was decided.")

    @classmethod
    def of(cls, row: rows.Change) -> RoleChange:
        return cls(
            id=strawberry.ID(ids.encode("RoleChange", row.id)),
            staff_id=_user(row.user_id),
            display_name=row.name,
            from_role=row.from_role,
            to_role=row.to_role,
            state=row.state,
            reason=row.reason,
            proposed_by_id=_user(row.proposed_by) if row.proposed_by else None,
            proposed_at=row.proposed_at,
            decided_by_id=_user(row.decided_by) if row.decided_by else None,
            decided_at=row.decided_at,
        )


def _user(user_id: int) -> strawberry.ID:
    return strawberry.ID(ids.encode("User", user_id))


@strawberry.type
class StaffingStaff:
    """The part of Staff about staff."""

    @fields.query_field(
        calls=staffing.members,
        description="Members of staff, newest first. Who looked is recorded. For ADMIN and "
        "AUDITOR.",
    )
    async def members(
        self,
        info: Info,
        first: pagination.First = None,
        last: pagination.Last = None,
        after: pagination.After = None,
        before: pagination.Before = None,
    ) -> pagination.Connection[StaffMember]:
        window = pagination.window("members", first=first, last=last, after=after, before=before)
        found = await staffing.members(
            info.context.viewer,
            limit=window.limit,
            after=window.after,
            before=window.before,
            backwards=window.backwards,
        )
        return pagination.page(
            found, window, key=lambda row: (row.registered_at, row.user_id), node=StaffMember.of
        )

    @fields.query_field(
        calls=staffing.role_changes,
        description="Changes of role, newest first. Who looked is recorded. For ADMIN and AUDITOR.",
    )
    async def role_changes(
        self,
        info: Info,
        first: pagination.First = None,
        last: pagination.Last = None,
        after: pagination.After = None,
        before: pagination.Before = None,
    ) -> pagination.Connection[RoleChange]:
        window = pagination.window(
            "roleChanges", first=first, last=last, after=after, before=before
        )
        found = await staffing.role_changes(
            info.context.viewer,
            limit=window.limit,
            after=nodes.time_and_uuid(window.after),
            before=nodes.time_and_uuid(window.before),
            backwards=window.backwards,
        )
        return pagination.page(
            found, window, key=lambda row: (row.proposed_at, str(row.id)), node=RoleChange.of
        )


@strawberry.input(description="Whom to make a member of staff.")
class AppointStaffInput:
    """See `resolvers.staffing.appoint_staff`."""

    phone: str = strawberry.field(
        description="The number of an approved account whose wallet was never used."
    )
    role: domain.StaffRole = strawberry.field(description="What they become.")
    reason: str = strawberry.field(description="Why, up to 200 characters; kept for good.")


@strawberry.input(description="Another role for a member of staff.")
class ChangeStaffRoleInput:
    """See `resolvers.staffing.change_staff_role`."""

    staff_id: strawberry.ID = strawberry.field(description="As `members` gave it.")
    role: domain.StaffRole = strawberry.field(description="What they become.")
    reason: str = strawberry.field(description="Why, up to 200 characters; kept for good.")


@strawberry.input(description="Who is no member of staff any more.")
class DismissStaffInput:
    """See `resolvers.staffing.dismiss_staff`."""

    staff_id: strawberry.ID = strawberry.field(description="As `members` gave it.")
    reason: str = strawberry.field(description="Why, up to 200 characters; kept for good.")


@strawberry.input(description="What another ADMIN says of a proposed change of role.")
class DecideRoleChangeInput:
    """See `resolvers.staffing.decide_role_change`."""

    change_id: strawberry.ID = strawberry.field(description="As `roleChanges` gave it.")
    decision: domain.ChangeDecision = strawberry.field(description="Confirm or reject.")


_CHANGED = "The change: DONE, or PROPOSED where another ADMIN has to confirm it."


@strawberry.type(description="Appointed, or proposed. All sessions of the person have ended then.")
class AppointStaffSuccess:
    """The person signs in anew."""

    role_change: RoleChange = strawberry.field(description=_CHANGED)


@strawberry.type(description="Changed, or proposed. All sessions of the person have ended then.")
class ChangeStaffRoleSuccess:
    """The person signs in anew."""

    role_change: RoleChange = strawberry.field(description=_CHANGED)


@strawberry.type(description="Dismissed, or proposed. All sessions of the person have ended then.")
class DismissStaffSuccess:
    """The person is a resident again."""

    role_change: RoleChange = strawberry.field(description=_CHANGED)


@strawberry.type(description="Decided.")
class DecideRoleChangeSuccess:
    """By somebody who isn't the person in question."""

    role_change: RoleChange = strawberry.field(description="As it is now.")


_REFUSES = (no.NotFound, no.StaleVersion, no.AccountNotActive, no.WalletInUse)


@strawberry.type
class StaffingMutation:
    """The part of Mutation about staff."""

    @fields.mutation(
        calls=staffing.appoint_staff,
        description="Make somebody a member of staff, not oneself. For ADMIN, elevated.",
        refuses=_REFUSES,
    )
    async def appoint_staff(self, info: Info, input: AppointStaffInput) -> AppointStaffSuccess:
        change = await staffing.appoint_staff(
            info.context.viewer, phone=input.phone, role=input.role, reason=input.reason
        )
        return AppointStaffSuccess(role_change=RoleChange.of(change))

    @fields.mutation(
        calls=staffing.change_staff_role,
        description="Give another member of staff another role. For ADMIN, elevated.",
        refuses=_REFUSES,
    )
    async def change_staff_role(
        self, info: Info, input: ChangeStaffRoleInput
    ) -> ChangeStaffRoleSuccess:
        change = await staffing.change_staff_role(
            info.context.viewer,
            user_id=nodes.user_of(input.staff_id, "input", "staffId"),
            role=input.role,
            reason=input.reason,
        )
        return ChangeStaffRoleSuccess(role_change=RoleChange.of(change))

    @fields.mutation(
        calls=staffing.dismiss_staff,
        description="Make another member of staff a resident again. For ADMIN, elevated.",
        refuses=_REFUSES,
    )
    async def dismiss_staff(self, info: Info, input: DismissStaffInput) -> DismissStaffSuccess:
        change = await staffing.dismiss_staff(
            info.context.viewer,
            user_id=nodes.user_of(input.staff_id, "input", "staffId"),
            reason=input.reason,
        )
        return DismissStaffSuccess(role_change=RoleChange.of(change))

    @fields.mutation(
        calls=staffing.decide_role_change,
        description="Confirm or reject a change by which an ADMIN comes or goes. For another "
        "ADMIN, elevated.",
        refuses=(*_REFUSES, no.SecondPersonNeeded),
    )
    async def decide_role_change(
        self, info: Info, input: DecideRoleChangeInput
    ) -> DecideRoleChangeSuccess:
        change_id = nodes.uuid_of(input.change_id, "RoleChange")
        if change_id is None:
            raise no.NotFound(path=("input", "changeId"))
        change = await staffing.decide_role_change(
            info.context.viewer, change_id=change_id, decision=input.decision
        )
        return DecideRoleChangeSuccess(role_change=RoleChange.of(change))
