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
    """Expire what is overdue. The key is the payment's id, so running twice at once is harmless."""
    async with snapshot() as read:
        overdue = await payments.overdue(read)
    for receipt in await asyncio.gather(*(desk.post(instruction) for instruction in overdue)):
        if receipt.outcome not in _HARMLESS:
            log.error("payment_not_expired", outcome=receipt.outcome.name)
