"""A caller's own history and the stream of what is added to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from domain.transactions import Filter
from resolvers import live
from resolvers.live import Event, Gap
from resolvers.viewer import SIGNED_IN, Viewer, access
from resolvers.wallets import HOLDER, account_of
from services import counterparties
from services.counterparties import Counterparty
from services.ledger import reading
from services.ledger.reading import Key, Posting
from services.unit_of_work import Snapshot, snapshot


@access(SIGNED_IN)
async def transactions(
    viewer: Viewer,
    narrow: Filter,
    *,
    limit: int,
    after: Key | None,
    before: Key | None,
    backwards: bool,
) -> list[Posting]:
    """The caller's transactions, newest first (oldest first if ``backwards``)."""
    if viewer.account_id is None:
        return []
    async with snapshot() as read:
        return await reading.history(
            read,
            viewer.account_id,
            narrow,
            limit=limit,
            after=after,
            before=before,
            backwards=backwards,
        )


@access(SIGNED_IN)
async def by_keys(viewer: Viewer, keys: list[Key]) -> dict[Key, Posting]:
    """The caller's own transactions at these places."""
    if viewer.account_id is None:
        return {}
    async with snapshot() as read:
        return await reading.postings(read, viewer.account_id, keys)


@access(SIGNED_IN)
async def counterparties_of(viewer: Viewer, account_ids: list[int]) -> dict[int, Counterparty]:
    """The parties behind accounts that the caller's own transactions name."""
    async with snapshot() as read:
        return await counterparties.of_accounts(read, account_ids)


@access(SIGNED_IN)
async def memos(viewer: Viewer, entry_ids: list[UUID]) -> dict[UUID, str]:
    """The words that go with entries which the caller's own transactions or payments name."""
    async with snapshot() as read:
        return await reading.memos(read, entry_ids)


@access(HOLDER)
async def transaction_events(
    viewer: Viewer, *, after: str | None
) -> AsyncGenerator[Event[Posting] | Gap]:
    """The caller's transactions behind a cursor (without it: from now on) as they are posted."""
    account_id = account_of(viewer)

    async def read_postings(
        read: Snapshot, place: live.Position
    ) -> list[tuple[live.Position, Posting]]:
        return await reading.events(read, account_id, place)

    stream = live.follow(
        f"account:{account_id}",
        after,
        newest=lambda read: reading.newest(read, account_id),
        read=read_postings,
    )
    async with aclosing(stream):
        async for event in stream:
            yield event
