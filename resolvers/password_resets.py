"""A forgotten password, and the transactions it takes to get another.

The tries are spent, and committed, before anything is hashed or used; what a right answer earns is
one transaction.
"""

from __future__ import annotations

from domain import passwords as password_rules
from domain import refusals
from domain import registration as rules
from domain.proofs import Passkey
from domain.recovery import Identity, ReviewedCase
from infra import authenticators, hashing
from resolvers import identity, passkeys
from resolvers.passkeys import Asked
from resolvers.viewer import ANYONE, Viewer, access
from services.identity import password_resets, proof_challenges
from services.identity.password_resets import Opened, PasskeyAnswer
from services.unit_of_work import unit_of_work

SecondProof = Identity | Passkey | ReviewedCase
"""What proves the owner beside the code."""


@access(ANYONE)
async def request_password_reset(
    viewer: Viewer, *, phone: str, address: str, language: str
) -> Opened:
    """Begin a reset; a code is on its way if somebody has the phone. Nobody can tell by the answer.

    Raises InvalidInput, RateLimited.
    """
    e164 = identity.phone_of_input(phone)
    async with unit_of_work() as work:
        return await password_resets.open_for(work, phone=e164, address=address, language=language)


@access(ANYONE)
async def request_password_reset_passkey(
    viewer: Viewer, *, secret: str, origin: str, address: str
) -> Asked:
    """Ask for a passkey as the second proof of a reset, whoever's it is.

    Raises InvalidInput, ResetProofInvalid (no such reset), RateLimited.
    """
    passkeys.ensure_origin(origin)
    async with unit_of_work() as work:
        reset_id = await password_resets.find(work, secret)
        if reset_id is None:
            raise refusals.ResetProofInvalid(path=("input", "challengeId"))
        made = await proof_challenges.make_for_stranger(
            work, address=address, terms_digest=password_resets.terms_of(reset_id)
        )
    options = authenticators.request_options(challenge=made.nonce)
    return Asked(made.id, made.expires_at, options)


@access(ANYONE)
async def complete_password_reset(
    viewer: Viewer,
    *,
    secret: str,
    code: str,
    proof: SecondProof,
    new_password: str,
    address: str,
) -> None:
    """Set another password by the code and a second proof; nobody is signed in by it.

    Raises PasswordUnacceptable, ResetProofInvalid (whatever is wrong), RateLimited, Overloaded.
    """
    if not password_rules.acceptable(new_password, None):
        raise refusals.PasswordUnacceptable(path=("input", "newPassword"))
    read = _read(proof)
    if not rules.is_pin(code):
        raise refusals.ResetProofInvalid(path=("input",))
    identity.ensure_room()
    async with unit_of_work() as work:
        tried = await password_resets.spend_try(
            work,
            secret,
            code=code,
            identity=proof if isinstance(proof, Identity) else None,
            address=address,
        )
    if tried is None:
        raise refusals.ResetProofInvalid(path=("input",))
    if tried.refusal is not None:
        raise tried.refusal
    new_hash = await _hashed(new_password, tried)
    async with unit_of_work() as work:
        refused = await password_resets.complete(
            work, tried, proof=read, new_password=new_password, new_hash=new_hash
        )
    if refused is not None:
        raise refused


def _read(proof: SecondProof) -> password_resets.SecondProof:
    if not isinstance(proof, Passkey):
        return proof
    try:
        return PasskeyAnswer(proof.challenge_id, authenticators.read_answer(proof.credential))
    except authenticators.NotVerified:
        raise refusals.ResetProofInvalid(path=("input",)) from None


async def _hashed(new_password: str, tried: password_resets.Tried) -> str:
    """Hashed for right and wrong alike, so that the time says nothing. Raises Overloaded."""
    try:
        return await hashing.hash_password(new_password)
    except hashing.HasherBusy:
        async with unit_of_work() as work:
            await password_resets.withdraw(work, tried)
        raise refusals.Overloaded from None
