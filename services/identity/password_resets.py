"""Forgotten passwords: a code to the phone, a second proof, and then another password.

All that anybody without both can see is the same for every phone, right or wrong, known or not.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from domain import passwords as password_rules
from domain import recovery, refusals
from domain.identity import CodePurpose
from domain.notices import NoticeKind
from domain.passwords import Owner
from domain.proof_challenges import Purpose
from domain.recovery import Identity, ReviewedCase
from infra.authenticators import Answer
from services import audit, notices, people, wallets
from services.identity import (
    codes,
    identification,
    logins,
    passkeys,
    passwords,
    proof_challenges,
)
from services.unit_of_work import Snapshot, UnitOfWork

_OPEN = "used_at is null and tries_left > 0 and expires_at > $2"
_NOBODY = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """A new reset for the client: its secret id, and when another code may be asked for."""

    secret: str = field(repr=False)
    expires_at: datetime
    resend_after_seconds: int


@dataclass(frozen=True, slots=True)
class PasskeyAnswer:
    """A passkey's answer to a challenge that was made for this reset."""

    challenge_id: UUID
    answer: Answer = field(repr=False)


SecondProof = Identity | PasskeyAnswer | ReviewedCase
_NAMES = {Identity: "IDENTITY", PasskeyAnswer: "PASSKEY", ReviewedCase: "STAFF"}


@dataclass(frozen=True, slots=True)
class Tried:
    """A spent try. ``user_id`` and ``code_id`` None: there is nobody, or the code was wrong.

    ``identified`` is None where the second proof is none that is compared here.
    """

    reset_id: UUID
    phone_index: str
    verification_id: UUID
    address_key: str
    user_id: int | None
    code_id: UUID | None
    identified: bool | None = None
    refusal: refusals.Refusal | None = None

    @property
    def right(self) -> bool:
        """Whether nothing is wrong so far."""
        return (
            self.user_id is not None and self.code_id is not None and self.identified is not False
        )


async def open_for(work: UnitOfWork, *, phone: str, address: str, language: str) -> Opened:
    """A reset for a phone (E.164), with its code on the way if somebody has that phone.

    Raises RateLimited, as `codes.request` does.
    """
    reset_id, secret = uuid4(), secrets.token_urlsafe(32)
    requested = await codes.request(
        work,
        phone=phone,
        purpose=CodePurpose.RESET_PASSWORD,
        address=address,
        language=language,
        subject=_subject(reset_id),
    )
    expires_at = work.now + timedelta(seconds=recovery.RESET_LIFE_SECONDS)
    await work.execute(
        "insert into password_reset(id, phone_index, secret_hash, verification_id, tries_left,"
        " created_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7)",
        reset_id,
        people.phone_index(phone),
        _hash(secret),
        requested.verification_id,
        recovery.RESET_TRIES,
        work.now,
        expires_at,
    )
    return Opened(secret, expires_at, requested.resend_after_seconds)


async def find(read: UnitOfWork, secret: str) -> UUID | None:
    """The reset of a client's id, while it can still be completed."""
    return await read.fetchval(
        f"select id from password_reset where secret_hash = $1 and {_OPEN}",  # noqa: S608
        _hash(secret),
        read.now,
    )


def terms_of(reset_id: UUID) -> bytes:
    """What a passkey's challenge for this reset was made for."""
    return hashlib.sha256(f"a reset of the password {reset_id}".encode()).digest()


async def spend_try(
    work: UnitOfWork, secret: str, *, code: str, identity: Identity | None, address: str
) -> Tried | None:
    """Compare code and identity, after spending a try of each; to be committed in any case.

    None: there is no such reset (any more). Raises RateLimited for the address.
    """
    address_key = await logins.begin_at_address(work, address=address)
    row = await work.fetchrow(
        "update password_reset set tries_left = tries_left - 1"  # noqa: S608 - our own text
        f" where secret_hash = $1 and {_OPEN} returning id, phone_index, verification_id",
        _hash(secret),
        work.now,
    )
    if row is None:
        return None
    reset_id, index, verification_id = row
    tried = await codes.spend_try_of(
        work,
        phone_index=index,
        purpose=CodePurpose.RESET_PASSWORD,
        verification_id=verification_id,
        code=code,
        subject=_subject(reset_id),
    )
    spent = Tried(
        reset_id=reset_id,
        phone_index=index,
        verification_id=verification_id,
        address_key=address_key,
        user_id=await _recoverable(work, index),
        code_id=tried.code_id,
    )
    return spent if identity is None else await _identify(work, spent, identity)


async def _identify(work: UnitOfWork, tried: Tried, identity: Identity) -> Tried:
    """Only who has the code may spend the owner's few tries; a stranger can't use them up."""
    refusal = None
    if tried.code_id is not None:
        refusal = await identification.spend_try(work, identification.of_owner(tried.phone_index))
    identified = await identification.is_of(work, tried.user_id, identity)
    return replace(tried, identified=identified, refusal=refusal)


async def withdraw(work: UnitOfWork, tried: Tried) -> None:
    """Nothing came of the try, because the hasher was busy: it doesn't count."""
    await logins.succeed_at_address(work, tried.address_key)
    await codes.give_back_try(work, tried.verification_id)
    if tried.identified is not None and tried.code_id is not None:
        await identification.give_back_try(work, identification.of_owner(tried.phone_index))
    await work.execute(
        "update password_reset set tries_left = least(tries_left + 1, $2)"
        " where id = $1 and used_at is null",
        tried.reset_id,
        recovery.RESET_TRIES,
    )


async def complete(
    work: UnitOfWork,
    tried: Tried,
    *,
    proof: SecondProof,
    new_password: str,
    new_hash: str,
) -> refusals.Refusal | None:
    """Replace the password if all is right, with all that follows; of many at once, one.

    Raises ResetProofInvalid and PasswordUnacceptable, and then nothing was changed. A refusal that
    is returned is for after the commit.
    """
    wrong = refusals.ResetProofInvalid(path=("input",))
    await logins.hold(
        work,
        tried.user_id or _NOBODY,
        phone_index=tried.phone_index,
        address_key=tried.address_key,
    )
    if isinstance(proof, PasskeyAnswer):
        verdict = await _verify(work, proof, tried)
        if verdict is not None:
            return verdict
    if isinstance(proof, ReviewedCase):
        await _use_case(work, proof, tried)
    if not tried.right or tried.user_id is None or tried.code_id is None:
        raise wrong
    await use(work, tried.reset_id, tried.code_id)
    if not password_rules.acceptable(new_password, await _owner(work, tried.user_id)):
        raise refusals.PasswordUnacceptable(path=("input", "newPassword"))
    await _replace(work, tried, new_hash, by=_NAMES[type(proof)])
    return None


async def use(work: UnitOfWork, reset_id: UUID, code_id: UUID) -> None:
    """Use reset and code. Raises ResetProofInvalid for whoever comes second."""
    wrong = refusals.ResetProofInvalid(path=("input",))
    taken = await work.fetchval(
        "update password_reset set used_at = $2 where id = $1 and used_at is null returning id",
        reset_id,
        work.now,
    )
    if taken is None:
        raise wrong
    try:
        await codes.use(work, code_id)
    except refusals.CodeInvalid:
        raise wrong from None


async def _verify(work: UnitOfWork, given: PasskeyAnswer, tried: Tried) -> refusals.Refusal | None:
    wrong = refusals.ResetProofInvalid(path=("input",))
    try:
        challenge = await proof_challenges.lock(work, given.challenge_id, user_id=None)
        if not challenge.is_for(Purpose.LOGIN, terms_of(tried.reset_id)):
            raise wrong
        verdict = await passkeys.verify(
            work, given.answer, challenge, user_id=tried.user_id or _NOBODY
        )
    except (refusals.ChallengeInvalid, refusals.PasskeyInvalid):
        raise wrong from None
    return wrong if verdict.refusal is not None else None


async def _use_case(work: UnitOfWork, proof: ReviewedCase, tried: Tried) -> None:
    """Use up what two of staff have approved, once its owner had time to object."""
    used = await work.fetchval(
        "update recovery_case set state = 'USED', version = version + 1, ended_at = $3"
        " where id = $1 and user_id = $2 and kind = 'PASSWORD' and state = 'APPROVED'"
        " and usable_from <= $3 and expires_at > $3 returning id",
        proof.case_id,
        tried.user_id,
        work.now,
    )
    if used is None:
        raise refusals.ResetProofInvalid(path=("input",))


async def _replace(work: UnitOfWork, tried: Tried, new_hash: str, *, by: str) -> None:
    user_id = tried.user_id
    assert user_id is not None
    await logins.forget_failures(work, user_id, phone_index=tried.phone_index)
    await logins.succeed_at_address(work, tried.address_key)
    await identification.forget_tries(work, identification.of_owner(tried.phone_index))
    version = await passwords.replace(work, user_id=user_id, new_hash=new_hash)
    if version is None:
        raise refusals.ResetProofInvalid(path=("input",))
    await work.execute(
        "update password_reset set used_at = $2 where phone_index = $1 and used_at is null",
        tried.phone_index,
        work.now,
    )
    await audit.record(
        work,
        actor_id=user_id,
        action="RESET_PASSWORD",
        object=f"user:{user_id}",
        detail={"second_proof": by},
    )
    await notices.tell(
        work,
        user_id=user_id,
        kind=NoticeKind.PASSWORD_RESET,
        params={},
        source=f"password:{user_id}:{version}",
    )
    await wallets.take_care(work, user_id=user_id, key=f"password-reset:{tried.reset_id}")


async def _recoverable(read: Snapshot, phone_index: str) -> int | None:
    return await read.fetchval(
        "select id from users where phone_index = $1 and status = any($2::text[])",
        phone_index,
        list(recovery.RECOVERABLE),
    )


async def _owner(read: Snapshot, user_id: int) -> Owner:
    person = (await people.find(read, [user_id]))[user_id]
    details = await people.details_of(read, user_id)
    return Owner(person.name, person.phone, details.id_number)


def _subject(reset_id: UUID) -> str:
    return f"reset {reset_id}"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
