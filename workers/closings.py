"""Closing the accounts whose owners asked for it a week ago. Each step may be done again."""

from __future__ import annotations

from uuid import UUID

import structlog

from domain.ledger import Outcome
from services.identity import closings
from services.ledger import desk
from services.unit_of_work import snapshot, unit_of_work

log = structlog.get_logger()


async def close_accounts() -> None:
    """Close all that are due; one that fails is tried again in the next round, the others go on."""
    async with snapshot() as read:
        due = await closings.due(read)
    for closing_id in due:
        try:
            await _close(closing_id)
        except Exception:
            log.exception("closing_failed", closing_id=str(closing_id))


async def _close(closing_id: UUID) -> None:
    """Shut the owner out, close the wallet in the ledger, then erase; or let the owner in again."""
    async with unit_of_work() as work:
        begun = await closings.begin(work, closing_id)
    if begun is None:
        return
    if begun.account_id is not None:
        receipt = await desk.post(begun.instruct())
        if receipt.outcome is not Outcome.POSTED:
            log.info("closing_called_off", closing_id=str(closing_id), why=receipt.outcome.name)
            async with unit_of_work() as work:
                await closings.call_off(work, closing_id)
            return
    async with unit_of_work() as work:
        await closings.finish(work, closing_id)
