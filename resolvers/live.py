"""Following a stream for a subscription: read, wait for a hint, read again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from domain.refusals import Overloaded
from infra import hints
from services import live
from services.live import Position
from services.unit_of_work import Snapshot, snapshot

T = TypeVar("T")
_RETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Event(Generic[T]):
    """One event of a stream: its cursor, its number in the stream, and what it is about."""

    cursor: str
    sequence: int
    subject: T


class Gap:
    """The cursor is of before a restore: read the state anew and follow from there."""


async def follow(
    topic: str,
    after: str | None,
    *,
    newest: Callable[[Snapshot], Awaitable[Position]],
    read: Callable[[Snapshot, Position], Awaitable[list[tuple[Position, T]]]],
) -> AsyncGenerator[Event[T] | Gap]:
    """All events of ``topic`` behind ``after`` (without it: from now on), each once, in order.

    ``newest`` gives the place of the newest event; ``read`` a bounded number of events behind a
    place. The topic is watched before the first read, so nothing falls between. A stream that
    has begun outlives a restart of PostgreSQL: clients take an error for the end of it.
    """
    wake = hints.current().watch(topic)
    try:
        async with snapshot() as view:
            epoch = await live.epoch(view)
            place = live.unseal(topic, after) if after is not None else await newest(view)
        if place.epoch != epoch:
            yield Gap()
            return
        while True:
            wake.clear()
            try:
                async with snapshot() as view:
                    events = await read(view, place)
            except Overloaded:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            for place, subject in events:
                yield Event(live.seal(topic, place), place.number, subject)
            if not events:
                await wake.wait()
    finally:
        hints.current().unwatch(topic, wake)
