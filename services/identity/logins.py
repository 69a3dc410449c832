"""Proving who one is by password, slowly for whoever guesses.

A try is counted, and committed, before the password is hashed; success takes it back. So a hundred
guesses at once are as slow as a hundred one after the other, and nobody is locked out for good.

Where somebody has signed in before, tries are counted apart from those of the rest of the world, as
are those of somebody who is signed in: a stranger who keeps guessing doesn't keep the owner out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import asyncpg

from domain import refusals
from domain.identity import (
    LOGIN_FORGET_SECONDS,
    LOGIN_FREE_TRIES_PER_ADDRESS,
    LOGIN_FREE_TRIES_PER_PHONE,
    Status,
    login_delay_seconds,
    network,
)
from infra import encryption
from services import people
from services.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Attempt:
    """A counted try. ``stored`` is None when nobody has the phone: hash all the same.

    ``key`` and ``address_key`` are where it was counted; ``changed_at`` is the password's.
    """

    user_id: int | None
    status: Status | None
    stored: str | None = field(repr=False)
    key: str
    address_key: str
    changed_at: datetime | None = None


async def begin(work: UnitOfWork, *, phone: str, address: str) -> Attempt:
    """Count a try for a phone (E.164) from an address. Raises RateLimited."""
    index = people.phone_index(phone)
    place_key = _place_key(index, address)
    known = await work.fetchval(
        "select exists (select from login_throttle where key = $1)", place_key
    )
    key = place_key if known else _phone_key(index)
    return await _begin(work, index, key=key, address=address)


async def begin_for_user(work: UnitOfWork, *, user_id: int, address: str) -> Attempt:
    """The same for somebody signed in who has to show the password again. Raises RateLimited."""
    index = await work.fetchval("select phone_index from users where id = $1", user_id)
    return await _begin(work, index, key=_user_key(user_id), address=address)


async def begin_at_address(work: UnitOfWork, *, address: str) -> str:
    """Count a try at something else that can be guessed, together with the address's logins.

    The key for `succeed_at_address`. Raises RateLimited.
    """
    key = _address_key(address)
    rows = await _lock(work, [key])
    await _count(work, rows[key], free_tries=LOGIN_FREE_TRIES_PER_ADDRESS)
    return key


async def succeed_at_address(work: UnitOfWork, address_key: str) -> None:
    """It was right: this try of the address doesn't count."""
    await work.execute(
        "update login_throttle set failures = greatest(failures - 1, 0) where key = $1", address_key
    )


async def hold(work: UnitOfWork, user_id: int, *, phone_index: str, address_key: str) -> None:
    """Lock what `forget_failures` and `succeed_at_address` write, before anything else is locked.

    All who count tries take these rows first, and in one order.
    """
    await _lock(work, [_user_key(user_id), _phone_key(phone_index), address_key])


async def forget_failures(work: UnitOfWork, user_id: int, *, phone_index: str) -> None:
    """The password is another now: whoever guessed the old one delays its owner no longer."""
    await work.execute(
        "update login_throttle set failures = 0, blocked_until = null where key = any($1::text[])",
        [_user_key(user_id), _phone_key(phone_index)],
    )


async def succeed(work: UnitOfWork, attempt: Attempt, *, new_hash: str | None = None) -> None:
    """The password was right: forget the failures, and this one of the address.

    ``new_hash`` replaces the stored one, when its cost or scheme was out of date. Raises
    WrongCredentials if the password was changed while this one was compared: it opens nothing more.
    """
    await _lock(work, [attempt.key, attempt.address_key])
    await _ensure_current(work, attempt)
    await work.execute(
        "update login_throttle set failures = greatest(failures - 1, 0) where key = $1",
        attempt.address_key,
    )
    await work.execute(
        "update login_throttle set failures = 0, blocked_until = null, updated_at = $2"
        " where key = $1",
        attempt.key,
        work.now,
    )
    if new_hash is not None:
        await work.execute(
            "update users set password_hash = $3 where id = $1 and password_hash = $2",
            attempt.user_id,
            attempt.stored,
            new_hash,
        )


async def _ensure_current(work: UnitOfWork, attempt: Attempt) -> None:
    """Changes of the password wait for this unit of work, so that they end what it lets in."""
    changed_at = await work.fetchval(
        "select password_changed_at from users where id = $1 for no key update", attempt.user_id
    )
    if changed_at != attempt.changed_at:
        raise refusals.WrongCredentials


async def know_place(work: UnitOfWork, user_id: int, *, address: str) -> None:
    """Somebody has signed in from there, with both factors: its tries are counted apart now on."""
    index = await work.fetchval("select phone_index from users where id = $1", user_id)
    await work.execute(
        "insert into login_throttle(key, updated_at) values ($1, $2)"
        " on conflict (key) do update set updated_at = excluded.updated_at",
        _place_key(index, address),
        work.now,
    )


async def withdraw(work: UnitOfWork, attempt: Attempt) -> None:
    """This try doesn't count (nothing was compared, say). A delay that it caused stays."""
    keys = [attempt.key, attempt.address_key]
    await _lock(work, keys)
    await work.execute(
        "update login_throttle set failures = greatest(failures - 1, 0)"
        " where key = any($1::text[])",
        keys,
    )


def _place_key(index: str, address: str) -> str:
    return encryption.blind_index("login place", f"{index} {network(address)}")


def _phone_key(index: str) -> str:
    return encryption.blind_index("login phone", index)


def _user_key(user_id: int) -> str:
    return encryption.blind_index("login user", str(user_id))


def _address_key(address: str) -> str:
    return encryption.blind_index("login address", network(address))


async def _begin(work: UnitOfWork, index: str, *, key: str, address: str) -> Attempt:
    address_key = _address_key(address)
    rows = await _lock(work, [key, address_key])
    await _count(work, rows[key], free_tries=LOGIN_FREE_TRIES_PER_PHONE)
    await _count(work, rows[address_key], free_tries=LOGIN_FREE_TRIES_PER_ADDRESS)
    # A phone that nobody has finds its neighbour's row, which is as much work as finding its own.
    found = await work.fetchrow(
        "select id, status, password_hash, password_changed_at, phone_index = $1 as theirs"
        " from users where phone_index >= $1 order by phone_index limit 1",
        index,
    )
    user = found if found is not None and found["theirs"] else None
    return Attempt(
        user_id=user["id"] if user else None,
        status=Status(user["status"]) if user else None,
        stored=user["password_hash"] if user else None,
        key=key,
        address_key=address_key,
        changed_at=user["password_changed_at"] if user else None,
    )


async def _lock(work: UnitOfWork, keys: list[str]) -> dict[str, asyncpg.Record]:
    """The rows of the keys, locked in the order of the keys, so that nobody waits in a circle."""
    await work.execute(
        "insert into login_throttle(key, updated_at)"
        " select k, $2 from unnest($1::text[]) k order by k on conflict do nothing",
        keys,
        work.now,
    )
    rows = await work.fetch(
        "select key, failures, blocked_until, updated_at from login_throttle"
        " where key = any($1::text[]) order by key for update",
        keys,
    )
    return {row["key"]: row for row in rows}


async def _count(work: UnitOfWork, row: asyncpg.Record, *, free_tries: int) -> None:
    if row["blocked_until"] is not None and row["blocked_until"] > work.now:
        wait_seconds = math.ceil((row["blocked_until"] - work.now).total_seconds())
        raise refusals.RateLimited(retry_after_seconds=wait_seconds)
    forgotten = row["updated_at"] < work.now - timedelta(seconds=LOGIN_FORGET_SECONDS)
    failures = 1 if forgotten else row["failures"] + 1
    delay = timedelta(seconds=login_delay_seconds(failures, free_tries=free_tries))
    await work.execute(
        "update login_throttle set failures = $2, blocked_until = $3, updated_at = $4"
        " where key = $1",
        row["key"],
        failures,
        work.now + delay if delay else None,
        work.now,
    )
