"""Topping up from a linked card, and what the bank calls back with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import structlog

from domain import inputs, refusals
from domain import topups as rules
from infra import bank, settings
from resolvers.viewer import SIGNED_IN, Viewer, access
from resolvers.wallets import RESIDENT, account_of
from services import topups, wallets
from services.topups import TopUp
from services.unit_of_work import snapshot, unit_of_work

log = structlog.get_logger()


@access(RESIDENT)
async def create_top_up(viewer: Viewer, *, card_id: UUID, amount_minor: int, key: str) -> TopUp:
    """Ask for money from a card of the caller's; it is PROCESSING until the bank has decided.

    Raises InvalidInput, NotFound (no such card of the caller's), IdempotencyKeyReused.
    """
    inputs.check_key(key)
    if not rules.AMOUNT_MIN_MINOR <= amount_minor <= rules.AMOUNT_MAX_MINOR:
        raise refusals.InvalidInput(
            path=("input", "amount", "amount"),
            en="A top-up is at most 50,000.00.",
            zh="单笔充值不超过50,000.00元。",
        )
    async with unit_of_work() as work:
        repeated = await topups.by_key(work, user_id=viewer.user_id, key=key)
        if repeated is None and await wallets.usable_card(work, viewer.user_id, card_id) is None:
            raise refusals.NotFound(path=("input", "bankCardId"))
        return await topups.request(
            work,
            user_id=viewer.user_id,
            account_id=account_of(viewer),
            card_id=card_id,
            amount_minor=amount_minor,
            key=key,
        )


@access(SIGNED_IN)
async def top_ups(
    viewer: Viewer,
    *,
    limit: int,
    after: tuple[datetime, UUID] | None,
    before: tuple[datetime, UUID] | None,
    backwards: bool,
) -> list[TopUp]:
    """The caller's top-ups, newest first."""
    async with snapshot() as read:
        return await topups.page(
            read, viewer.user_id, limit=limit, after=after, before=before, backwards=backwards
        )


@access(SIGNED_IN)
async def by_ids(viewer: Viewer, ids: list[UUID]) -> dict[UUID, TopUp]:
    """Those of the top-ups that are the caller's."""
    async with snapshot() as read:
        return await topups.by_ids(read, viewer.user_id, ids)


async def bank_called(headers: Mapping[str, str], body: bytes, path: str) -> int:
    """A callback of the bank; the HTTP status to answer. Whoever can sign is the bank.

    The event is only kept here: what it says is never acted on, the bank is asked instead.
    """
    secret = settings.get_settings().bank_callback_secret.get_secret_value()
    try:
        event = bank.verify_callback(headers, body, path=path, secret=secret, now=datetime.now(UTC))
    except bank.BadSignature:
        log.warning("bank_callback_not_signed")
        return 401
    except bank.MalformedEvent:
        log.error("bank_callback_unreadable")
        return 422
    async with unit_of_work() as work:
        await topups.keep_event(work, event)
    return 204
