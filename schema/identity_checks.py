"""Name and ID number handed in later, as their owner and as staff see them."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import strawberry

from domain import identity as domain
from domain import refusals as no
from domain import registration as rules
from resolvers import identity_checks
from resolvers.viewer import Viewer as Caller
from schema import callers, enums, fields, ids, nodes, pagination
from schema.callers import LazyViewer
from schema.context import Info
from services.identity import checks

enums.described(
    domain.CheckState,
    "IdentityCheckState",
    "Where an identity check stands.",
    PENDING_REVIEW="Handed in; the rules are looking at it.",
    REFERRED="Waiting for a person to decide.",
    APPROVED="Confirmed: name and ID number are the user's, and `kycLevel` has risen.",
    REJECTED="Not confirmed; `reason` says why, and it may be handed in again.",
)


@strawberry.type(description="Name and ID number that the caller handed in after registering.")
class IdentityCheck:
    """As `services.identity.checks.Check`."""

    id: strawberry.ID = strawberry.field(description="Its global id.")
    state: domain.CheckState = strawberry.field(description="Where it stands.")
    reason: str | None = strawberry.field(description="Why it waits, or was rejected.")
    requested_at: datetime = strawberry.field(description="When it was handed in.")
    reviewed_at: datetime | None = strawberry.field(description="When it was last looked at.")


@strawberry.type(description="An identity check as staff see it. Reading one is recorded.")
class IdentityCase:
    """As `services.identity.checks.Case`."""

    id: strawberry.ID = strawberry.field(description="Its global id.")
    display_name: str = strawberry.field(description="The name that was handed in.")
    known_as: str = strawberry.field(description="The name before.")
    id_number: str = strawberry.field(description="The resident ID number.")
    phone: str = strawberry.field(description="The proved phone number, in E.164.")
    age_years: int | None = strawberry.field(description="The age that the ID number says.")
    state: domain.CheckState = strawberry.field(description="Where it stands.")
    reason: str | None = strawberry.field(description="Why it waits, or was rejected.")
    requested_at: datetime = strawberry.field(description="When it was handed in.")
    version: int = strawberry.field(description="Grows with every change.")

    @classmethod
    def of(cls, row: checks.Case, language: str) -> IdentityCase:
        return cls(
            id=strawberry.ID(ids.encode("IdentityCase", row.id)),
            display_name=row.name,
            known_as=row.known_as,
            id_number=row.id_number,
            phone=row.phone,
            age_years=row.age_years,
            state=row.state,
            reason=rules.reason_text(row.reason, language),
            requested_at=row.requested_at,
            version=row.version,
        )


@strawberry.type
class IdentityCheckViewer:
    """The part of Viewer about handing in name and ID number later."""

    caller: strawberry.Private[Caller]

    @fields.query_field(
        calls=identity_checks.identity_check,
        description="The caller's newest `submitIdentity`; null if there was none.",
    )
    async def identity_check(self, info: Info) -> IdentityCheck | None:
        found = await identity_checks.identity_check(self.caller)
        if found is None:
            return None
        return IdentityCheck(
            id=strawberry.ID(ids.encode("IdentityCheck", found.id)),
            state=found.state,
            reason=rules.reason_text(found.reason, info.context.language),
            requested_at=found.requested_at,
            reviewed_at=found.reviewed_at,
        )


@strawberry.input(description="Who somebody is who registered without an ID number.")
class SubmitIdentityInput:
    """See `resolvers.identity_checks.submit_identity`."""

    name: str = strawberry.field(description="The real name, as on the ID card.")
    id_number: str = strawberry.field(description="The resident ID number.")


@strawberry.type(description="Handed in; it is being reviewed, and the wallet works as before.")
class SubmitIdentitySuccess:
    """Followed by notices, and by `viewerStatusEvents` when the level rises."""

    viewer: LazyViewer = strawberry.field(description="The caller.")


@strawberry.type
class IdentityCheckMutation:
    """The part of Mutation in which residents say who they are."""

    @fields.mutation(
        calls=identity_checks.submit_identity,
        description="Hand in name and ID number after registering without one, to rise from "
        "`kycLevel` PHONE. After three rejections within a day it takes a day.",
        refuses=(
            no.UnderAge,
            no.IdentityKnown,
            no.IdentityUnderReview,
            no.AccountNotActive,
        ),
    )
    async def submit_identity(
        self, info: Info, input: SubmitIdentityInput
    ) -> SubmitIdentitySuccess:
        changed = await identity_checks.submit_identity(
            info.context.viewer, name=input.name, id_number=input.id_number
        )
        return SubmitIdentitySuccess(viewer=callers.of(changed))


@strawberry.input(description="A decision about one identity check.")
class ReviewIdentityInput:
    """See `resolvers.identity_checks.review_identity`."""

    identity_check_id: strawberry.ID = strawberry.field(description="As the queue gave it.")
    decision: domain.Decision = strawberry.field(description="Approve or reject.")
    reason: str | None = strawberry.field(
        default=None, description="What the user reads; needed to reject."
    )
    expected_version: int | None = strawberry.field(
        default=None, description="The `version` that was looked at; refused if it changed since."
    )


@strawberry.type(description="Decided; the user has been told.")
class ReviewIdentitySuccess:
    """The decision of exactly one member of staff."""

    identity_case: IdentityCase = strawberry.field(description="As it is now.")


@strawberry.type
class IdentityCheckStaff:
    """The part of Staff about identity checks."""

    @fields.query_field(
        calls=identity_checks.identity_queue,
        description="The identity checks that the rules could not decide, oldest first. Who looked "
        "is recorded. For SUPPORT, COMPLIANCE and ADMIN.",
    )
    async def identity_queue(
        self,
        info: Info,
        first: pagination.First = None,
        last: pagination.Last = None,
        after: pagination.After = None,
        before: pagination.Before = None,
    ) -> pagination.Connection[IdentityCase]:
        language = info.context.language
        return await pagination.connection(
            pagination.window("identityQueue", first=first, last=last, after=after, before=before),
            partial(identity_checks.identity_queue, info.context.viewer),
            place=nodes.time_and_uuid,
            key=lambda row: (row.requested_at, str(row.id)),
            node=lambda row: IdentityCase.of(row, language),
        )


@strawberry.type
class IdentityCheckStaffMutation:
    """The part of Mutation in which staff decide identity checks."""

    @fields.mutation(
        calls=identity_checks.review_identity,
        description="Approve or reject a referred identity check. Of two at once, one wins.",
        refuses=(no.NotFound, no.StaleVersion, no.TooManyAccounts),
    )
    async def review_identity(
        self, info: Info, input: ReviewIdentityInput
    ) -> ReviewIdentitySuccess:
        decided = await identity_checks.review_identity(
            info.context.viewer,
            check_id=ids.decode_uuid(input.identity_check_id, "IdentityCase"),
            decision=input.decision,
            reason=input.reason,
            expected_version=input.expected_version,
        )
        return ReviewIdentitySuccess(identity_case=IdentityCase.of(decided, info.context.language))
