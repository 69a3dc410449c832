"""Moving an account whose phone is lost: a code to the new number, and two of staff.

A code comes twice: to ask staff, who then know that the number is the asker's, and to move the
account once they have approved. All that whoever hasn't name and ID number can see is the same for
every number, somebody's or nobody's.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID, uuid4

from domain import codes as code_rules
from domain import recovery, refusals
from domain.identity import CodePurpose
from domain.recovery import CaseKind, Identity
from infra import encryption
from services import people
from services.identity import codes, identification, logins, phone_changes, recoveries
from services.identity.recoveries import Case
from services.unit_of_work import UnitOfWork

_NEW_PHONE = "phone_replacement.new_phone"
_NOBODY = 0
_OPEN = "used_at is null and tries_left > 0 and expires_at > $2"


@dataclass(frozen=True, slots=True)
class Opened:
    """A replacement for the client: its secret id, and when another code may be asked for."""

    secret: str = field(repr=False)
    expires_at: datetime
    resend_after_seconds: int


@dataclass(frozen=True, slots=True)
class Tried:
    """A spent try. ``code_id`` None: the code was wrong. ``new_phone`` in E.164.

    ``user_ids``: whose number the old one is, or was before it was released. ``user_id`` is the one
    of them who was named, None for nobody.
    """

    replacement_id: UUID
    old_phone_index: str = field(repr=False)
    new_phone_index: str = field(repr=False)
    new_phone: str = field(repr=False)
    user_ids: list[int]
    code_id: UUID | None
    user_id: int | None = None
    refusal: refusals.Refusal | None = None


async def open_for(
    work: UnitOfWork, *, old_phone: str, new_phone: str, address: str, language: str
) -> Opened:
    """Have a code sent to the new phone, if it is nobody's; both in E.164, and different.

    Raises RateLimited, as `codes.request` does.
    """
    replacement_id, secret = uuid4(), secrets.token_urlsafe(32)
    requested = await codes.request(
        work,
        phone=new_phone,
        purpose=CodePurpose.REPLACE_PHONE,
        address=address,
        language=language,
        subject=_subject(replacement_id),
    )
    await work.execute(
        "insert into phone_replacement(id, old_phone_index, new_phone_index, new_phone,"
        " secret_hash, verification_id, tries_left, created_at, expires_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        replacement_id,
        people.phone_index(old_phone),
        people.phone_index(new_phone),
        encryption.encrypt(_NEW_PHONE, replacement_id, new_phone),
        _hash(secret),
        requested.verification_id,
        recovery.REPLACEMENT_TRIES,
        work.now,
        requested.expires_at,
    )
    return Opened(secret, requested.expires_at, requested.resend_after_seconds)


async def spend_try(
    work: UnitOfWork, secret: str, *, code: str, identity: Identity | None, address: str
) -> Tried | None:
    """Compare code and identity, after spending a try of each; to be committed in any case.

    None: there is no such replacement (any more). Raises RateLimited for the address.
    """
    await logins.begin_at_address(work, address=address)
    row = await work.fetchrow(
        "update phone_replacement set tries_left = tries_left - 1"  # noqa: S608 - our own text
        f" where secret_hash = $1 and {_OPEN} returning *",
        _hash(secret),
        work.now,
    )
    if row is None:
        return None
    tried = await codes.spend_try_of(
        work,
        phone_index=row["new_phone_index"],
        purpose=CodePurpose.REPLACE_PHONE,
        verification_id=row["verification_id"],
        code=code,
        subject=_subject(row["id"]),
    )
    owners = await work.fetch(
        "select id from users where (phone_index = $1 or former_phone_index = $1)"
        " and status = any($2::text[]) order by id",
        row["old_phone_index"],
        list(recovery.RECOVERABLE),
    )
    spent = Tried(
        replacement_id=row["id"],
        old_phone_index=row["old_phone_index"],
        new_phone_index=row["new_phone_index"],
        new_phone=encryption.decrypt(_NEW_PHONE, row["id"], row["new_phone"]),
        user_ids=[owner["id"] for owner in owners],
        code_id=tried.code_id,
    )
    return spent if identity is None else await _identify(work, spent, identity)


async def _identify(work: UnitOfWork, tried: Tried, identity: Identity) -> Tried:
    """Anybody gets the code of a phone of their own, so the owner's few tries aren't spent here.

    Right tries count, too: they ring the owner's phone.
    """
    refusal = None
    if tried.code_id is not None:
        for tries in (
            identification.by_new_phone(tried.new_phone_index),
            identification.without_phone(tried.old_phone_index),
        ):
            refusal = refusal or await identification.spend_try(work, tries)
    named = None
    for user_id in tried.user_ids or [_NOBODY]:  # the same work for a number that nobody has
        if await identification.is_of(work, user_id, identity):
            named = user_id
    return replace(tried, user_id=named, refusal=refusal)


async def ask(work: UnitOfWork, tried: Tried, *, statement: str) -> Case:
    """Have two of staff look at it, using up replacement and code; the owner is told everywhere.

    An open case for the same number stays as it is. Raises PhoneChangeInvalid, and then nothing was
    changed.
    """
    if tried.user_id is None or tried.code_id is None:
        raise _wrong()
    await _use(work, tried.replacement_id, tried.code_id)
    return await recoveries.open_once(
        work, tried.user_id, CaseKind.PHONE, statement=statement, new_phone=tried.new_phone
    )


async def complete(work: UnitOfWork, tried: Tried, *, case_id: UUID) -> None:
    """Move the account by an approved case and the code, with all that follows; of many one.

    Raises PhoneChangeInvalid, and then nothing was changed: a code was wrong, the case isn't good
    (yet, any more, for this), or somebody has the number.
    """
    if tried.code_id is None:
        raise _wrong()
    await _use(work, tried.replacement_id, tried.code_id)
    about = await recoveries.account_of(work, case_id)
    user_id = about if about in tried.user_ids else _NOBODY  # the same statements for nobody
    # Whoever closes the account, or asks staff again, takes this row first.
    held = await work.fetchrow(
        "select phone, phone_index from users where id = $1"
        " and (phone_index = $2 or former_phone_index = $2) for update",
        user_id,
        tried.old_phone_index,
    )
    approved = await recoveries.use_for_phone(
        work, case_id, user_id=user_id, new_phone=tried.new_phone
    )
    if held is None or not approved:
        raise _wrong()
    if not await phone_changes.move(
        work, user_id, old_index=held["phone_index"], new_phone=tried.new_phone
    ):
        raise _wrong()
    await phone_changes.follow(
        work,
        user_id,
        old_phone=people.open_phone(user_id, held["phone"]),
        event=f"phone-replacement:{tried.replacement_id}",
        approved_as=case_id,
    )


async def _use(work: UnitOfWork, replacement_id: UUID, code_id: UUID) -> None:
    """Use replacement and code. Raises PhoneChangeInvalid for whoever comes second."""
    taken = await work.fetchval(
        "update phone_replacement set used_at = $2, new_phone = ''::bytea where id = $1"
        " and used_at is null returning id",
        replacement_id,
        work.now,
    )
    if taken is None:
        raise _wrong()
    try:
        await codes.use(work, code_id)
    except refusals.CodeInvalid:
        raise _wrong() from None


def _wrong() -> refusals.PhoneChangeInvalid:
    return refusals.PhoneChangeInvalid(path=("input",))


def _subject(replacement_id: UUID) -> str:
    return f"{code_rules.OF_NEW_PHONE}replacement {replacement_id}"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
