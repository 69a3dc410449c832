"""Residents and merchants as staff find them: masked, for a reason, on record before it is seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from domain import registration
from domain.identity import STAFF, Role, Status
from domain.recovery import Identity
from domain.transfers import masked_name
from services import audit, people, risk_cases, wallets
from services.people import Person
from services.risk_cases import Case
from services.unit_of_work import Snapshot, UnitOfWork
from services.wallets import Wallet

CASES_MAX = 10


@dataclass(frozen=True, slots=True)
class Resident:
    """Somebody with a wallet, or who applied for one. Name and phone are masked unless ``whole``.

    ``cases`` are those that stand, newest first, ten at most.
    """

    user_id: int
    role: Role
    status: Status
    name: str = field(repr=False)
    phone: str = field(repr=False)
    whole: bool
    registered_at: datetime
    wallet: Wallet | None
    cases: list[Case]


async def find(work: UnitOfWork, *, actor_id: int, phone: str, reason: str) -> Resident | None:
    """Whoever has a phone number (E.164) and isn't staff, masked.

    That the actor looked, also in vain, is recorded in this unit of work.
    """
    person = await people.find_by_phone(work, phone)
    found = person if person is not None and person.role not in STAFF else None
    await audit.record(
        work,
        actor_id=actor_id,
        action="FIND_RESIDENT",
        object=f"user:{found.user_id}" if found else "user",
        detail={"found": found is not None},
        reason=reason,
    )
    return await _resident(work, found, whole=False) if found else None


async def read_whole(
    work: UnitOfWork, *, actor_id: int, user_id: int, reason: str
) -> Resident | None:
    """The same by id, with name and phone as they are; recorded in this unit of work."""
    person = (await people.find(work, [user_id])).get(user_id)
    if person is None or person.role in STAFF:
        return None
    await audit.record(
        work,
        actor_id=actor_id,
        action="READ_PERSONAL_DATA",
        object=f"user:{user_id}",
        reason=reason,
    )
    return await _resident(work, person, whole=True)


async def verified_caller(
    work: UnitOfWork,
    *,
    actor_id: int,
    phone: str,
    name: str,
    id_number_last6: str | None,
    reason: str,
) -> int | None:
    """The account of whoever calls the hotline and knows phone (E.164) and name of its owner.

    And the last six of the ID number, where the owner has told one. None for everybody else; that
    it was tried is recorded either way.
    """
    found = await _named(work, phone, name=name, last6=id_number_last6 or "")
    await audit.record(
        work,
        actor_id=actor_id,
        action="FREEZE_FOR_CALLER",
        object=f"user:{found.user_id}" if found else "user",
        detail={"verified": found is not None},
        reason=reason,
    )
    return await risk_cases.account_of(work, found.user_id) if found else None


async def _named(read: Snapshot, phone: str, *, name: str, last6: str) -> Person | None:
    """Whose number it is, or was until it got another holder, if that is who was named."""
    for person in await people.find_owners(read, phone):
        if person.role not in STAFF and await _is(read, person, name=name, last6=last6):
            return person
    return None


async def _is(read: Snapshot, person: Person, *, name: str, last6: str) -> bool:
    """Whether this is the person's name, and the end of the ID number, where one was told."""
    number = (await people.details_of(read, person.user_id)).id_number or ""
    return Identity(name, last6 if number else "").is_of(name=person.name, id_number=number)


async def _resident(read: Snapshot, person: Person, *, whole: bool) -> Resident:
    row = await read.fetchrow(
        "select u.created_at, a.id as account_id from users u left join ledger.account a"
        " on a.owner_id = u.id and a.currency = 'CNY' where u.id = $1 order by a.role limit 1",
        person.user_id,
    )
    assert row is not None
    account_id = row["account_id"]
    return Resident(
        user_id=person.user_id,
        role=person.role,
        status=person.status,
        name=person.name if whole else masked_name(person.name),
        phone=person.phone if whole else registration.masked_phone(person.phone),
        whole=whole,
        registered_at=row["created_at"],
        wallet=await wallets.wallet(read, account_id) if account_id is not None else None,
        cases=await risk_cases.undecided(read, person.user_id, limit=CASES_MAX),
    )
