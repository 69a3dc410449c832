"""Relay connections by keyset: a cursor is the signed sort key of a row, never an offset.

A field does this::

    return await pagination.connection(
        pagination.window(f"notices:{viewer.user_id}", first=first, last=last, after=after, ...),
        partial(notices.notice_page, viewer),
        place=nodes.number,
        key=lambda row: (row.seq,),
        node=Notice.of,
    )
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, Protocol, TypeVar

import msgspec
import strawberry
from graphql import GraphQLError

from infra import cursors

SIZE_MAX = 100
SIZE_DEFAULT = 20
_PURPOSE = "page cursors"
Key = tuple[int | str | datetime, ...]
Node = TypeVar("Node")
Row = TypeVar("Row")
_Row = TypeVar("_Row", covariant=True)
First = Annotated[
    int | None,
    strawberry.argument(description="How many from the start or behind `after`: 1 to 100."),
]
Last = Annotated[
    int | None,
    strawberry.argument(description="How many from the end or ahead of `before`: 1 to 100."),
]
After = Annotated[
    str | None, strawberry.argument(description="The cursor behind which the page starts.")
]
Before = Annotated[
    str | None, strawberry.argument(description="The cursor ahead of which the page ends.")
]


@strawberry.type(description="Where a page of a connection lies.")
class PageInfo:
    """By the Relay specification."""

    has_next_page: bool = strawberry.field(description="Whether more follow after this page.")
    has_previous_page: bool = strawberry.field(description="Whether more come before this page.")
    start_cursor: str | None = strawberry.field(description="The cursor of the first edge.")
    end_cursor: str | None = strawberry.field(description="The cursor of the last edge.")


@strawberry.type(description="One element of a connection, with its cursor.")
class Edge(Generic[Node]):
    """By the Relay specification."""

    node: Node = strawberry.field(description="The element itself.")
    cursor: str = strawberry.field(description="Opaque; valid for the same list and filter only.")


@strawberry.type(description="A page of a longer list.")
class Connection(Generic[Node]):
    """By the Relay specification."""

    edges: list[Edge[Node]] = strawberry.field(description="The elements of this page, in order.")
    page_info: PageInfo = strawberry.field(description="Where this page lies.")


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows to read: `limit` of them strictly between `after` and `before`.

    They are read in the list's order, or from its end backwards if `backwards`. `limit` is one
    more than the page's size: the extra row tells whether there are more.
    """

    scope: bytes
    size: int
    backwards: bool
    after: Key | None
    before: Key | None

    @property
    def limit(self) -> int:
        return self.size + 1


def window(
    connection: str,
    filters: Mapping[str, Any] | None = None,
    *,
    first: int | None = None,
    last: int | None = None,
    after: str | None = None,
    before: str | None = None,
) -> Window:
    """The window of Relay's four arguments.

    `connection` names the list and whose it is (``f"transactions:{wallet_id}"``), `filters` what
    narrows it: a cursor is refused anywhere else. GraphQLError (BAD_USER_INPUT) for a size outside
    1 to 100, both sizes at once, or a cursor that isn't ours.
    """
    if first is not None and last is not None:
        raise _bad("Give either `first` or `last`.")
    size = first if first is not None else last if last is not None else SIZE_DEFAULT
    if not 1 <= size <= SIZE_MAX:
        raise _bad(f"A page has 1 to {SIZE_MAX} elements.")
    scope = hashlib.sha256(
        msgspec.msgpack.encode((connection, filters or {}), order="sorted")
    ).digest()
    return Window(
        scope=scope,
        size=size,
        backwards=last is not None,
        after=_open(scope, after) if after is not None else None,
        before=_open(scope, before) if before is not None else None,
    )


class Reader(Protocol[_Row]):
    """Reads the rows of a window: at most `limit`, strictly between the places."""

    def __call__(
        self, *, limit: int, after: Any, before: Any, backwards: bool
    ) -> Awaitable[Sequence[_Row]]: ...


def page(
    rows: Sequence[Row],
    window: Window,
    *,
    key: Callable[[Row], Key],
    node: Callable[[Row], Node],
) -> Connection[Node]:
    """The connection of the rows read for `window`, as read (up to `limit`, maybe backwards).

    `key` gives a row's sort key: integers, texts and aware datetimes, unique within the list.
    """
    more = len(rows) > window.size
    kept = list(rows[: window.size])
    if window.backwards:
        kept.reverse()
    edges = [Edge(node=node(row), cursor=_seal(window.scope, key(row))) for row in kept]
    return Connection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=window.before is not None if window.backwards else more,
            has_previous_page=more if window.backwards else window.after is not None,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
    )


async def connection(
    window: Window,
    read: Reader[Row],
    *,
    place: Callable[[Key | None], Any] = lambda key: key,
    key: Callable[[Row], Key],
    node: Callable[[Row], Node],
) -> Connection[Node]:
    """The page of a window, read by `read`. `place` is the inverse of `key`, as `read` wants it."""
    rows = await read(
        limit=window.limit,
        after=place(window.after),
        before=place(window.before),
        backwards=window.backwards,
    )
    return page(rows, window, key=key, node=node)


def _seal(scope: bytes, key: Key) -> str:
    return cursors.seal(_PURPOSE, scope, msgspec.msgpack.encode(key))


def _open(scope: bytes, cursor: str) -> Key:
    payload = cursors.unseal(_PURPOSE, scope, cursor)
    if payload is None:
        raise _bad("This cursor does not belong to this list.")
    return tuple(msgspec.msgpack.decode(payload))


def _bad(message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": "BAD_USER_INPUT"})
