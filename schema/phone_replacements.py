"""A lost phone: a code to another number, two of staff, and the account moves."""

from __future__ import annotations

from datetime import datetime

import strawberry

from domain import refusals as no
from domain.recovery import Identity
from resolvers import phone_replacements
from schema import fields, ids
from schema.context import Info
from schema.recoveries import RecoveryReview


@strawberry.input(description="Which account is to move, and where.")
class RequestPhoneReplacementInput:
    """See `resolvers.phone_replacements.request_phone_replacement`."""

    phone: str = strawberry.field(description="The registered mobile number, which is lost.")
    new_phone: str = strawberry.field(description="The new mobile number.")


@strawberry.type(description="A code is on its way to the new number, if nobody has it.")
class RequestPhoneReplacementSuccess:
    """Says nothing of either number. Five minutes, five tries."""

    challenge_id: strawberry.ID = strawberry.field(
        description="For `requestPhoneReplacementReview`, or for `completePhoneReplacement`. Keep "
        "it secret."
    )
    expires_at: datetime = strawberry.field(description="When it, and its code, stop working.")
    resend_after_seconds: int = strawberry.field(description="When it may be asked for again.")


@strawberry.input(description="Whose account it is, and what has happened.")
class RequestPhoneReplacementReviewInput:
    """See `resolvers.phone_replacements.request_phone_replacement_review`."""

    challenge_id: strawberry.ID = strawberry.field(
        description="As `requestPhoneReplacement` answered."
    )
    code: str = strawberry.field(description="The six digits that the new phone got.")
    name: str = strawberry.field(description="The registered name.")
    id_number_last6: str = strawberry.field(
        description="The last six characters of the reviewed resident ID number."
    )
    statement: str = strawberry.field(description="What has happened, up to 1,000 characters.")


@strawberry.type(description="Two members of staff will look at it; the owner is told.")
class RequestPhoneReplacementReviewSuccess:
    """Also where a request for the same number was open already."""

    review: RecoveryReview = strawberry.field(
        description="What `completePhoneReplacement` takes once it is approved."
    )


@strawberry.input(description="A new code, and what two of staff have approved.")
class CompletePhoneReplacementInput:
    """See `resolvers.phone_replacements.complete_phone_replacement`."""

    challenge_id: strawberry.ID = strawberry.field(
        description="As another `requestPhoneReplacement` for the same numbers answered."
    )
    code: str = strawberry.field(description="The six digits that the new phone got for it.")
    recovery_case_id: strawberry.ID = strawberry.field(
        description="As `requestPhoneReplacementReview` answered."
    )


@strawberry.type(description="The account has the new number, and all sessions have ended.")
class CompletePhoneReplacementSuccess:
    """Nobody is signed in by it."""

    sign_in_again: bool = strawberry.field(
        description="Always true: `login` with the new number comes next."
    )


@strawberry.type
class PhoneReplacementMutation:
    """The part of Mutation about lost phones."""

    @fields.mutation(
        calls=phone_replacements.request_phone_replacement,
        costly=True,
        description="Begin to move an account whose phone is lost; and again for each further "
        "step. The answer is the same for numbers that nobody has.",
    )
    async def request_phone_replacement(
        self, info: Info, input: RequestPhoneReplacementInput
    ) -> RequestPhoneReplacementSuccess:
        opened = await phone_replacements.request_phone_replacement(
            info.context.viewer,
            phone=input.phone,
            new_phone=input.new_phone,
            address=info.context.address,
            language=info.context.language,
        )
        return RequestPhoneReplacementSuccess(
            challenge_id=strawberry.ID(opened.secret),
            expires_at=opened.expires_at,
            resend_after_seconds=opened.resend_after_seconds,
        )

    @fields.mutation(
        calls=phone_replacements.request_phone_replacement_review,
        costly=True,
        description="Ask staff to move an account whose phone is lost. Told to every device and "
        "to the old number. Five tries a day for one new number, twenty for one account.",
        refuses=(no.PhoneChangeInvalid,),
    )
    async def request_phone_replacement_review(
        self, info: Info, input: RequestPhoneReplacementReviewInput
    ) -> RequestPhoneReplacementReviewSuccess:
        case = await phone_replacements.request_phone_replacement_review(
            info.context.viewer,
            secret=input.challenge_id,
            code=input.code,
            claimed=Identity(input.name, input.id_number_last6),
            statement=input.statement,
            address=info.context.address,
        )
        return RequestPhoneReplacementReviewSuccess(review=RecoveryReview.of(case))

    @fields.mutation(
        calls=phone_replacements.complete_phone_replacement,
        costly=True,
        description="Move the account by a new code and what two of staff have approved. Ends all "
        "sessions, tells both numbers, and for a day little can leave the wallet.",
        refuses=(no.PhoneChangeInvalid,),
    )
    async def complete_phone_replacement(
        self, info: Info, input: CompletePhoneReplacementInput
    ) -> CompletePhoneReplacementSuccess:
        await phone_replacements.complete_phone_replacement(
            info.context.viewer,
            secret=input.challenge_id,
            code=input.code,
            case_id=ids.decode_uuid(input.recovery_case_id, "RecoveryCase"),
            address=info.context.address,
        )
        return CompletePhoneReplacementSuccess(sign_in_again=True)
