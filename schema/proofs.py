"""Proofs of who one is, as every input that moves money takes them."""

from __future__ import annotations

from uuid import UUID

import strawberry

from domain import proofs as domain
from domain import recovery
from domain import refusals as no
from schema import nodes

REFUSALS = (
    no.ProofRequired,
    no.ProofTooWeak,
    no.WrongPin,
    no.PinLocked,
    no.PinNotSet,
    no.CodeInvalid,
    no.CodeExpired,
    no.ChallengeInvalid,
    no.PasskeyInvalid,
)


@strawberry.input(description="The payment PIN together with a code by SMS.")
class PinAndCodeInput:
    """The code of `sendProofCode`."""

    pin: str = strawberry.field(description="The caller's payment PIN.")
    verification_id: strawberry.ID = strawberry.field(description="As `sendProofCode` gave it.")
    code: str = strawberry.field(description="The six digits.")


@strawberry.input(description="A passkey's answer to a challenge.")
class PasskeyAnswerInput:
    """What `navigator.credentials.get` resolved to."""

    challenge_id: strawberry.ID = strawberry.field(description="The challenge that it answers.")
    credential: str = strawberry.field(
        description="The credential as JSON: `JSON.stringify(credential)`."
    )


@strawberry.input(description="Who somebody is, to those who have reviewed the ID.")
class IdentityProofInput:
    """Five wrong ones in a day are the end of it for that day."""

    name: str = strawberry.field(description="The registered name.")
    id_number_last6: str = strawberry.field(
        description="The last six characters of the resident ID number."
    )

    def given(self) -> recovery.Identity:
        return recovery.Identity(self.name, self.id_number_last6)


@strawberry.input(one_of=True, description="A proof of who the caller is: exactly one of these.")
class PaymentProofInput:
    """Which ones do is said by the challenge, and by `ProofTooWeakError`."""

    pin: str | None = strawberry.field(
        default=strawberry.UNSET, description="The caller's payment PIN."
    )
    pin_and_code: PinAndCodeInput | None = strawberry.field(
        default=strawberry.UNSET, description="The payment PIN together with a code by SMS."
    )
    passkey: PasskeyAnswerInput | None = strawberry.field(
        default=strawberry.UNSET, description="A passkey's answer to a challenge for this."
    )

    def given(self) -> domain.Given:
        """As the resolvers take it. An id that is none of ours names no challenge."""
        if self.pin_and_code:
            return domain.PinAndCode(
                pin=self.pin_and_code.pin,
                verification_id=_uuid(
                    self.pin_and_code.verification_id,
                    "Verification",
                    "pinAndCode",
                    "verificationId",
                ),
                code=self.pin_and_code.code,
            )
        if self.passkey:
            return passkey_given(self.passkey)
        return domain.Pin(self.pin or "")


@strawberry.input(
    one_of=True,
    description="A proof of who the caller is, for what is the caller's own matter: exactly one of "
    "these.",
)
class AccountProofInput(PaymentProofInput):
    """As for payments; and for whoever has nothing else, the password."""

    password: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The login password: only from callers who have neither PIN nor passkey.",
    )

    def shown(self, address: str) -> domain.Given | domain.Password:
        """As the resolvers take it; ``address`` is where the caller is."""
        if isinstance(self.password, str):
            return domain.Password(self.password, address)
        return self.given()


def passkey_given(answer: PasskeyAnswerInput) -> domain.Passkey:
    """As the resolvers take it. An id that is none of ours names no challenge."""
    return domain.Passkey(
        challenge_id=_uuid(answer.challenge_id, "ProofChallenge", "passkey", "challengeId"),
        credential=answer.credential,
    )


def _uuid(id: str, kind: str, *path: str) -> UUID:
    found = nodes.uuid_of(id, kind)
    if found is None:
        raise no.ChallengeInvalid(path=("input", "proof", *path))
    return found
