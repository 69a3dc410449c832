"""Reading a table page by page, by a key that only grows: a job can go on anywhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from domain import money
from services.unit_of_work import Snapshot

Place = list[str]
"""The key of the newest row that was read, as texts."""
Rows = Sequence[asyncpg.Record]
Dicts = list[dict[str, Any]]
Opened = Callable[[Snapshot, "Owner", Rows], Awaitable[Dicts]]
Key = tuple[tuple[str, str], ...]
"""Columns and their types."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose data it is. ``account_id`` is None for whoever has no wallet."""

    user_id: int
    language: str
    phone_index: str
    account_id: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as they go into a file, and where the next page begins; None after the last."""

    rows: Dicts
    place: Place | None


Read = Callable[[Snapshot, Owner, Place | None, int], Awaitable[Page]]
NOTHING = Page([], None)
BY_ID: Key = (("id", "uuid"),)


def by_time(column: str) -> Key:
    """By an instant, and by id where two are equal."""
    return ((column, "timestamptz"), ("id", "uuid"))


def after(key: Key, first: int) -> str:
    """The condition that a row's key lies behind the place in parameters ``first`` and on."""
    columns = ", ".join(column for column, _ in key)
    values = ", ".join(f"${first + n}::text::{kind}" for n, (_, kind) in enumerate(key))
    return f"(${first}::text is null or ({columns}) > ({values}))"


def user_of(owner: Owner) -> object:
    """Most tables say whose a row is by the user's id."""
    return owner.user_id


def wallet_of(owner: Owner) -> object:
    """The ledger's say it by the account's."""
    return owner.account_id


async def plain(read: Snapshot, owner: Owner, rows: Rows) -> Dicts:
    """The columns as they are."""
    return [dict(row) for row in rows]


def table(
    select: str,
    *,
    key: Key,
    whose: Callable[[Owner], object] = user_of,
    opened: Opened = plain,
) -> Read:
    """Reads pages of ``select … where …`` (``$1`` is ``whose``), its rows opened by ``opened``.

    Whoever has nothing of the kind (``whose`` gives None) has no rows.
    """
    order = ", ".join(column for column, _ in key)

    async def read_page(read: Snapshot, owner: Owner, place: Place | None, limit: int) -> Page:
        mine = whose(owner)
        if mine is None:
            return NOTHING
        rows = await read.fetch(
            f"{select} and {after(key, 2)} order by {order} limit {int(limit)}",
            mine,
            *(place or [None] * len(key)),
        )
        return Page(await opened(read, owner, rows), next_place(rows, key, limit))

    return read_page


def next_place(rows: Rows, key: Key, limit: int) -> Place | None:
    if len(rows) < limit:
        return None
    return [_text(rows[-1][column.rpartition(".")[2]]) for column, _ in key]


def yuan(amount_minor: int | None) -> str | None:
    return None if amount_minor is None else money.from_minor(amount_minor, money.CNY)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
