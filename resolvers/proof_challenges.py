"""Challenges for proofs: what a passkey is asked to sign, and the code that stands in for one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from domain import proofs as rules
from domain import refusals
from domain.ledger import Instruction
from domain.proof_challenges import Purpose
from domain.proofs import Action, Method, Terms
from infra import authenticators
from resolvers import payments, transfers, wallets
from resolvers.viewer import SIGNED_IN, Viewer, access
from resolvers.wallets import HOLDER
from services import people
from services.identity import codes, passkeys, proof_challenges, proofs
from services.unit_of_work import unit_of_work

DEED = ("input", "deed")


@dataclass(frozen=True, slots=True)
class Asked:
    """A challenge for the client: how it may be met, and the options for a passkey, if one is."""

    id: UUID
    expires_at: datetime
    methods: list[Method]
    options: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment that waits, to be confirmed."""

    payment_id: UUID


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money for another resident."""

    phone: str = field(repr=False)
    amount_minor: int
    memo: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Allowance:
    """Payments without PIN."""

    amount_max_minor: int
    daily_count_max: int


@dataclass(frozen=True, slots=True)
class Unfreeze:
    """The caller's own freeze, to be lifted."""


Deed = Payment | Transfer | Allowance | Unfreeze


@access(HOLDER)
async def request_payment_challenge(viewer: Viewer, *, deed: Deed, key: str) -> Asked:
    """A challenge for one deed under one key: its answer proves this deed and nothing else.

    Raises what the deed itself refuses its input by, and RateLimited.
    """
    return await _ask(viewer, proofs.terms_of(await _instruction(viewer, deed, key)))


@access(SIGNED_IN)
async def request_step_up_challenge(viewer: Viewer, *, action: Action, subject: str) -> Asked:
    """A challenge for one deed without money. Raises RateLimited."""
    return await _ask(viewer, rules.terms_of_action(viewer.user_id, action, subject))


@access(SIGNED_IN)
async def send_proof_code(
    viewer: Viewer, *, challenge_id: UUID, address: str, language: str
) -> codes.Requested:
    """A code for a challenge, to the caller's own phone; it is good with the PIN, for this only.

    Raises ChallengeInvalid, NoPhoneNumber, RateLimited.
    """
    async with unit_of_work() as work:
        challenge = await proof_challenges.lock(work, challenge_id, user_id=viewer.user_id)
        proof_challenges.ensure_open(work, challenge)
        if challenge.purpose not in (Purpose.PROOF, Purpose.STEP_UP):
            raise refusals.ChallengeInvalid(path=("input", "challengeId"))
        requested = await codes.request(
            work,
            phone=people.reachable_phone(viewer),
            purpose=proofs.code_purpose(challenge),
            address=address,
            language=language,
            subject=str(challenge.id),
        )
        await proof_challenges.expect_code(work, challenge.id, requested.verification_id)
        return requested


async def _instruction(viewer: Viewer, deed: Deed, key: str) -> Instruction:
    if isinstance(deed, Unfreeze):
        return await wallets.unfreezing(viewer, key=key)
    if isinstance(deed, Payment):
        return await payments.confirmation(viewer, payment_id=deed.payment_id, key=key)
    if isinstance(deed, Transfer):
        return await transfers.order(
            viewer,
            phone=deed.phone,
            amount_minor=deed.amount_minor,
            memo=deed.memo,
            key=key,
            path=(*DEED, "transfer"),
        )
    return await wallets.allowance(
        viewer,
        amount_max_minor=deed.amount_max_minor,
        daily_count_max=deed.daily_count_max,
        key=key,
        path=(*DEED, "allowance"),
    )


async def _ask(viewer: Viewer, terms: Terms) -> Asked:
    async with unit_of_work() as work:
        methods = await proofs.sufficient(work, viewer, terms)
        known = await passkeys.credential_ids(work, viewer.user_id)
        made = await proof_challenges.make_for(
            work,
            user_id=viewer.user_id,
            session_id=viewer.session_id,
            purpose=proofs.purpose_of(terms),
            terms_digest=terms.digest(),
        )
    options = None
    if known:
        options = authenticators.request_options(challenge=made.nonce, known=known)
    return Asked(made.id, made.expires_at, methods, options)
