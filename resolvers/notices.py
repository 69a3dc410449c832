"""A caller's own notices: read, marked as read, followed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from uuid import UUID

from domain import refusals
from resolvers import live
from resolvers.live import Event, Gap
from resolvers.viewer import SIGNED_IN, Viewer, access
from services import notices
from services.notices import Notice
from services.unit_of_work import snapshot, unit_of_work

_SEQ_MAX = 2**53


@access(SIGNED_IN)
async def notice_page(
    viewer: Viewer, *, limit: int, after: int | None, before: int | None, backwards: bool
) -> list[Notice]:
    """The caller's notices between two numbers, newest first."""
    async with snapshot() as read:
        return await notices.page(
            read, viewer.user_id, limit=limit, after=after, before=before, backwards=backwards
        )


@access(SIGNED_IN)
async def notices_by_ids(viewer: Viewer, notice_ids: Sequence[UUID]) -> dict[UUID, Notice]:
    """Those of the notices that are the caller's."""
    async with snapshot() as read:
        return await notices.by_ids(read, viewer.user_id, notice_ids)


@access(SIGNED_IN)
async def unread_count(viewer: Viewer) -> int:
    """How many notices the caller has not read; 100 stands for 100 or more."""
    async with snapshot() as read:
        return await notices.unread_count(read, viewer.user_id)


@access(SIGNED_IN)
async def mark_read(viewer: Viewer, *, up_to_sequence: int) -> int:
    """The caller has read the notices up to a number; how many are unread now.

    Raises InvalidInput.
    """
    if not 0 < up_to_sequence < _SEQ_MAX:
        raise refusals.InvalidInput(path=("input", "upToSequence"))
    async with unit_of_work() as work:
        await notices.mark_read(work, viewer.user_id, up_to_sequence)
        return await notices.unread_count(work, viewer.user_id)


@access(SIGNED_IN)
def notice_events(viewer: Viewer, *, after: str | None) -> AsyncGenerator[Event[Notice] | Gap]:
    """The caller's notices behind a cursor, each once and in order, then the new ones."""
    user_id = viewer.user_id
    return live.follow(
        f"notices:{user_id}",
        after,
        newest=lambda read: notices.newest(read, user_id),
        read=lambda read, place: notices.events(read, user_id, place),
    )
