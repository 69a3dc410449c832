"""What follows from postings: notices, reviews of refunds, cases of frozen wallets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services import notices, risk_cases
from services.unit_of_work import unit_of_work


async def notify_postings(rows: Sequence[Mapping[str, Any]]) -> None:
    """Handle outbox rows that number postings, all at once; again at any time, to the same end."""
    async with unit_of_work() as work:
        frozen = await notices.notify_postings(work, rows)
    if frozen:
        # By itself: cases lock users' streams one by one, after the notices' locks are gone.
        async with unit_of_work() as work:
            await risk_cases.follow(work, frozen)
