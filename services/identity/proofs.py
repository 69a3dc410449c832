"""Proofs: is this way to prove it enough, and the row that the deed uses up.

A proof of a deed with money is a row of ``ledger.proof``, which the posting function uses in the
transaction of the money. A proof of any other deed is a row of ``step_up``, which whoever does it
uses by ``use_step_up`` in the transaction of the deed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import msgspec

from domain import ledger, proofs, refusals
from domain.identity import PROOF_LIFE_SECONDS, CodePurpose, KycLevel, Viewer
from domain.ledger import Instruction, Operation
from domain.proof_challenges import LIFE_SECONDS, Purpose
from domain.proofs import Action, Facts, Method, PinAndCode, Rule, Terms
from infra import encryption
from services import people
from services.identity import codes, proof_challenges
from services.identity.proof_challenges import Challenge
from services.ledger import reading
from services.unit_of_work import Snapshot, UnitOfWork

_RULES = (
    "select deed, amount_min_minor, kyc_level_max, risk_min, device_younger_than_seconds,"
    " sufficient, valid_from, valid_until from proof_policy"
    " where deed = $1 and coalesce(valid_until > ledger.now(), true)"
)


@dataclass(frozen=True, slots=True)
class Enough:
    """What `ensure_enough` gives: only with it can a proof be made."""

    terms: Terms
    method: Method


@dataclass(frozen=True, slots=True)
class Code:
    """A tried code: the challenge it answers, and its id; None where this repeats a call."""

    challenge: Challenge
    code_id: UUID | None
    answer_hash: bytes
    refusal: refusals.Refusal | None = None


def terms_of(instruction: Instruction) -> Terms:
    """What a proof for an instruction has to stand for."""
    return Terms(
        user_id=instruction.actor_id,
        deed=instruction.operation.name,
        key=instruction.key,
        input_hash=instruction.input_hash,
        amount_minor=ledger.given_minor(instruction),
    )


def purpose_of(terms: Terms) -> Purpose:
    return Purpose.STEP_UP if terms.action else Purpose.PROOF


async def facts_of(read: Snapshot, viewer: Viewer) -> Facts:
    """What the policy may ask about the caller."""
    level = list(KycLevel).index(viewer.kyc_level)
    if viewer.device_id is None:
        return Facts(kyc_level=level)
    age = await read.fetchval(
        "select ledger.now() - created_at from device where id = $1", viewer.device_id
    )
    return Facts(kyc_level=level, device_age_seconds=int(age.total_seconds()))


async def sufficient(work: UnitOfWork, viewer: Viewer, terms: Terms) -> list[Method]:
    """The methods that do for this deed of the caller's; never none."""
    if terms.action in proofs.BY_PASSWORD and await _has_password_only(work, terms.user_id):
        return [Method.PASSWORD]
    rows = await work.fetch(_RULES, terms.deed)
    rules = [
        Rule(
            **{name: value for name, value in row.items() if name != "sufficient"},
            sufficient=frozenset(map(Method, msgspec.json.decode(row["sufficient"]))),
        )
        for row in rows
    ]
    return proofs.sufficient(
        rules,
        deed=terms.deed,
        amount_minor=terms.amount_minor,
        facts=await facts_of(work, viewer),
        at=work.now,
    )


async def _has_password_only(read: Snapshot, user_id: int) -> bool:
    """No PIN and never a passkey: a removed one counts, or a password would get rid of it first."""
    return await read.fetchval(
        "select pin_hash is null and not exists (select from passkey p where p.user_id = u.id)"
        " from users u where id = $1",
        user_id,
    )


async def ensure_enough(
    work: UnitOfWork, viewer: Viewer, terms: Terms, method: Method, *, path: tuple[str, ...]
) -> Enough:
    """Ask this before anything is compared or spent. Raises ProofTooWeak."""
    enough = await sufficient(work, viewer, terms)
    if method not in enough:
        raise refusals.ProofTooWeak(path=path, sufficient=enough)
    return Enough(terms, method)


async def make(work: UnitOfWork, enough: Enough, *, proof_id: UUID | None = None) -> UUID:
    """A proof of these terms, good once and for two minutes.

    ``proof_id`` is the challenge's, where there is one, used in this transaction: one challenge
    makes one proof, and one proof moves money once.
    """
    terms, made = enough.terms, proof_id or uuid4()
    expires_at = work.now + timedelta(seconds=PROOF_LIFE_SECONDS)
    if terms.action is not None:
        await work.execute(
            "insert into step_up(id, user_id, action, subject_hash, method, created_at, expires_at)"
            " values ($1, $2, $3, $4, $5, $6, $7)",
            made,
            terms.user_id,
            terms.action,
            terms.input_hash,
            enough.method,
            work.now,
            expires_at,
        )
        return made
    await work.execute(
        "insert into ledger.proof(id, actor_id, operation, key, input_hash, method, expires_at)"
        " values ($1, $2, $3, $4, $5, $6, $7)",
        made,
        terms.user_id,
        Operation[terms.deed].value,
        terms.key,
        terms.input_hash,
        enough.method.value,
        expires_at,
    )
    return made


async def again(
    work: UnitOfWork, challenge: Challenge, *, answer_hash: bytes, terms: Terms
) -> UUID:
    """The proof that the same answer to this used challenge made before, for a call that repeats.

    Its money may have moved already, and then the ledger answers as it did. Raises ChallengeInvalid
    for any other answer, and when the proof is too old or used for a deed without money.
    """
    if challenge.answer_hash != answer_hash:
        raise refusals.ChallengeInvalid
    if terms.action is not None:
        alive = await work.fetchval(
            "select exists (select from step_up where id = $1 and used_at is null"
            " and expires_at > $2)",
            challenge.id,
            work.now,
        )
    else:
        alive = await work.fetchval(
            "select exists (select from ledger.proof where id = $1 and expires_at > $2)",
            challenge.id,
            work.now,
        ) or await reading.asked_before(
            work, actor_id=terms.user_id, operation=Operation[terms.deed], key=terms.key
        )
    if not alive:
        raise refusals.ChallengeInvalid
    return challenge.id


async def try_code(
    work: UnitOfWork, viewer: Viewer, given: PinAndCode, terms: Terms, *, path: tuple[str, ...]
) -> Code:
    """Compare the code that was sent for these terms' challenge, after spending one of its tries.

    Raises ChallengeInvalid. A refusal inside the answer is for after the commit.
    """
    challenge = await proof_challenges.lock_of_code(
        work, given.verification_id, user_id=viewer.user_id
    )
    answer_hash = bytes.fromhex(
        encryption.blind_index("challenge code", f"{given.verification_id} {given.code}")
    )
    if not challenge.is_for(purpose_of(terms), terms.digest()):
        raise refusals.ChallengeInvalid
    if challenge.used_at is not None:
        await again(work, challenge, answer_hash=answer_hash, terms=terms)
        return Code(challenge, None, answer_hash)
    proof_challenges.ensure_open(work, challenge)
    tried = await codes.spend_try(
        work,
        phone=people.phone_of(viewer),
        purpose=code_purpose(challenge),
        verification_id=given.verification_id,
        code=given.code,
        subject=str(challenge.id),
    )
    if tried.code_id is None:
        refusal = tried.refusal or refusals.CodeInvalid()
        refusal.path = path
        return Code(challenge, None, answer_hash, refusal)
    return Code(challenge, tried.code_id, answer_hash)


def code_purpose(challenge: Challenge) -> CodePurpose:
    """What a code for this challenge is asked for by."""
    return CodePurpose.STEP_UP if challenge.purpose is Purpose.STEP_UP else CodePurpose.PAYMENT


async def void_all(work: UnitOfWork, user_id: int) -> None:
    """Nothing that this user has begun to prove is worth anything: open challenges, step-ups.

    Call it before sessions are ended: whoever answers a challenge holds it first.
    """
    await work.execute(
        "update proof_challenge set used_at = $2, answer_hash = ''::bytea where id in"
        " (select id from proof_challenge where user_id = $1 and created_at > $3"
        " and used_at is null order by id for update) and used_at is null",
        user_id,
        work.now,
        work.now - timedelta(seconds=LIFE_SECONDS),
    )
    await work.execute(
        "update step_up set used_at = $2 where user_id = $1 and created_at > $3"
        " and used_at is null",
        user_id,
        work.now,
        work.now - timedelta(seconds=PROOF_LIFE_SECONDS),
    )


async def use_step_up(
    work: UnitOfWork, proof_id: UUID, *, user_id: int, action: Action, subject: str = ""
) -> None:
    """Use a proof up, in the transaction of the deed that it allows. Raises ProofRequired.

    It is good once, for this person, this action and this subject.
    """
    terms = proofs.terms_of_action(user_id, action, subject)
    used = await work.fetchval(
        "update step_up set used_at = $5 where id = $1 and user_id = $2 and action = $3"
        " and subject_hash = $4 and used_at is null and expires_at > $5 returning id",
        proof_id,
        user_id,
        action,
        terms.input_hash,
        work.now,
    )
    if used is None:
        raise refusals.ProofRequired
