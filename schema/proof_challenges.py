"""Challenges for proofs, as clients ask for them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import strawberry

from domain import proofs as domain
from domain import refusals as no
from resolvers import proof_challenges
from resolvers.proof_challenges import Allowance, Deed, Payment, Transfer, Unfreeze
from schema import enums, fields, ids, nodes
from schema.context import Info
from schema.identity import Verification
from schema.passkeys import challenge_id
from schema.scalars import MoneyInput
from schema.wallets import not_negative

SUBJECT_LENGTH_MAX = 200

enums.described(
    domain.Action,
    "StepUpAction",
    "What moves no money and still needs a fresh proof.",
    CHANGE_PASSWORD="To set a new password.",  # noqa: S106 - says what it is for
    CHANGE_PHONE="To move the account to another phone number.",
    RESET_PIN="To replace a payment PIN that is forgotten or locked; by a passkey.",
    EXPORT_DATA="To get all data that is kept about the caller.",
    CLOSE_ACCOUNT="To close the account for good.",
    ELEVATE="Staff: to be elevated, see `elevate`.",
)


@strawberry.type(description="What to prove, for exactly one thing.")
class ProofChallenge:
    """Good once, for five minutes."""

    id: strawberry.ID = strawberry.field(description="Goes back with the proof.")
    expires_at: datetime = strawberry.field(description="When it stops being good.")
    methods: list[domain.Method] = strawberry.field(
        description="Each of these does; a PIN alone needs no challenge."
    )
    options: str | None = strawberry.field(
        description="JSON for `PublicKeyCredential.parseRequestOptionsFromJSON`; null without any "
        "passkey."
    )

    @classmethod
    def of(cls, asked: proof_challenges.Asked) -> ProofChallenge:
        return cls(
            id=strawberry.ID(ids.encode("ProofChallenge", asked.id)),
            expires_at=asked.expires_at,
            methods=asked.methods,
            options=asked.options,
        )


@strawberry.input(description="A transfer, as `createTransfer` will be asked for.")
class TransferDeedInput:
    """The same words, to the letter."""

    phone: str = strawberry.field(description="The recipient's mobile number.")
    amount: MoneyInput = strawberry.field(description="How much.")
    memo: str | None = strawberry.field(default=None, description="Words for the recipient.")


@strawberry.input(description="An allowance, as `setPaymentAllowance` will be asked for.")
class AllowanceDeedInput:
    """Two zeros switch it off."""

    amount_max: MoneyInput = strawberry.field(description="The most that one payment may be.")
    daily_count_max: int = strawberry.field(description="How many payments a day.")


@strawberry.input(one_of=True, description="What is to be proven: exactly one of these.")
class PaymentDeedInput:
    """See `resolvers.proof_challenges.request_payment_challenge`."""

    unfreeze: bool | None = strawberry.field(
        default=strawberry.UNSET, description="True: the own wallet, for `unfreezeMyWallet`."
    )
    payment_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="A payment that waits, for `confirmPayment`."
    )
    transfer: TransferDeedInput | None = strawberry.field(
        default=strawberry.UNSET, description="A transfer, for `createTransfer`."
    )
    allowance: AllowanceDeedInput | None = strawberry.field(
        default=strawberry.UNSET, description="An allowance, for `setPaymentAllowance`."
    )

    def asked(self) -> Deed:
        """As the resolvers take it."""
        if self.transfer:
            amount_minor = self.transfer.amount.to_minor("input", "deed", "transfer", "amount")
            return Transfer(self.transfer.phone, amount_minor, self.transfer.memo)
        if self.allowance:
            path = ("input", "deed", "allowance", "amountMax")
            return Allowance(
                not_negative(self.allowance.amount_max, *path), self.allowance.daily_count_max
            )
        if self.payment_id:
            return Payment(_payment_id(self.payment_id))
        return Unfreeze()


@strawberry.input(description="What is going to be proven.")
class RequestPaymentChallengeInput:
    """The key is the one that the deed itself will have."""

    deed: PaymentDeedInput = strawberry.field(description="What is to be proven.")
    idempotency_key: str = strawberry.field(
        description="The key under which it will be done: 1 to 128 characters."
    )


@strawberry.type(description="The deed can be proven.")
class RequestPaymentChallengeSuccess:
    """By one of the challenge's methods."""

    challenge: ProofChallenge = strawberry.field(description="The challenge.")


@strawberry.input(description="What is going to be proven, without money.")
class RequestStepUpChallengeInput:
    """See `resolvers.proof_challenges.request_step_up_challenge`."""

    action: domain.Action = strawberry.field(description="The deed.")
    subject: str | None = strawberry.field(
        default=None, description="What it is about, where the deed has a subject: its global id."
    )


@strawberry.type(description="The deed can be proven.")
class RequestStepUpChallengeSuccess:
    """By one of the challenge's methods."""

    challenge: ProofChallenge = strawberry.field(description="The challenge.")


@strawberry.input(description="The challenge that a code is wanted for.")
class SendProofCodeInput:
    """See `resolvers.proof_challenges.send_proof_code`."""

    challenge_id: strawberry.ID = strawberry.field(description="The challenge.")


@strawberry.type(description="A code is on its way to the caller's phone.")
class SendProofCodeSuccess:
    """Good with the PIN, for this challenge only; codes before it are worth nothing any more."""

    verification: Verification = strawberry.field(description="Its id goes into the proof.")


@strawberry.type
class ProofChallengeMutation:
    """The part of Mutation about proofs."""

    @fields.mutation(
        calls=proof_challenges.request_payment_challenge,
        description="Begin to prove one payment, transfer, allowance or unfreezing: the proof is "
        "good for exactly this, under this key.",
        refuses=(no.AccountNotActive, no.NotFound, no.RecipientNotFound, no.SelfTransfer),
    )
    async def request_payment_challenge(
        self, info: Info, input: RequestPaymentChallengeInput
    ) -> RequestPaymentChallengeSuccess:
        asked = await proof_challenges.request_payment_challenge(
            info.context.viewer, deed=input.deed.asked(), key=input.idempotency_key
        )
        return RequestPaymentChallengeSuccess(challenge=ProofChallenge.of(asked))

    @fields.mutation(
        calls=proof_challenges.request_step_up_challenge,
        description="Begin to prove one sensitive deed without money.",
    )
    async def request_step_up_challenge(
        self, info: Info, input: RequestStepUpChallengeInput
    ) -> RequestStepUpChallengeSuccess:
        subject = input.subject or ""
        if len(subject) > SUBJECT_LENGTH_MAX:
            raise no.InvalidInput(path=("input", "subject"))
        asked = await proof_challenges.request_step_up_challenge(
            info.context.viewer, action=input.action, subject=subject
        )
        return RequestStepUpChallengeSuccess(challenge=ProofChallenge.of(asked))

    @fields.mutation(
        calls=proof_challenges.send_proof_code,
        costly=True,
        description="Send a code for a challenge to the caller's own phone. One a minute.",
        refuses=(no.ChallengeInvalid, no.NoPhoneNumber),
    )
    async def send_proof_code(self, info: Info, input: SendProofCodeInput) -> SendProofCodeSuccess:
        requested = await proof_challenges.send_proof_code(
            info.context.viewer,
            challenge_id=challenge_id(input.challenge_id),
            address=info.context.address,
            language=info.context.language,
        )
        return SendProofCodeSuccess(verification=Verification.of(requested))


def _payment_id(id: str) -> UUID:
    found = nodes.uuid_of(id, "Payment")
    if found is None:
        raise no.NotFound(path=("input", "deed", "paymentId"))
    return found
