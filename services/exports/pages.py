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


NOTHING = Page([], None)
BY_ID: Key = (("id", "uuid"),)


def after(key: Key, first: int) -> str:
    """The condition that a row's key lies behind the place in parameters ``first`` and on."""
    columns = ", ".join(column for column, _ in key)
    values = ", ".join(f"${first + n}::text::{kind}" for n, (_, kind) in enumerate(key))
    return f"(${first}::text is null or ({columns}) > ({values}))"


async def page(
    read: Snapshot,
    owner: Owner,
    place: Place | None,
    limit: int,
    *,
    select: str,
    whose: object,
    key: Key,
    opened: Opened,
) -> Page:
    """A page of ``select … where …`` (``$1`` is ``whose``), its rows opened by ``opened``."""
    if whose is None:
        return NOTHING
    order = ", ".join(column for column, _ in key)
    rows = await read.fetch(
        f"{select} and {after(key, 2)} order by {order} limit {int(limit)}",
        whose,
        *(place or [None] * len(key)),
    )
    return Page(await opened(read, owner, rows), next_place(rows, key, limit))


def next_place(rows: Rows, key: Key, limit: int) -> Place | None:
    if len(rows) < limit:
        return None
    return [_text(rows[-1][column.rpartition(".")[2]]) for column, _ in key]


async def plain(read: Snapshot, owner: Owner, rows: Rows) -> Dicts:
    """The columns as they are."""
    return [dict(row) for row in rows]


def yuan(amount_minor: int | None) -> str | None:
    return None if amount_minor is None else money.from_minor(amount_minor, money.CNY)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
