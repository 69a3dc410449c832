"""Another phone number for the same account."""

from __future__ import annotations

from datetime import datetime

import strawberry

from domain import refusals as no
from resolvers import phone_changes
from schema import callers, fields, ids, proofs
from schema.callers import LazyViewer
from schema.context import Info
from schema.proofs import PaymentProofInput


@strawberry.input(description="Where the account is to move.")
class RequestPhoneChangeInput:
    """See `resolvers.phone_changes.request_phone_change`."""

    new_phone: str = strawberry.field(description="The new mobile number.")
    password: str = strawberry.field(description="The login password.")
    proof: PaymentProofInput = strawberry.field(
        description="Of `requestStepUpChallenge` for `CHANGE_PHONE`, whose `subject` is the new "
        "number as `+86…`."
    )


@strawberry.type(description="A change that waits for the codes of both phones.")
class PhoneChange:
    """Five minutes, five tries."""

    id: strawberry.ID = strawberry.field(description="For `confirmPhoneChange`.")
    expires_at: datetime = strawberry.field(description="When it, and its codes, stop working.")
    resend_after_seconds: int = strawberry.field(description="When it may be asked for again.")


@strawberry.type(description="Codes are on their way to both phones.")
class RequestPhoneChangeSuccess:
    """Also where the number is somebody's: nothing is sent to it then."""

    phone_change: PhoneChange = strawberry.field(description="What waits for the codes.")


@strawberry.input(description="The codes of both phones.")
class ConfirmPhoneChangeInput:
    """See `resolvers.phone_changes.confirm_phone_change`."""

    change_id: strawberry.ID = strawberry.field(description="As `requestPhoneChange` answered.")
    old_code: str = strawberry.field(description="The six digits that the old phone got.")
    new_code: str = strawberry.field(description="The six digits that the new phone got.")


@strawberry.type(description="The account has the new number, and all other sessions have ended.")
class ConfirmPhoneChangeSuccess:
    """The session that asked goes on."""

    viewer: LazyViewer = strawberry.field(description="The caller.")


@strawberry.type
class PhoneChangeMutation:
    """The part of Mutation about phone numbers."""

    @fields.mutation(
        calls=phone_changes.request_phone_change,
        costly=True,
        description="Begin to move the account to another number, with both phones in hand.",
        refuses=(no.WrongCredentials, no.AccountNotActive, no.NoPhoneNumber, *proofs.REFUSALS),
    )
    async def request_phone_change(
        self, info: Info, input: RequestPhoneChangeInput
    ) -> RequestPhoneChangeSuccess:
        opened = await phone_changes.request_phone_change(
            info.context.viewer,
            new_phone=input.new_phone,
            password=input.password,
            proof=input.proof.given(),
            address=info.context.address,
            language=info.context.language,
        )
        return RequestPhoneChangeSuccess(
            phone_change=PhoneChange(
                id=strawberry.ID(ids.encode("PhoneChange", opened.id)),
                expires_at=opened.expires_at,
                resend_after_seconds=opened.resend_after_seconds,
            )
        )

    @fields.mutation(
        calls=phone_changes.confirm_phone_change,
        costly=True,
        description="Move the account by both codes. Ends all other sessions, tells both phones, "
        "and for a day little can leave the wallet.",
        refuses=(no.PhoneChangeInvalid, no.AccountNotActive),
    )
    async def confirm_phone_change(
        self, info: Info, input: ConfirmPhoneChangeInput
    ) -> ConfirmPhoneChangeSuccess:
        changed = await phone_changes.confirm_phone_change(
            info.context.viewer,
            change_id=ids.decode_uuid(input.change_id, "PhoneChange"),
            old_code=input.old_code,
            new_code=input.new_code,
            address=info.context.address,
        )
        return ConfirmPhoneChangeSuccess(viewer=callers.of(changed))
