"""Proving anew who one is, and the transactions it takes.

A try of a PIN or code is spent, and committed, before anything is compared. What a challenge was
used for commits with its use.
"""

from __future__ import annotations

import dataclasses
from uuid import UUID

from domain import ledger, refusals, registration
from domain import proofs as rules
from domain.ledger import Instruction, Operation
from domain.proofs import Action, Given, Passkey, Password, Pin, PinAndCode, Terms
from infra import authenticators, hashing
from resolvers import identity
from resolvers.viewer import ACTIVE, SIGNED_IN, Viewer, access
from services.identity import codes, logins, passkeys, pins, proof_challenges, proofs
from services.unit_of_work import UnitOfWork, unit_of_work

PATH = ("input", "proof")


async def proven(viewer: Viewer, instruction: Instruction, given: Given) -> Instruction:
    """The instruction with a proof of its own. Raises what `prove` does."""
    proof_id = await prove(
        viewer,
        given,
        operation=instruction.operation,
        key=instruction.key,
        input_hash=instruction.input_hash,
        amount_minor=ledger.given_minor(instruction),
    )
    return dataclasses.replace(instruction, proof_id=proof_id)


@access(ACTIVE)
async def prove(
    viewer: Viewer,
    given: Given,
    *,
    operation: Operation,
    key: str,
    input_hash: bytes,
    amount_minor: int,
    path: tuple[str, ...] = PATH,
) -> UUID:
    """A proof for one instruction; its id in ``ledger.proof``. Called with no session open.

    Raises ProofTooWeak, WrongPin, PinLocked, PinNotSet, CodeInvalid, CodeExpired, ChallengeInvalid,
    PasskeyInvalid, Overloaded. What is malformed spends no try.
    """
    terms = Terms(
        user_id=viewer.user_id,
        deed=operation.name,
        key=key,
        input_hash=input_hash,
        amount_minor=amount_minor,
    )
    return await _prove(viewer, given, terms, path)


@access(SIGNED_IN)
async def step_up(
    viewer: Viewer,
    given: Given | Password,
    *,
    action: Action,
    subject: str = "",
    path: tuple[str, ...] = PATH,
) -> UUID:
    """A proof of a deed without money; `services.identity.proofs.use_step_up` uses it up.

    ``subject`` names what the deed is about, for instance the id of a frozen wallet's case. Raises
    what `prove` does; for a password also WrongCredentials and RateLimited.
    """
    terms = rules.terms_of_action(viewer.user_id, action, subject)
    if isinstance(given, Password):
        return await _by_password(viewer, given, terms, path)
    return await _prove(viewer, given, terms, path)


async def _prove(viewer: Viewer, given: Given, terms: Terms, path: tuple[str, ...]) -> UUID:
    if isinstance(given, Passkey):
        return await _by_passkey(viewer, given, terms, (*path, "passkey"))
    inner = (*path, "pinAndCode") if isinstance(given, PinAndCode) else path
    if not registration.is_pin(given.pin):
        raise refusals.InvalidInput(path=(*inner, "pin"))
    if isinstance(given, PinAndCode) and not registration.is_pin(given.code):
        raise refusals.CodeInvalid(path=(*inner, "code"))
    return await _by_pin(viewer, given, terms, inner)


async def _by_password(
    viewer: Viewer, given: Password, terms: Terms, path: tuple[str, ...]
) -> UUID:
    async with unit_of_work() as work:
        enough = await proofs.ensure_enough(work, viewer, terms, rules.method_of(given), path=path)
    attempt, new_hash = await identity.shown_password(
        viewer, password=given.password, address=given.address, path=(*path, "password")
    )
    async with unit_of_work() as work:
        await logins.succeed(work, attempt, new_hash=new_hash)
        return await proofs.make(work, enough)


async def _by_pin(
    viewer: Viewer, given: Pin | PinAndCode, terms: Terms, path: tuple[str, ...]
) -> UUID:
    code: proofs.Code | None = None
    async with unit_of_work() as work:
        method = rules.method_of(given)
        enough = await proofs.ensure_enough(work, viewer, terms, method, path=path)
        if isinstance(given, PinAndCode):
            code = await proofs.try_code(work, viewer, given, terms, path=(*path, "code"))
        refused = code.refusal if code is not None else None
        spent = await pins.spend_try(work, viewer.user_id) if refused is None else None
    if spent is None:
        assert refused is not None
        raise refused
    try:
        right = await hashing.check_pin(viewer.user_id, given.pin, spent.stored)
        outdated = right and hashing.pin_outdated(spent.stored)
        new_hash = await hashing.hash_pin(viewer.user_id, given.pin) if outdated else None
    except hashing.HasherBusy:
        async with unit_of_work() as work:
            await pins.withdraw(work, spent)
        raise refusals.Overloaded from None
    proof_id = await _settle(spent, enough, code, new_hash=new_hash) if right else None
    if proof_id is None:
        raise spent.wrong((*path, "pin"))
    return proof_id


async def _settle(
    spent: pins.Try, enough: proofs.Enough, code: proofs.Code | None, *, new_hash: str | None
) -> UUID | None:
    """The proof that a right PIN makes, using up the code and its challenge.

    None if the PIN was replaced in the meantime. Raises CodeInvalid, ChallengeInvalid for whoever
    comes second; the PIN was right all the same.
    """
    try:
        async with unit_of_work() as work:
            if not await pins.accept(work, spent, new_hash=new_hash):
                return None
            return await _make(work, enough, code)
    except (refusals.CodeInvalid, refusals.ChallengeInvalid):
        async with unit_of_work() as work:
            await pins.accept(work, spent, new_hash=new_hash)
        raise


async def _make(work: UnitOfWork, enough: proofs.Enough, code: proofs.Code | None) -> UUID:
    if code is None:
        return await proofs.make(work, enough)
    if code.code_id is None:
        return code.challenge.id
    await codes.use(work, code.code_id)
    await proof_challenges.use(work, code.challenge.id, answer_hash=code.answer_hash)
    return await proofs.make(work, enough, proof_id=code.challenge.id)


async def _by_passkey(viewer: Viewer, given: Passkey, terms: Terms, path: tuple[str, ...]) -> UUID:
    try:
        answer = authenticators.read_answer(given.credential)
    except authenticators.NotVerified:
        raise refusals.PasskeyInvalid(path=(*path, "credential")) from None
    async with unit_of_work() as work:
        method = rules.method_of(given)
        enough = await proofs.ensure_enough(work, viewer, terms, method, path=path)
        challenge = await proof_challenges.lock(work, given.challenge_id, user_id=viewer.user_id)
        if not challenge.is_for(proofs.purpose_of(terms), terms.digest()):
            raise refusals.ChallengeInvalid(path=(*path, "challengeId"))
        if challenge.used_at is not None:
            return await proofs.again(work, challenge, answer_hash=answer.digest, terms=terms)
        verdict = await passkeys.verify(work, answer, challenge, user_id=viewer.user_id)
        if verdict.refusal is None:
            return await proofs.make(work, enough, proof_id=challenge.id)
    raise verdict.refusal
