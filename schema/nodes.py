"""`node` and `nodes`: any object by its global id, if it is the caller's to see.

A noun takes part by letting its type derive from `Node` and naming its loader::

    nodes.loads("Payment", load_payments)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import strawberry
from strawberry.dataloader import DataLoader

from domain import refusals as no
from resolvers import nodes
from schema import fields, ids, pagination
from schema.context import Info

_LOADS: dict[str, nodes.Load] = {}
_Key = TypeVar("_Key")


@strawberry.interface(description="An object with a global id.")
class Node:
    """By the Relay specification."""

    id: strawberry.ID = strawberry.field(description="Its global id.")


def loads(kind: str, load: nodes.Load) -> None:
    """Have `load(viewer, keys)` give the objects of a type, by key; what it omits is null."""
    _LOADS[kind] = load


def uuids(keys: Iterable[str]) -> list[UUID]:
    """The keys that are UUIDs; others name nothing."""
    found = []
    for key in keys:
        try:
            found.append(UUID(key))
        except ValueError:
            continue
    return found


def uuid_of(id: str, kind: str) -> UUID | None:
    """The UUID inside a global id of this type; None for any other text."""
    key = ids.decode(id, kind)
    made = uuids([key]) if key is not None else []
    return made[0] if made else None


def user_of(id: str, *path: str) -> int:
    """The number in a user's global id. Raises NotFound for any other text."""
    key = ids.decode(id, "User")
    if key is None or not key.isdecimal() or len(key) > 19 or int(key) >= 2**63:
        raise no.NotFound(path=path)
    return int(key)


def time_and_uuid(key: pagination.Key | None) -> tuple[datetime, UUID] | None:
    """A page cursor's key of a list that is sorted by time and UUID."""
    if key is None:
        return None
    at, text = key
    assert isinstance(at, datetime)
    return at, UUID(str(text))


def number(key: pagination.Key | None) -> int | None:
    """A page cursor's key of a list that is sorted by a number."""
    if key is None:
        return None
    [found] = key
    assert isinstance(found, int)
    return found


def together(
    info: Info, name: str, load: Callable[[list[_Key]], Awaitable[Any]], key: _Key
) -> Awaitable[Any]:
    """What `load(keys)` (a dict) gives for a key, all keys of one execution step in one call."""
    loaders = info.context.loaders
    if name not in loaders:

        async def batch(keys: list[_Key]) -> list[Any]:
            found = await load(keys)
            return [found.get(one) for one in keys]

        loaders[name] = DataLoader(load_fn=batch)
    return loaders[name].load(key)


@strawberry.type
class NodeQuery:
    """Relay's two fields."""

    @fields.query_field(
        calls=nodes.found,
        description="The object with this id; null if there is none or it isn't the caller's.",
        arguments={"id": "A global id."},
    )
    async def node(self, info: Info, id: strawberry.ID) -> Node | None:
        [one] = await nodes.found(info.context.viewer, [ids.parse(id)], _LOADS)
        return one

    @fields.query_field(
        calls=nodes.found,
        description="The objects with these ids, at most 100, in their order; null where there is "
        "none or it isn't the caller's.",
        arguments={"ids": "Global ids, 100 at most."},
    )
    async def nodes(self, info: Info, ids: list[strawberry.ID]) -> list[Node | None]:
        return await nodes.found(info.context.viewer, [_parse(id) for id in ids], _LOADS)


_parse = ids.parse
