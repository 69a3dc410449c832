"""Login challenges: a right password, waiting for the second factor.

Good for five minutes, five tries and one login.

The client's id of a challenge is random and secret, and only its SHA-256 is kept. The nonce is
made from the challenge by our key whenever it is needed: a reader of the database has neither.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from domain.identity import LOGIN_CHALLENGE_LIFE_SECONDS, LOGIN_CHALLENGE_TRIES
from infra import encryption
from services.unit_of_work import UnitOfWork

_OPEN = (
    "used_at is null and tries_left > 0 and expires_at > $2"
    " and exists (select from users u where u.id = c.user_id and u.status <> 'CLOSED')"
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A new challenge for the client: its secret id, and what a device's key signs with it."""

    secret: str = field(repr=False)
    nonce: str = field(repr=False)
    expires_at: datetime

    @property
    def passkey_nonce(self) -> bytes:
        """What a passkey signs."""
        return _passkey_nonce(self.secret, self.nonce)


@dataclass(frozen=True, slots=True)
class Pending:
    """A challenge that waits for its proof."""

    id: UUID
    user_id: int
    secret: str = field(repr=False)

    @property
    def subject(self) -> str:
        """What binds a code (or another proof) to this challenge."""
        return f"login {self.id}"

    @property
    def nonce(self) -> str:
        return _nonce(self.id)

    @property
    def passkey_nonce(self) -> bytes:
        return _passkey_nonce(self.secret, self.nonce)


async def open_for(work: UnitOfWork, user_id: int) -> Opened:
    """A challenge for somebody whose password was right."""
    secret = secrets.token_urlsafe(32)
    expires_at = work.now + timedelta(seconds=LOGIN_CHALLENGE_LIFE_SECONDS)
    challenge_id = await work.fetchval(
        "insert into login_challenge(user_id, secret_hash, tries_left, created_at, expires_at)"
        " values ($1, $2, $3, $4, $5) returning id",
        user_id,
        _hash(secret),
        LOGIN_CHALLENGE_TRIES,
        work.now,
        expires_at,
    )
    return Opened(secret=secret, nonce=_nonce(challenge_id), expires_at=expires_at)


async def find(read: UnitOfWork, secret: str) -> Pending | None:
    """The challenge of a client's id while it can still be answered."""
    row = await read.fetchrow(
        f"select id, user_id from login_challenge c where secret_hash = $1 and {_OPEN}",  # noqa: S608
        _hash(secret),
        read.now,
    )
    return Pending(row["id"], row["user_id"], secret) if row else None


async def spend_try(work: UnitOfWork, secret: str) -> Pending | None:
    """The same, after spending one of its tries; who comes with another waits for the commit."""
    row = await work.fetchrow(
        "update login_challenge c set tries_left = tries_left - 1"  # noqa: S608 - our own text
        f" where secret_hash = $1 and {_OPEN} returning id, user_id",
        _hash(secret),
        work.now,
    )
    return Pending(row["id"], row["user_id"], secret) if row else None


async def use(work: UnitOfWork, challenge_id: UUID) -> None:
    """The proof was right: the challenge is good for nothing more. Its row is locked by its try."""
    await work.execute(
        "update login_challenge set used_at = $2 where id = $1", challenge_id, work.now
    )


async def void_all(work: UnitOfWork, user_id: int) -> None:
    """Nobody gets in by a password that was shown before now."""
    await work.execute(
        "update login_challenge set used_at = $2 where user_id = $1 and used_at is null",
        user_id,
        work.now,
    )


def _nonce(challenge_id: UUID) -> str:
    return encryption.derived_secret("login nonce", str(challenge_id))


def _passkey_nonce(secret: str, nonce: str) -> bytes:
    """32 bytes that stand for this challenge, and for nothing else that a passkey may sign."""
    text = f"pengcheng-wallet login by passkey v1\n{secret}\n{nonce}"
    return hashlib.sha256(text.encode()).digest()


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
