"""Reviewing refunds: facts for finance, and approval where a signed policy covers the case."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import structlog

from domain.ledger import CITY_ACTOR_ID, Outcome
from services import refund_reviews, refunds
from services.ledger import desk
from services.unit_of_work import unit_of_work

log = structlog.get_logger()
# Decided or ended meanwhile, or the signer turned out to be a party: finance has it anyway.
_LEFT_TO_FINANCE = {Outcome.WRONG_STATE, Outcome.OUTSIDE_POLICY, Outcome.REVIEWER_IS_PARTY}


async def review_refund(args: dict[str, Any]) -> None:
    """Gather the facts, and approve if a policy covers the case. ``args``: ``refund_id``."""
    async with unit_of_work() as work:
        found = await refund_reviews.review(work, UUID(args["refund_id"]))
    if found is None or found[1].policy_id is None:
        return
    refund, review = found
    outcome = Outcome.INSUFFICIENT_FUNDS
    for advanced in (False, True):
        instruction = refunds.approve(
            refund,
            actor_id=CITY_ACTOR_ID,
            key=f"policy:{refund.id}{':advance' if advanced else ''}",
            policy_id=review.policy_id,
            advanced=advanced,
        )
        outcome = (await desk.post(instruction)).outcome
        if outcome is not Outcome.INSUFFICIENT_FUNDS:
            break
    if outcome is not Outcome.POSTED and outcome not in _LEFT_TO_FINANCE:
        log.error("refund_not_approved", outcome=outcome.name, refund_id=str(refund.id))
