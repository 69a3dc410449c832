"""Challenges: made for one thing, answered once, kept as hashes.

What a passkey signs is a hash over what the challenge was made for, so the signature itself stands
for one payment, to one payee, of one amount. Codes are bound to a challenge by their subject.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from domain import proof_challenges as rules
from domain import refusals
from domain.identity import network
from domain.proof_challenges import Purpose
from infra import encryption
from services.unit_of_work import UnitOfWork

_COLUMNS = (
    "id, purpose, user_id, session_id, nonce_hash, terms_hash, expires_at, used_at, answer_hash"
)


@dataclass(frozen=True, slots=True)
class Made:
    """A new challenge; ``nonce`` is for the client and is not kept."""

    id: UUID
    nonce: bytes = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge as it is kept."""

    id: UUID
    purpose: Purpose
    user_id: int | None
    session_id: UUID | None
    nonce_hash: bytes = field(repr=False)
    terms_hash: bytes = field(repr=False)
    expires_at: datetime
    used_at: datetime | None
    answer_hash: bytes | None = field(repr=False)

    def is_for(self, purpose: Purpose, terms_digest: bytes) -> bool:
        """Whether it was made for this, and can still be answered or was answered before."""
        return self.purpose is purpose and self.terms_hash == terms_digest

    def asks(self, nonce: bytes) -> bool:
        """Whether these are the bytes that it gave to the client."""
        return self.nonce_hash == hashlib.sha256(nonce).digest()


async def make_for(
    work: UnitOfWork,
    *,
    user_id: int,
    session_id: UUID | None,
    purpose: Purpose,
    terms_digest: bytes,
) -> Made:
    """A challenge for somebody who is signed in. Raises RateLimited past 60 in five minutes."""
    caller = encryption.blind_index("challenge user", str(user_id))
    await _ensure_allowed(work, caller, rules.OPEN_MAX_PER_USER)
    return await _make(work, purpose, terms_digest, caller, user_id=user_id, session_id=session_id)


async def make_for_stranger(work: UnitOfWork, *, address: str, terms_digest: bytes) -> Made:
    """A challenge to sign in by. Raises RateLimited past 300 of one address in five minutes."""
    caller = encryption.blind_index("challenge address", network(address))
    await _ensure_allowed(work, caller, rules.OPEN_MAX_PER_ADDRESS)
    return await _make(work, Purpose.LOGIN, terms_digest, caller, user_id=None, session_id=None)


async def lock(work: UnitOfWork, challenge_id: UUID, *, user_id: int | None) -> Challenge:
    """A challenge of this caller's, also a used one, until the commit. Raises ChallengeInvalid."""
    row = await work.fetchrow(
        f"select {_COLUMNS} from proof_challenge"  # noqa: S608 - constants only
        " where id = $1 and user_id is not distinct from $2 for update",
        challenge_id,
        user_id,
    )
    if row is None:
        raise refusals.ChallengeInvalid
    return Challenge(row["id"], Purpose(row["purpose"]), *list(row)[2:])


async def lock_of_code(work: UnitOfWork, verification_id: UUID, *, user_id: int) -> Challenge:
    """The caller's challenge that this code was sent for last. Raises ChallengeInvalid."""
    challenge_id = await work.fetchval(
        "select id from proof_challenge where verification_id = $1 and user_id = $2",
        verification_id,
        user_id,
    )
    if challenge_id is None:
        raise refusals.ChallengeInvalid
    return await lock(work, challenge_id, user_id=user_id)


async def expect_code(work: UnitOfWork, challenge_id: UUID, verification_id: UUID) -> None:
    """From now on the challenge is answered by this code; codes before it are worth nothing."""
    await work.execute(
        "update proof_challenge set verification_id = $2 where id = $1",
        challenge_id,
        verification_id,
    )


def ensure_open(work: UnitOfWork, challenge: Challenge) -> None:
    """Raise ChallengeInvalid if it was used or is too old."""
    if challenge.used_at is not None or challenge.expires_at <= work.now:
        raise refusals.ChallengeInvalid


async def use(work: UnitOfWork, challenge_id: UUID, *, answer_hash: bytes) -> None:
    """Use it, with whatever this transaction allows. Raises ChallengeInvalid for the second."""
    used = await work.fetchval(
        "update proof_challenge set used_at = $2, answer_hash = $3 where id = $1"
        " and used_at is null and expires_at > $2 returning id",
        challenge_id,
        work.now,
        answer_hash,
    )
    if used is None:
        raise refusals.ChallengeInvalid


async def _ensure_allowed(work: UnitOfWork, caller: str, open_max: int) -> None:
    await work.execute("select pg_advisory_xact_lock(3, hashtext($1))", caller)
    oldest = await work.fetchval(
        "select created_at from proof_challenge where caller_hash = $1 and created_at > $2"
        " order by created_at desc offset $3 limit 1",
        caller,
        work.now - timedelta(seconds=rules.LIFE_SECONDS),
        open_max - 1,
    )
    if oldest is not None:
        free_at = oldest + timedelta(seconds=rules.LIFE_SECONDS)
        raise refusals.RateLimited(
            retry_after_seconds=max(int((free_at - work.now).total_seconds()), 1)
        )


async def _make(
    work: UnitOfWork,
    purpose: Purpose,
    terms_digest: bytes,
    caller: str,
    *,
    user_id: int | None,
    session_id: UUID | None,
) -> Made:
    nonce = rules.nonce(terms_digest, purpose, secrets.token_bytes(32))
    made = Made(uuid4(), nonce, work.now + timedelta(seconds=rules.LIFE_SECONDS))
    await work.execute(
        "insert into proof_challenge(id, purpose, user_id, session_id, nonce_hash, terms_hash,"
        " caller_hash, created_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        made.id,
        purpose,
        user_id,
        session_id,
        hashlib.sha256(nonce).digest(),
        terms_digest,
        caller,
        work.now,
        made.expires_at,
    )
    return made
