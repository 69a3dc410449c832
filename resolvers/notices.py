"""A caller's own notices: read, marked as read, followed; and where else they are told."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from uuid import UUID

from domain import refusals
from domain.notices import NoticeChannel, NoticeGroup, PushPlatform
from resolvers import live
from resolvers.live import Event, Gap
from resolvers.viewer import SIGNED_IN, Viewer, access
from services import notice_channels, notices
from services.notice_channels import Preferences
from services.notices import Notice
from services.unit_of_work import snapshot, unit_of_work

_SEQ_MAX = 2**53
_TOKEN = re.compile(r"[!-~]{8,4096}")


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


@access(SIGNED_IN)
async def preferences(viewer: Viewer) -> Preferences:
    """On which channels the caller is told of each group of notices."""
    async with snapshot() as read:
        return await notice_channels.preferences(read, viewer.user_id)


@access(SIGNED_IN)
async def set_preference(
    viewer: Viewer, *, group: NoticeGroup, channel: NoticeChannel, enabled: bool
) -> Preferences:
    """Switch a channel of a group on or off; all preferences as of after it.

    Raises NoticeMandatory.
    """
    async with unit_of_work() as work:
        await notice_channels.prefer(
            work, user_id=viewer.user_id, group=group, channel=channel, enabled=enabled
        )
        return await notice_channels.preferences(work, viewer.user_id)


@access(SIGNED_IN)
async def register_push_token(viewer: Viewer, *, token: str, platform: PushPlatform) -> None:
    """Send push messages to the app of the caller's session, as long as that goes on.

    Raises InvalidInput.
    """
    if _TOKEN.fullmatch(token) is None:
        raise refusals.InvalidInput(path=("input", "token"))
    assert viewer.session_id is not None, "a signed-in caller has a session"
    async with unit_of_work() as work:
        await notice_channels.register_token(
            work,
            user_id=viewer.user_id,
            session_id=viewer.session_id,
            token=token,
            platform=platform,
        )


@access(SIGNED_IN)
async def remove_push_token(viewer: Viewer, *, token: str) -> None:
    """Send no more push messages to the caller's app with this token; also if none were sent."""
    async with unit_of_work() as work:
        await notice_channels.remove_token(work, user_id=viewer.user_id, token=token)
