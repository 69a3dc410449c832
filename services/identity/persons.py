"""Natural persons behind wallets: found by ID number, of age, and with a capped number of them."""

from __future__ import annotations

from datetime import date

from domain import refusals, resident_ids
from domain.registration import Person
from infra import settings
from services import people
from services.unit_of_work import Snapshot, UnitOfWork

_OTHERS_MAX = 100


async def of_number(work: UnitOfWork, number: str | None, *, but_user_id: int) -> Person | None:
    """Who an ID number stands for, and the names on that person's other wallets; None without one.

    Takes turns with every other decision about the same number until the unit of work ends, so that
    decisions at once can't pass the most wallets that a person may have.
    """
    resident = resident_ids.parse(number or "")
    if resident is None:
        return None
    index = people.id_number_index(resident.number)
    await work.execute("select pg_advisory_xact_lock(5, hashtext($1))", index)
    others = await work.fetch(
        "select id, name from users where id_number_index = $1"
        " and status in ('ACTIVE', 'CLOSED') and id <> $2 limit $3",
        index,
        but_user_id,
        _OTHERS_MAX,
    )
    names = tuple(people.open_name(other["id"], other["name"]) for other in others)
    return Person(resident.age_years(await today(work)), names)


def ensure_within_cap(person: Person | None) -> None:
    """Raises TooManyAccounts if one more wallet of this person would be one too many."""
    if person is not None and len(person.others) >= accounts_max():
        raise refusals.TooManyAccounts


def accounts_max() -> int:
    """How many active wallets a person may have."""
    return settings.get_settings().accounts_max_per_person


async def ensure_of_age(read: Snapshot, number: str | None) -> None:
    """Raises UnderAge, and InvalidInput for somebody who can't be alive."""
    resident = resident_ids.parse(number or "")
    if resident is None:
        return
    day = await today(read)
    if not resident.plausible(day):
        raise refusals.InvalidInput(path=("input", "idNumber"))
    if resident.age_years(day) < resident_ids.AGE_MIN_YEARS:
        raise refusals.UnderAge(path=("input", "idNumber"))


async def today(read: Snapshot) -> date:
    """The day it is in the city."""
    return await read.fetchval("select (ledger.now() at time zone zone)::date from ledger.city")


def age_years(number: str | None, day: date) -> int | None:
    """The age that an ID number says; None without one."""
    resident = resident_ids.parse(number or "")
    return resident.age_years(day) if resident else None
