"""Whether somebody is who they say: the registered name and the end of the ID number, few times.

Six characters can be guessed, the more so by whoever knows a birthday: five tries in a day. Whoever
has the owner's phone is counted apart from those who have only one of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from domain import recovery, refusals
from domain.identity import Viewer
from domain.recovery import Identity
from infra import encryption
from services import people
from services.unit_of_work import Snapshot, UnitOfWork

_WINDOW = timedelta(seconds=recovery.IDENTITY_WINDOW_SECONDS)
_OF_NAME, _OF_NUMBER = "users.name", "users.id_number"


@dataclass(frozen=True, slots=True)
class Tries:
    """What tries are counted by, and how many there are in a day."""

    key: str
    most: int


def of_owner(phone_index: str) -> Tries:
    """Those of whoever has the owner's phone, or a session."""
    return Tries(encryption.blind_index("identity tries", phone_index), recovery.IDENTITY_TRIES)


def of_viewer(viewer: Viewer) -> Tries:
    """The same in a session; of an account without a phone its own all the same."""
    return of_owner(people.phone_index(people.phone_of(viewer) or f"of {viewer.user_id}"))


def by_new_phone(phone_index: str) -> Tries:
    """Those of whoever has another phone, to which some account is to move."""
    key = encryption.blind_index("identity tries by a new phone", phone_index)
    return Tries(key, recovery.REPLACEMENTS_PER_NEW_PHONE)


def without_phone(phone_index: str) -> Tries:
    """Those at the account of one phone by all who haven't got it."""
    key = encryption.blind_index("identity tries without the phone", phone_index)
    return Tries(key, recovery.REPLACEMENTS_PER_ACCOUNT)


async def spend_try(work: UnitOfWork, tries: Tries) -> refusals.RateLimited | None:
    """Count a try; a refusal once there were too many within a day.

    To be committed whatever comes of the try; `forget_tries` where a right one frees the others.
    """
    counted = await work.fetchval(
        "insert into login_throttle as t (key, failures, updated_at) values ($1, 1, $2)"
        " on conflict (key) do update set"
        " failures = case when t.updated_at > $3 then t.failures + 1 else 1 end,"
        " updated_at = case when t.updated_at > $3 then t.updated_at else $2 end"
        " where t.updated_at <= $3 or t.failures < $4 returning failures",
        tries.key,
        work.now,
        work.now - _WINDOW,
        tries.most,
    )
    if counted is not None:
        return None
    began = await work.fetchval("select updated_at from login_throttle where key = $1", tries.key)
    wait_seconds = math.ceil((began + _WINDOW - work.now).total_seconds())
    return refusals.RateLimited(retry_after_seconds=max(wait_seconds, 1))


async def give_back_try(work: UnitOfWork, tries: Tries) -> None:
    """Nothing came of the try (the hasher was busy): it doesn't count."""
    await work.execute(
        "update login_throttle set failures = greatest(failures - 1, 0) where key = $1",
        tries.key,
    )


async def forget_tries(work: UnitOfWork, tries: Tries) -> None:
    """The try was right, and what it allows is being done: all tries are free again."""
    await work.execute("delete from login_throttle where key = $1", tries.key)


async def is_of(read: Snapshot, user_id: int | None, given: Identity) -> bool:
    """Whether this user's ID was reviewed and is what was given.

    For somebody without a reviewed ID, and for nobody (None), the same work leads to False.
    """
    row = await read.fetchrow(
        "select name, id_number from users where id = $1 and kyc_level <> 'PHONE'", user_id
    )
    sealed = (row["name"], row["id_number"]) if row is not None else _decoy()
    owner = user_id if row is not None else 0
    right = given.is_of(
        name=encryption.decrypt(_OF_NAME, owner or 0, sealed[0]),
        id_number=encryption.decrypt(_OF_NUMBER, owner or 0, sealed[1]),
    )
    return right and row is not None


@lru_cache(maxsize=1)
def _decoy() -> tuple[bytes, bytes]:
    """A name and a number of nobody's, to spend the time of opening them on."""
    number = "0" * 18
    return encryption.encrypt(_OF_NAME, 0, "——"), encryption.encrypt(_OF_NUMBER, 0, number)
