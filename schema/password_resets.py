"""A forgotten password: a code, a second proof, a new one."""

from __future__ import annotations

from datetime import datetime

import strawberry

from domain import proofs, recovery
from domain import refusals as no
from resolvers import password_resets
from resolvers.password_resets import SecondProof
from schema import fields, ids, nodes
from schema.context import Info
from schema.passkeys import PasskeyChallenge
from schema.proofs import IdentityProofInput, PasskeyAnswerInput


@strawberry.input(description="Whose password is forgotten.")
class RequestPasswordResetInput:
    """See `resolvers.password_resets.request_password_reset`."""

    phone: str = strawberry.field(description="The registered mobile number.")


@strawberry.type(description="A reset that waits for its proofs: five minutes, five tries.")
class PasswordResetChallenge:
    """The same for every phone."""

    id: strawberry.ID = strawberry.field(description="For `completePasswordReset`. Keep it secret.")
    expires_at: datetime = strawberry.field(description="When it, and its code, stop working.")
    resend_after_seconds: int = strawberry.field(
        description="When `requestPasswordReset` sends another code."
    )


@strawberry.type(description="A code is on its way, if somebody has this number.")
class RequestPasswordResetSuccess:
    """Says nothing of the phone."""

    challenge: PasswordResetChallenge = strawberry.field(description="What waits for the proofs.")


@strawberry.input(description="The wish to prove oneself by a passkey.")
class RequestPasswordResetPasskeyInput:
    """See `resolvers.password_resets.request_password_reset_passkey`."""

    challenge_id: strawberry.ID = strawberry.field(
        description="As `requestPasswordReset` answered."
    )
    origin: str = strawberry.field(description="Of the page that asks: `location.origin`.")


@strawberry.type(description="The browser can ask for a passkey.")
class RequestPasswordResetPasskeySuccess:
    """For `navigator.credentials.get`."""

    challenge: PasskeyChallenge = strawberry.field(description="What to ask it.")


@strawberry.input(one_of=True, description="What proves the owner beside the code: exactly one.")
class SecondProofInput:
    """An account without passkey and reviewed ID has neither."""

    passkey: PasskeyAnswerInput | None = strawberry.field(
        default=strawberry.UNSET,
        description="A passkey's answer to the challenge of `requestPasswordResetPasskey`.",
    )
    identity: IdentityProofInput | None = strawberry.field(
        default=strawberry.UNSET, description="Name and end of the ID number."
    )
    reviewed_case: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET,
        description="What `requestRecoveryReview` gave, once two of staff have approved it.",
    )

    def given(self) -> SecondProof:
        """As the resolvers take it; an id that is none of ours is a wrong proof."""
        if isinstance(self.passkey, PasskeyAnswerInput):
            challenge_id = nodes.uuid_of(self.passkey.challenge_id, "ProofChallenge")
            if challenge_id is None:
                raise no.ResetProofInvalid(path=("input",))
            return proofs.Passkey(challenge_id, self.passkey.credential)
        if isinstance(self.reviewed_case, str):
            case_id = ids.decode_uuid(self.reviewed_case, "RecoveryCase")
            if case_id is None:
                raise no.ResetProofInvalid(path=("input",))
            return recovery.ReviewedCase(case_id)
        assert isinstance(self.identity, IdentityProofInput), "exactly one, as the schema demands"
        return self.identity.given()


@strawberry.input(description="The proofs, and a new password.")
class CompletePasswordResetInput:
    """See `resolvers.password_resets.complete_password_reset`."""

    challenge_id: strawberry.ID = strawberry.field(
        description="As `requestPasswordReset` answered."
    )
    code: str = strawberry.field(description="The six digits that the phone got.")
    second_proof: SecondProofInput = strawberry.field(description="A code alone is not enough.")
    new_password: str = strawberry.field(description="8 to 128 characters, hard to guess.")


@strawberry.type(description="The password is replaced, and all sessions have ended.")
class CompletePasswordResetSuccess:
    """Nobody is signed in by it."""

    sign_in_again: bool = strawberry.field(description="Always true: `login` comes next.")


@strawberry.type
class PasswordResetMutation:
    """The part of Mutation about forgotten passwords."""

    @fields.mutation(
        calls=password_resets.request_password_reset,
        costly=True,
        description="Begin to replace a forgotten password. The answer is the same for numbers "
        "that nobody has.",
    )
    async def request_password_reset(
        self, info: Info, input: RequestPasswordResetInput
    ) -> RequestPasswordResetSuccess:
        opened = await password_resets.request_password_reset(
            info.context.viewer,
            phone=input.phone,
            address=info.context.address,
            language=info.context.language,
        )
        return RequestPasswordResetSuccess(
            challenge=PasswordResetChallenge(
                id=strawberry.ID(opened.secret),
                expires_at=opened.expires_at,
                resend_after_seconds=opened.resend_after_seconds,
            )
        )

    @fields.mutation(
        calls=password_resets.request_password_reset_passkey,
        description="Ask for a passkey, as the second proof of a reset.",
        refuses=(no.ResetProofInvalid,),
    )
    async def request_password_reset_passkey(
        self, info: Info, input: RequestPasswordResetPasskeyInput
    ) -> RequestPasswordResetPasskeySuccess:
        asked = await password_resets.request_password_reset_passkey(
            info.context.viewer,
            secret=input.challenge_id,
            origin=input.origin,
            address=info.context.address,
        )
        return RequestPasswordResetPasskeySuccess(challenge=PasskeyChallenge.of(asked))

    @fields.mutation(
        calls=password_resets.complete_password_reset,
        costly=True,
        description="Replace a forgotten password by the code and a second proof. Ends all "
        "sessions, tells every device and the phone, and for a day little can leave the wallet.",
        refuses=(no.ResetProofInvalid, no.PasswordUnacceptable),
    )
    async def complete_password_reset(
        self, info: Info, input: CompletePasswordResetInput
    ) -> CompletePasswordResetSuccess:
        await password_resets.complete_password_reset(
            info.context.viewer,
            secret=input.challenge_id,
            code=input.code,
            proof=input.second_proof.given(),
            new_password=input.new_password,
            address=info.context.address,
        )
        return CompletePasswordResetSuccess(sign_in_again=True)
