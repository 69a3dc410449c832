"""Event streams: an account's postings, a payment's steps, a user's notices, each numbered.

Data and resuming come from PostgreSQL. Valkey only hints that there is something to read; the
sweep finds what a lost hint did not tell.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from functools import lru_cache
from uuid import UUID

import msgspec

from domain.refusals import InvalidInput
from infra import hints, settings
from services.unit_of_work import Snapshot

_MAC_BYTES = 10


class Position(msgspec.Struct, frozen=True, array_like=True):
    """A place in one stream. ``epoch`` is the database's: after a restore old places mean nothing.

    ``number`` is the stream's own sequence; ``at_us`` (account streams) the posting's time in
    microseconds, because that is what postings are stored by.
    """

    epoch: bytes
    number: int
    at_us: int = 0


@lru_cache(maxsize=4)
def _key(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"event cursors", "sha256")


def _mac(topic: str, payload: bytes) -> bytes:
    key = _key(settings.get_settings().cursor_key.get_secret_value())
    return hmac.digest(key, topic.encode() + b"\0" + payload, "sha256")[:_MAC_BYTES]


def seal(topic: str, position: Position) -> str:
    """The cursor that a client gets; good for this topic only."""
    payload = msgspec.msgpack.encode(position)
    return base64.urlsafe_b64encode(_mac(topic, payload) + payload).rstrip(b"=").decode()


def unseal(topic: str, cursor: str) -> Position:
    """The place a client hands back. Raises InvalidInput for a cursor that is not this topic's."""
    try:
        sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(path=("after",)) from None
    if not hmac.compare_digest(sealed[:_MAC_BYTES], _mac(topic, sealed[_MAC_BYTES:])):
        raise InvalidInput(path=("after",))
    return msgspec.msgpack.decode(sealed[_MAC_BYTES:], type=Position)


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
