"""The rows of people: made sealed, found by blind index, opened for whoever may see them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from domain import refusals, registration
from domain.identity import Role, Status, Viewer
from infra import encryption
from services.unit_of_work import Snapshot, UnitOfWork

_CHECK_TEXT = "identity_check.review_text"
_COLUMNS = "id, role, status, phone, name, language"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, opened. ``phone`` in E.164."""

    user_id: int
    role: Role
    status: Status
    language: str
    phone: str = field(repr=False)
    name: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Details:
    """What an applicant may tell beside name and phone, checked by `domain.registration`.

    ``id_number`` as `domain.resident_ids.parse` returned it; each None where nothing was told.
    ``email_verified``: a code that was mailed there came back (`services.identity.contact`).
    """

    id_number: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    postal_address: str | None = field(default=None, repr=False)
    email_verified: bool = False


NO_DETAILS = Details()


def id_number_index(number: str) -> str:
    """What a resident ID number is looked up by."""
    return encryption.blind_index("id number", number)


def phone_index(phone: str) -> str:
    """What a phone number (E.164) is looked up by."""
    return encryption.blind_index("phone", phone)


def open_phone(user_id: int, sealed: bytes) -> str:
    """The phone number (E.164); empty where there is none: a closed account, a number let go of."""
    return encryption.decrypt("users.phone", user_id, sealed) if sealed else ""


def open_name(user_id: int, sealed: bytes) -> str:
    """The name; empty for whoever closed the account."""
    return encryption.decrypt("users.name", user_id, sealed) if sealed else ""


def open_details(user_id: int, row: asyncpg.Record) -> Details:
    """The details of a row of users that has their columns."""
    opened = {
        name: encryption.decrypt(f"users.{name}", user_id, row[name])
        for name in ("id_number", "email", "postal_address")
        if row[name] is not None
    }
    return Details(**opened, email_verified=row["email_verified_at"] is not None)


def _sealed_details(user_id: int, details: Details) -> list[bytes | str | None]:
    """Number, its index, e-mail and address as their columns hold them."""
    number, email, address = details.id_number, details.email, details.postal_address
    seal = encryption.encrypt
    return [
        None if number is None else seal("users.id_number", user_id, number),
        None if number is None else id_number_index(number),
        None if email is None else seal("users.email", user_id, email),
        None if address is None else seal("users.postal_address", user_id, address),
    ]


def seal_review_text(user_id: int, text: str | None) -> bytes | None:
    """What staff wrote about an application, for its row."""
    return None if text is None else encryption.encrypt("users.review_text", user_id, text)


def open_review_text(user_id: int, sealed: bytes | None) -> str | None:
    return None if sealed is None else encryption.decrypt("users.review_text", user_id, sealed)


async def review_texts(read: Snapshot, user_ids: list[int]) -> dict[int, str | None]:
    """What staff wrote about these people's applications, opened."""
    rows = await read.fetch(
        "select id, review_text from users where id = any($1::bigint[])", user_ids
    )
    return {row["id"]: open_review_text(row["id"], row["review_text"]) for row in rows}


def seal_check_text(check_id: UUID, text: str | None) -> bytes | None:
    """What staff wrote about an identity check, for its row."""
    return None if text is None else encryption.encrypt(_CHECK_TEXT, check_id, text)


def open_check_text(check_id: UUID, sealed: bytes | None) -> str | None:
    return None if sealed is None else encryption.decrypt(_CHECK_TEXT, check_id, sealed)


async def check_texts(read: Snapshot, check_ids: Sequence[UUID]) -> dict[str, str | None]:
    """What staff wrote about these identity checks, opened, by the check's id as text."""
    rows = await read.fetch(
        "select id, review_text from identity_check where id = any($1::uuid[])", check_ids
    )
    return {str(row["id"]): open_check_text(row["id"], row["review_text"]) for row in rows}


def phone_of(viewer: Viewer) -> str:
    """The caller's own phone number (E.164), without another read; empty if there is none."""
    return open_phone(viewer.user_id, viewer.phone_sealed)


def reachable_phone(viewer: Viewer) -> str:
    """The same for what needs one. Raises NoPhoneNumber."""
    phone = phone_of(viewer)
    if not phone:
        raise refusals.NoPhoneNumber
    return phone


def label_of(viewer: Viewer) -> str:
    """What an authenticator calls the caller's account: the masked phone; the name without one."""
    return registration.masked_phone(phone_of(viewer)) or name_of(viewer)


async def phone_of_user(read: Snapshot, user_id: int) -> str:
    """The phone number (E.164) of somebody who exists; empty if there is none."""
    return open_phone(
        user_id, await read.fetchval("select phone from users where id = $1", user_id)
    )


def name_of(viewer: Viewer) -> str:
    """The caller's own name, without another read."""
    return open_name(viewer.user_id, viewer.name_sealed)


async def create(
    work: UnitOfWork,
    *,
    role: Role,
    status: Status,
    name: str,
    phone: str,
    password_hash: str,
    language: str,
    details: Details = NO_DETAILS,
) -> int:
    """A new person's id. ``phone`` in E.164, ``name`` cleaned. Raises PhoneTaken."""
    # Made here, not by the database: the ciphertexts are bound to it.
    user_id = secrets.randbits(62) or 1
    made = await work.fetchval(
        "insert into users(id, role, status, phone, phone_index, name, language, password_hash,"
        " created_at, id_number, id_number_index, email, postal_address)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
        " on conflict (phone_index) do nothing returning id",
        user_id,
        role,
        status,
        encryption.encrypt("users.phone", user_id, phone),
        phone_index(phone),
        encryption.encrypt("users.name", user_id, name),
        language,
        password_hash,
        work.now,
        *_sealed_details(user_id, details),
    )
    if made is None:
        raise refusals.PhoneTaken(path=("input", "phone"))
    return user_id


async def correct(work: UnitOfWork, user_id: int, *, name: str, details: Details) -> None:
    """Replace what somebody told of themselves; what is None now is kept no longer.

    An e-mail address stays verified if ``details`` say so.
    """
    await work.execute(
        "update users set name = $2, id_number = $3, id_number_index = $4, email = $5,"
        " postal_address = $6, email_verified_at = case when $7 then email_verified_at end"
        " where id = $1",
        user_id,
        encryption.encrypt("users.name", user_id, name),
        *_sealed_details(user_id, details),
        details.email_verified,
    )


async def keep_email(work: UnitOfWork, user_id: int, email: str | None) -> None:
    """Replace the contact address by one that was just verified, or by none."""
    await work.execute(
        "update users set email = $2, email_verified_at = $3, version = version + 1 where id = $1",
        user_id,
        None if email is None else encryption.encrypt("users.email", user_id, email),
        None if email is None else work.now,
    )


async def keep_postal_address(work: UnitOfWork, user_id: int, address: str | None) -> None:
    """Replace the postal address, or keep none."""
    place = "users.postal_address"
    await work.execute(
        "update users set postal_address = $2, version = version + 1 where id = $1",
        user_id,
        None if address is None else encryption.encrypt(place, user_id, address),
    )


async def details_of(read: Snapshot, user_id: int) -> Details:
    """What somebody told beside name and phone, opened."""
    row = await read.fetchrow(
        "select id_number, email, email_verified_at, postal_address from users where id = $1",
        user_id,
    )
    return open_details(user_id, row) if row else NO_DETAILS


async def identify(work: UnitOfWork, user_id: int, *, name: str, id_number: str) -> None:
    """Keep the name and ID number of somebody who registered by phone only; both were reviewed."""
    await work.execute(
        "update users set name = $2, id_number = $3, id_number_index = $4, version = version + 1"
        " where id = $1",
        user_id,
        encryption.encrypt("users.name", user_id, name),
        encryption.encrypt("users.id_number", user_id, id_number),
        id_number_index(id_number),
    )


async def raise_kyc_level(work: UnitOfWork, user_id: int) -> None:
    """The level that somebody has earned: by approval with an ID number, and then by a card.

    By a card on which the bank has found the same name, that is.
    """
    risen = await work.fetchval(
        "update users u set kyc_level = earned.level from (select case when exists (select"
        "  from bank_card where user_id = $1 and removed_at is null and holder_checked)"
        "  then 'BANK_CARD' else 'IDENTITY' end as level) earned"
        " where id = $1 and status = 'ACTIVE' and id_number is not null"
        " and kyc_level <> earned.level returning id",
        user_id,
    )
    if risen is not None:
        work.announce(f"user:{user_id}")


async def exists(read: Snapshot, phone: str) -> bool:
    """Whether a phone number (E.164) belongs to somebody."""
    return await read.fetchval(
        "select exists (select from users where phone_index = $1)", phone_index(phone)
    )


async def find_by_phone(read: Snapshot, phone: str) -> Person | None:
    """Whoever has this phone number (E.164), in any state."""
    row = await read.fetchrow(
        f"select {_COLUMNS} from users where phone_index = $1",  # noqa: S608 - constants only
        phone_index(phone),
    )
    return _person(row) if row else None


async def find_owners(read: Snapshot, phone: str) -> list[Person]:
    """The same, then those whose number it was until its carrier gave it to somebody else."""
    rows = await read.fetch(
        f"select {_COLUMNS} from users"  # noqa: S608 - constants only
        " where phone_index = $1 or former_phone_index = $1 order by phone_index = $1 desc, id",
        phone_index(phone),
    )
    return [_person(row) for row in rows]


async def find(read: Snapshot, user_ids: list[int]) -> dict[int, Person]:
    """People by id; unknown ids are left out."""
    rows = await read.fetch(
        f"select {_COLUMNS} from users where id = any($1::bigint[])",  # noqa: S608 - constants only
        user_ids,
    )
    return {row["id"]: _person(row) for row in rows}


async def open_account(work: UnitOfWork, user_id: int, role: Role) -> int:
    """The id of the wallet's account in the ledger; opened now unless it exists."""
    return await work.fetchval(
        "select ledger.open_account_v1($1, $2::smallint, 'CNY')",
        user_id,
        2 if role is Role.MERCHANT else 1,
    )


def _person(row: Any) -> Person:
    return Person(
        user_id=row["id"],
        role=Role(row["role"]),
        status=Status(row["status"]),
        language=row["language"],
        phone=open_phone(row["id"], row["phone"]),
        name=open_name(row["id"], row["name"]),
    )
