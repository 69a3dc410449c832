"""Closing payments that nobody confirmed in time."""

from __future__ import annotations

import asyncio

import structlog

from domain.ledger import Outcome
from services import payments
from services.ledger import desk
from services.unit_of_work import snapshot

log = structlog.get_logger()
_HARMLESS = {Outcome.POSTED, Outcome.WRONG_STATE}  # the payer confirmed or cancelled meanwhile


async def expire_payments() -> None:
    """Expire all that is overdue. The key is the payment's id: twice at once is harmless."""
    while await _expire_some():
        pass


async def _expire_some() -> bool:
    """Expire the oldest; whether there may be more. What can't be expired ends the round."""
    async with snapshot() as read:
        overdue = await payments.overdue(read)
    receipts = await asyncio.gather(*(desk.post(instruction) for instruction in overdue))
    wrong = [receipt.outcome.name for receipt in receipts if receipt.outcome not in _HARMLESS]
    for outcome in wrong:
        log.error("payment_not_expired", outcome=outcome)
    return len(overdue) == payments.EXPIRED_AT_ONCE_MAX and not wrong
