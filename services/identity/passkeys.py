"""Passkeys: added, named, removed, and their answers to challenges.

A passkey with user verification is two factors by itself: the device, and the finger, face or code
that unlocks it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from uuid import UUID, uuid4

import asyncpg
import msgspec

from domain import refusals
from domain.notices import NoticeKind
from infra import authenticators, encryption
from infra.authenticators import Answer, NotVerified, Registered
from services import notices
from services.identity import proof_challenges
from services.identity.proof_challenges import Challenge
from services.unit_of_work import Snapshot, UnitOfWork

PASSKEYS_MAX = 10
NAME_LENGTH_MAX = 40
_SHOWN = "id, user_id, name, transports, synced, created_at, last_used_at"


@dataclass(frozen=True, slots=True)
class Passkey:
    """A passkey as its owner sees it."""

    id: UUID
    user_id: int
    name: str = field(repr=False)
    transports: list[str]
    synced: bool
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whose passkey answered; or why not, to be raised after the commit, which tells its owner."""

    user_id: int
    refusal: refusals.Refusal | None = None


@dataclass(frozen=True, slots=True)
class _Signed:
    """Which passkey signed, whose it is, and what its counter says."""

    passkey_id: UUID
    user_id: int
    count: int


class Removal(Enum):
    """What became of a wish to remove a passkey."""

    DONE = 1
    DONE_AND_WAS_LAST = 2
    WOULD_BE_LAST = 3


def user_handle(user_id: int) -> bytes:
    """What authenticators know a person by: 32 bytes that say nothing to anybody else."""
    return bytes.fromhex(encryption.blind_index("passkey user", str(user_id)))


async def of_user(read: Snapshot, user_id: int) -> list[Passkey]:
    """The user's passkeys, oldest first; ten at most."""
    rows = await read.fetch(
        f"select {_SHOWN} from passkey"  # noqa: S608 - constants only
        " where user_id = $1 and removed_at is null order by created_at, id",
        user_id,
    )
    return [_passkey(row) for row in rows]


async def by_ids(read: Snapshot, user_id: int, ids: Sequence[UUID]) -> dict[UUID, Passkey]:
    """Those of the passkeys that are the user's."""
    return {one.id: one for one in await of_user(read, user_id) if one.id in ids}


async def credential_ids(read: Snapshot, user_id: int) -> list[bytes]:
    """What a browser looks for among its passkeys."""
    rows = await read.fetch(
        "select credential_id from passkey where user_id = $1 and removed_at is null"
        " order by created_at, id",
        user_id,
    )
    return [row["credential_id"] for row in rows]


async def any_of(read: Snapshot, user_id: int) -> bool:
    """Whether the user has a passkey."""
    return await read.fetchval(
        "select exists (select from passkey where user_id = $1 and removed_at is null)", user_id
    )


async def add(work: UnitOfWork, *, user_id: int, registered: Registered, name: str) -> Passkey:
    """Keep a verified passkey and tell its owner. Raises InvalidInput past ten, PasskeyInvalid."""
    await _take_turns(work, user_id)
    count = await work.fetchval(
        "select count(*) from passkey where user_id = $1 and removed_at is null", user_id
    )
    if count >= PASSKEYS_MAX:
        raise refusals.InvalidInput(
            path=("input",),
            en=f"You can have at most {PASSKEYS_MAX} passkeys.",
            zh=f"最多添加{PASSKEYS_MAX}个通行密钥。",
        )
    passkey_id = uuid4()
    row = await work.fetchrow(
        "insert into passkey(id, user_id, credential_id, credential_hash, public_key, user_handle,"  # noqa: S608
        " sign_count, name, transports, aaguid, synced, created_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10, $11, $12)"
        f" on conflict (credential_hash) do nothing returning {_SHOWN}",
        passkey_id,
        user_id,
        registered.credential_id,
        _hash(registered.credential_id),
        registered.public_key,
        user_handle(user_id),
        registered.sign_count,
        _seal(passkey_id, name),
        msgspec.json.encode(registered.transports).decode(),
        registered.aaguid,
        registered.synced,
        work.now,
    )
    if row is None:
        raise refusals.PasskeyInvalid(path=("input", "credential"))
    await _tell(work, user_id, NoticeKind.PASSKEY_ADDED, f"passkey:{passkey_id}:added")
    return _passkey(row)


async def rename(work: UnitOfWork, passkey_id: UUID, *, user_id: int, name: str) -> Passkey:
    """Call it otherwise. Raises NotFound."""
    row = await work.fetchrow(
        "update passkey set name = $3 where id = $1 and user_id = $2 and removed_at is null"  # noqa: S608
        f" returning {_SHOWN}",
        passkey_id,
        user_id,
        _seal(passkey_id, name),
    )
    if row is None:
        raise refusals.NotFound(path=("input", "passkeyId"))
    return _passkey(row)


async def remove(work: UnitOfWork, passkey_id: UUID, *, user_id: int, last_too: bool) -> Removal:
    """Never accept it again, and tell its owner; the last one only if ``last_too``.

    Raises NotFound.
    """
    await _take_turns(work, user_id)
    rows = await work.fetch(
        "select id from passkey where user_id = $1 and removed_at is null for update", user_id
    )
    if passkey_id not in {row["id"] for row in rows}:
        raise refusals.NotFound(path=("input", "passkeyId"))
    if len(rows) == 1 and not last_too:
        return Removal.WOULD_BE_LAST
    await work.execute("update passkey set removed_at = $2 where id = $1", passkey_id, work.now)
    await _tell(work, user_id, NoticeKind.PASSKEY_REMOVED, f"passkey:{passkey_id}:removed")
    return Removal.DONE if len(rows) > 1 else Removal.DONE_AND_WAS_LAST


async def verify(
    work: UnitOfWork, answer: Answer, challenge: Challenge, *, user_id: int | None
) -> Verdict:
    """Whether a known passkey (of this user) answered this challenge, and use the challenge up.

    Raises ChallengeInvalid and PasskeyInvalid, and then nothing was changed. A counter that didn't
    grow means that somebody may have copied the passkey: then the challenge is used, the owner is
    told, and the verdict has a refusal.
    """
    proof_challenges.ensure_open(work, challenge)
    if not challenge.asks(answer.challenge):
        raise refusals.ChallengeInvalid
    signed = await _signed(work, answer, user_id=user_id)
    await proof_challenges.use(work, challenge.id, answer_hash=answer.digest)
    return await _counted(work, signed, source=f"passkey-refused:{challenge.id}")


async def verify_for_login(
    work: UnitOfWork, answer: Answer, *, nonce: bytes, user_id: int, source: str
) -> Verdict:
    """The same for a login challenge, which the caller has locked, and uses up if this is right.

    ``nonce`` is what it asks to be signed, ``source`` names it. Raises ChallengeInvalid and
    PasskeyInvalid, and then nothing was changed.
    """
    if not hmac.compare_digest(answer.challenge, nonce):
        raise refusals.ChallengeInvalid
    signed = await _signed(work, answer, user_id=user_id)
    return await _counted(work, signed, source=f"passkey-refused:{source}")


async def remove_all(work: UnitOfWork, user_id: int) -> int:
    """Never accept any of the user's passkeys again, and tell them; how many it were."""
    await _take_turns(work, user_id)
    rows = await work.fetch(
        "update passkey set removed_at = $2 where user_id = $1 and removed_at is null returning id",
        user_id,
        work.now,
    )
    for row in rows:
        await _tell(work, user_id, NoticeKind.PASSKEY_REMOVED, f"passkey:{row['id']}:removed")
    return len(rows)


async def _signed(work: UnitOfWork, answer: Answer, *, user_id: int | None) -> _Signed:
    """The known passkey (of this user) whose answer this is. Raises PasskeyInvalid."""
    row = await work.fetchrow(
        "select id, user_id, public_key, user_handle from passkey where credential_hash = $1"
        " and user_id = coalesce($2, user_id) and removed_at is null for no key update",
        _hash(answer.credential_id),
        user_id,
    )
    try:
        count = authenticators.verify(answer, public_key=row["public_key"] if row else None)
    except NotVerified:
        raise refusals.PasskeyInvalid from None
    assert row is not None
    # Whoever signs in has named nobody: the passkey has to say whose it is.
    if answer.user_handle != row["user_handle"] and (user_id is None or answer.user_handle):
        raise refusals.PasskeyInvalid
    return _Signed(row["id"], row["user_id"], count)


async def _counted(work: UnitOfWork, signed: _Signed, *, source: str) -> Verdict:
    """A counter has to grow, or somebody may have copied the passkey; then its owner is told."""
    grown = await work.fetchval(
        "update passkey set sign_count = $2, last_used_at = $3 where id = $1"
        " and (sign_count < $2 or (sign_count = 0 and $2 = 0)) returning id",
        signed.passkey_id,
        signed.count,
        work.now,
    )
    if grown is not None:
        return Verdict(signed.user_id)
    await _tell(work, signed.user_id, NoticeKind.PASSKEY_REFUSED, source)
    return Verdict(signed.user_id, refusals.PasskeyInvalid())


async def _take_turns(work: UnitOfWork, user_id: int) -> None:
    """Passkeys of one user are added and removed one at a time: they are counted."""
    await work.execute("select id from users where id = $1 for update", user_id)


async def _tell(work: UnitOfWork, user_id: int, kind: NoticeKind, source: str) -> None:
    await notices.tell(work, user_id=user_id, kind=kind, params={}, source=source)


def _hash(credential_id: bytes) -> str:
    return hashlib.sha256(credential_id).hexdigest()


def _seal(passkey_id: UUID, name: str) -> bytes:
    return encryption.encrypt("passkey.name", passkey_id, name)


def open_name(passkey_id: UUID, sealed: bytes) -> str:
    """What its owner calls a passkey."""
    return encryption.decrypt("passkey.name", passkey_id, sealed)


def _passkey(row: asyncpg.Record) -> Passkey:
    return Passkey(
        id=row["id"],
        user_id=row["user_id"],
        name=open_name(row["id"], row["name"]),
        transports=msgspec.json.decode(row["transports"]),
        synced=row["synced"],
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
    )
