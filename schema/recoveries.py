"""Help back in by two members of staff."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from uuid import uuid4

import strawberry

from domain import recovery as domain
from domain import refusals as no
from resolvers import recoveries
from schema import enums, fields, ids, nodes, pagination
from schema.context import Info
from services.identity.recoveries import Case

enums.described(
    domain.CaseState,
    "RecoveryState",
    "Where a request for help back in stands.",
    REQUESTED="Two members of staff have to approve it.",
    APPROVED_ONCE="One has; another one has to.",
    APPROVED="Good for what it was asked for, once, from `usableFrom` on.",
    REJECTED="Staff said no.",
    OBJECTED="The owner said that it isn't theirs, or moved away from the number it is about.",
    USED="The password was reset, the account moved, or its number released, by it.",
)


enums.described(
    domain.CaseKind,
    "RecoveryKind",
    "What a request for help back in is good for.",
    PASSWORD="As the second proof of a forgotten password.",  # noqa: S106 - no password
    PHONE="To move an account whose phone is lost to another number.",
    RELEASE="To take the number from an account, for whoever its carrier gave it to.",
)


@strawberry.type(description="A request for help back in, as whoever asked for it sees it.")
class RecoveryReview:
    """For a password it goes into `SecondProofInput.reviewedCase` when it is approved."""

    id: strawberry.ID = strawberry.field(
        description="For `completePasswordReset` or `completePhoneReplacement`; of a number's "
        "release only a name."
    )
    usable_from: datetime = strawberry.field(
        description="Not before then, so that the owner can object."
    )
    expires_at: datetime = strawberry.field(description="When it is worth nothing any more.")

    @classmethod
    def of(cls, case: Case) -> RecoveryReview:
        return cls(
            id=strawberry.ID(ids.encode("RecoveryCase", case.id)),
            usable_from=case.usable_from,
            expires_at=case.expires_at,
        )


@strawberry.type(description="A request for help back in, as staff see it. Reading is recorded.")
class RecoveryCase:
    """As `services.identity.recoveries.Case`."""

    id: strawberry.ID = strawberry.field(description="Its global id.")
    kind: domain.CaseKind = strawberry.field(description="What it is good for.")
    user_id: strawberry.ID = strawberry.field(description="Whose account it is.")
    display_name: str = strawberry.field(description="The registered name.")
    phone: str = strawberry.field(
        description="The registered number, to call back; of a PHONE case above all. Of a RELEASE "
        "case its new holder would pick up."
    )
    new_phone: str | None = strawberry.field(
        description="Where a PHONE case moves the account; null for the others."
    )
    statement: str = strawberry.field(description="What whoever asked for it wrote.")
    state: domain.CaseState = strawberry.field(description="Where it stands.")
    approvals: int = strawberry.field(description="How many have approved it: two are needed.")
    version: int = strawberry.field(description="For `expectedVersion`.")
    requested_at: datetime = strawberry.field(description="When it was asked for.")
    expires_at: datetime = strawberry.field(description="When it ends by itself.")
    identified: bool = strawberry.field(
        description="The owner's ID was reviewed: there is a way back without the number."
    )
    last_seen_at: datetime | None = strawberry.field(
        description="When an app of the account last refreshed its session; null if we keep none."
    )

    @classmethod
    def of(cls, case: Case) -> RecoveryCase:
        return cls(
            id=strawberry.ID(ids.encode("RecoveryCase", case.id)),
            kind=case.kind,
            user_id=strawberry.ID(ids.encode("User", case.user_id)),
            display_name=case.name,
            phone=case.phone,
            new_phone=case.new_phone,
            statement=case.statement,
            state=case.state,
            approvals=case.approvals,
            version=case.version,
            requested_at=case.created_at,
            expires_at=case.expires_at,
            identified=case.identified,
            last_seen_at=case.last_seen_at,
        )


@strawberry.type
class RecoveryStaff:
    """The part of Staff about help back in."""

    @fields.query_field(
        calls=recoveries.recovery_cases,
        description="Requests for help back in that wait, oldest first. Who looked is recorded. "
        "For SUPPORT and COMPLIANCE.",
    )
    async def recovery_cases(
        self,
        info: Info,
        first: pagination.First = None,
        last: pagination.Last = None,
        after: pagination.After = None,
        before: pagination.Before = None,
    ) -> pagination.Connection[RecoveryCase]:
        return await pagination.connection(
            pagination.window(
                "recoveryCases", {}, first=first, last=last, after=after, before=before
            ),
            partial(recoveries.recovery_cases, info.context.viewer),
            place=nodes.time_and_uuid,
            key=lambda case: (case.created_at, str(case.id)),
            node=RecoveryCase.of,
        )


@strawberry.input(description="A reset whose owner has no second proof.")
class RequestRecoveryReviewInput:
    """See `resolvers.recoveries.request_recovery_review`."""

    challenge_id: strawberry.ID = strawberry.field(
        description="As `requestPasswordReset` answered."
    )
    code: str = strawberry.field(description="The six digits that the phone got.")
    statement: str = strawberry.field(description="What has happened, up to 1,000 characters.")


@strawberry.type(description="Two members of staff will look at it; the owner is told.")
class RequestRecoveryReviewSuccess:
    """Also where such a request was open already."""

    review: RecoveryReview = strawberry.field(description="What will be the second proof.")


@strawberry.input(description="A number that its carrier gave to the caller.")
class RequestNumberReleaseInput:
    """See `resolvers.recoveries.request_number_release`."""

    phone: str = strawberry.field(description="The number, which `register` says is taken.")
    verification_id: strawberry.ID = strawberry.field(
        description="Of a code to REGISTER, also the one that `register` was called with."
    )
    code: str = strawberry.field(description="The six digits that the phone got.")
    statement: str = strawberry.field(
        description="Since when it is yours, and from which carrier, up to 1,000 characters."
    )


@strawberry.type(description="Two members of staff will look at it; the old owner is told.")
class RequestNumberReleaseSuccess:
    """Also where such a request was open already."""

    review: RecoveryReview = strawberry.field(
        description="`register` takes the number from `usableFrom` on, once it is approved."
    )


@strawberry.input(description="Not mine.")
class ObjectToRecoveryInput:
    """See `resolvers.recoveries.object_to_recovery`."""

    recovery_case_id: strawberry.ID | None = strawberry.field(
        default=None, description="Which request, if it is known; left out, all of them."
    )


@strawberry.type(description="Nothing of it goes on.")
class ObjectToRecoverySuccess:
    """Also where there was nothing to object to."""

    ended: int = strawberry.field(description="How many requests were ended.")


@strawberry.input(description="A decision about a request for help back in.")
class DecideRecoveryInput:
    """Two approvals by two persons, or one no."""

    recovery_case_id: strawberry.ID = strawberry.field(description="As `recoveryCases` gave it.")
    approve: bool = strawberry.field(description="False ends it.")
    reason: str = strawberry.field(description="For the audit log, up to 200 characters.")
    expected_version: int = strawberry.field(description="As `recoveryCases` gave it.")


@strawberry.type(description="Decided, as far as this person goes.")
class DecideRecoverySuccess:
    """The second approval makes it a proof."""

    state: domain.CaseState = strawberry.field(description="Where it stands now.")
    version: int = strawberry.field(description="Its new version.")


@strawberry.type
class RecoveryMutation:
    """The part of Mutation about help back in."""

    @fields.mutation(
        calls=recoveries.request_recovery_review,
        costly=True,
        description="Ask staff to stand in for the second proof of a reset. Told to every device.",
        refuses=(no.ResetProofInvalid,),
    )
    async def request_recovery_review(
        self, info: Info, input: RequestRecoveryReviewInput
    ) -> RequestRecoveryReviewSuccess:
        case = await recoveries.request_recovery_review(
            info.context.viewer,
            secret=input.challenge_id,
            code=input.code,
            statement=input.statement,
            address=info.context.address,
        )
        return RequestRecoveryReviewSuccess(review=RecoveryReview.of(case))

    @fields.mutation(
        calls=recoveries.request_number_release,
        costly=True,
        description="Ask that an old account let go of a number that its carrier gave to the "
        "caller; `register` works then. Nothing of that account is shown, or moves.",
        refuses=(no.CodeInvalid, no.CodeExpired, no.NotFound),
    )
    async def request_number_release(
        self, info: Info, input: RequestNumberReleaseInput
    ) -> RequestNumberReleaseSuccess:
        case = await recoveries.request_number_release(
            info.context.viewer,
            phone=input.phone,
            verification_id=ids.decode_uuid(input.verification_id, "Verification"),
            code=input.code,
            statement=input.statement,
        )
        return RequestNumberReleaseSuccess(review=RecoveryReview.of(case))

    @fields.mutation(
        calls=recoveries.object_to_recovery,
        description="End every request for help back into one's own account, from any session.",
    )
    async def object_to_recovery(
        self, info: Info, input: ObjectToRecoveryInput
    ) -> ObjectToRecoverySuccess:
        case_id = None
        if input.recovery_case_id is not None:
            case_id = ids.decode_uuid(input.recovery_case_id, "RecoveryCase") or uuid4()
        ended = await recoveries.object_to_recovery(info.context.viewer, case_id=case_id)
        return ObjectToRecoverySuccess(ended=ended)

    @fields.mutation(
        calls=recoveries.decide_recovery,
        description="Approve a request for help back in, as one of two, or end it. For SUPPORT "
        "and COMPLIANCE.",
        refuses=(no.NotFound, no.ReviewerIsParty, no.StaleVersion),
    )
    async def decide_recovery(
        self, info: Info, input: DecideRecoveryInput
    ) -> DecideRecoverySuccess:
        case = await recoveries.decide_recovery(
            info.context.viewer,
            case_id=ids.decode_uuid(input.recovery_case_id, "RecoveryCase"),
            approve=input.approve,
            reason=input.reason,
            expected_version=input.expected_version,
        )
        return DecideRecoverySuccess(state=case.state, version=case.version)
