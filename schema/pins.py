"""The payment PIN: set with the password, replaced with more."""

from __future__ import annotations

import strawberry

from domain import proofs as domain
from domain import refusals as no
from resolvers import pins
from schema import callers, fields, proofs
from schema.callers import LazyViewer
from schema.context import Info
from schema.proofs import IdentityProofInput, PasskeyAnswerInput


@strawberry.input(one_of=True, description="What proves the owner beside the password.")
class PinResetProofInput:
    """For a day after one of the last two little can leave the wallet."""

    current_pin: str | None = strawberry.field(
        default=strawberry.UNSET, description="The PIN that is to be replaced."
    )
    passkey: PasskeyAnswerInput | None = strawberry.field(
        default=strawberry.UNSET,
        description="A passkey's answer, for `requestStepUpChallenge` with `RESET_PIN`.",
    )
    identity: IdentityProofInput | None = strawberry.field(
        default=strawberry.UNSET, description="Name and end of the ID number."
    )

    def given(self) -> pins.Given:
        """As the resolvers take it."""
        if isinstance(self.passkey, PasskeyAnswerInput):
            return proofs.passkey_given(self.passkey)
        if isinstance(self.identity, IdentityProofInput):
            return self.identity.given()
        return domain.Pin(self.current_pin or "")


@strawberry.input(description="A new payment PIN.")
class SetPaymentPinInput:
    """See `resolvers.pins.set_payment_pin`."""

    password: str = strawberry.field(description="The login password, to prove who asks.")
    pin: str = strawberry.field(description="Six digits that are hard to guess.")
    proof: PinResetProofInput | None = strawberry.field(
        default=None, description="To replace a PIN, also a locked one. A first PIN needs none."
    )


@strawberry.type(description="The payment PIN is set.")
class SetPaymentPinSuccess:
    """All five tries are free again."""

    viewer: LazyViewer = strawberry.field(description="The caller, who has a PIN now.")


@strawberry.type
class PinMutation:
    """The part of Mutation about payment PINs."""

    @fields.mutation(
        calls=pins.set_payment_pin,
        costly=True,
        description="Set the payment PIN, or replace it by a proof. Also opens a locked one.",
        refuses=(
            no.WrongCredentials,
            no.AccountNotActive,
            no.IdentityInvalid,
            *proofs.REFUSALS,
        ),
    )
    async def set_payment_pin(self, info: Info, input: SetPaymentPinInput) -> SetPaymentPinSuccess:
        changed = await pins.set_payment_pin(
            info.context.viewer,
            password=input.password,
            pin=input.pin,
            proof=input.proof.given() if input.proof is not None else None,
            address=info.context.address,
        )
        return SetPaymentPinSuccess(viewer=callers.of(changed))
