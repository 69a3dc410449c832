"""Event streams: an account's postings, a payment's steps, a user's notices, each numbered.

Data and resuming come from PostgreSQL. Valkey only hints that there is something to read; the
sweep finds what a lost hint did not tell.
"""

from __future__ import annotations

from uuid import UUID

import msgspec

from domain.refusals import InvalidInput
from infra import cursors, hints
from services.unit_of_work import Snapshot

_PURPOSE = "event cursors"


class Position(msgspec.Struct, frozen=True, array_like=True):
    """A place in one stream. ``epoch`` is the database's: after a restore old places mean nothing.

    ``number`` is the stream's own sequence; ``at_us`` (account streams) the posting's time in
    microseconds, because that is what postings are stored by.
    """

    epoch: bytes
    number: int
    at_us: int = 0


def seal(topic: str, position: Position) -> str:
    """The cursor that a client gets; good for this topic only."""
    return cursors.seal(_PURPOSE, _scope(topic), msgspec.msgpack.encode(position))


def unseal(topic: str, cursor: str) -> Position:
    """The place a client hands back. Raises InvalidInput for a cursor that is not this topic's."""
    payload = cursors.unseal(_PURPOSE, _scope(topic), cursor)
    if payload is None:
        raise InvalidInput(path=("after",))
    return msgspec.msgpack.decode(payload, type=Position)


def _scope(topic: str) -> bytes:
    return topic.encode() + b"\0"


async def epoch(read: Snapshot) -> bytes:
    """The database's epoch, 16 bytes."""
    return (await read.fetchval("select epoch from ledger.city")).bytes


async def sweep(read: Snapshot, known: dict[str, int]) -> None:
    """Wake every watched topic whose number grew unheard. ``known`` remembers between calls."""
    topics = hints.current().watched()
    numbers = await _numbers(read, topics)
    for topic in list(known):
        if topic not in numbers:
            del known[topic]
    for topic, number in numbers.items():
        if known.get(topic, -1) != number:
            known[topic] = number
            hints.current().wake(topic)


_SOURCES = {
    "account": ("select id, seq from ledger.account where id = any($1::bigint[])", int),
    "payment": (
        "select id, cardinality(step_states) from ledger.payment where id = any($1::uuid[])",
        UUID,
    ),
    "notices": ("select user_id, seq from notice_stream where user_id = any($1::bigint[])", int),
    "user": ("select id, version from users where id = any($1::bigint[])", int),
}


async def _numbers(read: Snapshot, topics: list[str]) -> dict[str, int]:
    """The newest number of each topic that is ``<source>:<id>``; one query per source."""
    wanted: dict[str, list[int | UUID]] = {}
    for topic in topics:
        source, _, key = topic.partition(":")
        if source in _SOURCES:
            wanted.setdefault(source, []).append(_SOURCES[source][1](key))
    numbers: dict[str, int] = {}
    for source, keys in wanted.items():
        for key, number in await read.fetch(_SOURCES[source][0], keys):
            numbers[f"{source}:{key}"] = number
    return numbers
