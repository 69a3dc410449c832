"""What all subscriptions share: the event that says that events are missing, and the loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any, TypeVar

import strawberry

from resolvers.live import Event, Gap
from schema.scalars import EventCursor

_TEXTS = {
    "zh": "部分事件已无法补发，请重新读取最新状态后再订阅。",
    "en": "Some events can't be sent again. Read the state anew, then subscribe without `after`.",
}
_Subject = TypeVar("_Subject")
After = Annotated[
    EventCursor | None,
    strawberry.argument(description="The cursor of the last event that the client has."),
]


@strawberry.type(description="The cursor is from before a restore: read the state anew.")
class EventsGap:
    """Ends the stream that it appears in."""

    resync_from: datetime | None = strawberry.field(
        description="From when on what the client holds may differ; null: all of it may."
    )
    message: str = strawberry.field(description="For people, in the caller's language.")

    @classmethod
    def of(cls, language: str) -> EventsGap:
        return cls(resync_from=None, message=_TEXTS["zh" if language.startswith("zh") else "en"])


async def events(
    stream: AsyncGenerator[Event[_Subject] | Gap],
    language: str,
    *,
    make: Callable[[EventCursor, int, _Subject], Any],
) -> AsyncGenerator[Any]:
    """The events of a resolver's stream as GraphQL objects; ``make(cursor, sequence, subject)``.

    Closing this closes the stream at once, so nobody goes on watching for a client that left.
    """
    async with aclosing(stream):
        async for event in stream:
            if isinstance(event, Gap):
                yield EventsGap.of(language)
            else:
                yield make(EventCursor(event.cursor), event.sequence, event.subject)
