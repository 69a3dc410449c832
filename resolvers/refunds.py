"""Who may ask for a refund, decide one, and sign for the city."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from domain import inputs, ledger, refusals
from domain import refunds as rules
from domain.identity import Role
from domain.ledger import Outcome, Receipt
from domain.refunds import Decision
from resolvers.viewer import SIGNED_IN, Viewer, access, elevated, ensure_elevated, staff
from resolvers.wallets import RESIDENT, account_of
from services import audit, refund_reviews, refunds
from services.ledger import desk
from services.refund_reviews import QueueItem, SignedPolicy
from services.refunds import Key, Refund
from services.unit_of_work import snapshot, unit_of_work

_FINANCE = staff(Role.FINANCE)
_FINANCE_READ = staff(Role.FINANCE, Role.AUDITOR)
_HOURS_MAX = 24 * 366
_REFUNDS_MAX = 1_000


@access(RESIDENT)
async def request_refund(viewer: Viewer, *, payment_id: UUID, reason: str, key: str) -> Refund:
    """Ask for a payment of one's own back, whole.

    Raises InvalidInput, NotFound, RefundNotPossible, IdempotencyKeyReused, Overloaded.
    """
    inputs.check_key(key)
    kept = _needed(_short(reason))
    account_id = account_of(viewer)
    async with snapshot() as read:
        amount_minor = await refunds.paid_amount(
            read, payer_account_id=account_id, payment_id=payment_id
        )
    if amount_minor is None:
        raise refusals.NotFound(path=("input", "paymentId"))
    receipt = await desk.post(
        refunds.request(
            actor_id=viewer.user_id,
            payer_account_id=account_id,
            payment_id=payment_id,
            amount_minor=amount_minor,
            reason=kept,
            key=key,
        )
    )
    ledger.check(receipt, {Outcome.WRONG_STATE: refusals.RefundNotPossible})
    assert receipt.entry_id is not None
    return await _refund(receipt.entry_id)


@access(_FINANCE.noting("elevated from ¥1,000.00 on"))
async def decide_refund(
    viewer: Viewer, *, refund_id: UUID, decision: Decision, reason: str | None, key: str
) -> QueueItem:
    """Approve or reject a refund that one is no party to. If the merchant lacks the money, the
    city advances it.

    Raises InvalidInput, NotFound, RefundAlreadyDecided, ReviewerIsParty, IdempotencyKeyReused,
    Overloaded.
    """
    inputs.check_key(key)
    kept = _short(reason)
    async with snapshot() as read:
        found = (await refunds.by_ids(read, [refund_id])).get(refund_id)
    if found is None:
        raise refusals.NotFound(path=("input", "refundId"))
    if found.amount_minor >= rules.ELEVATED_FROM_MINOR:
        ensure_elevated(viewer)
    if decision is Decision.APPROVE:
        receipt = await _approve(viewer, found, kept, key)
    else:
        rejection = _needed(kept)
        asked = refunds.reject(found, actor_id=viewer.user_id, key=key, reason=rejection)
        receipt = await desk.post(audit.carried(asked))
    ledger.check(receipt, {Outcome.WRONG_STATE: refusals.RefundAlreadyDecided})
    async with unit_of_work() as work:
        decided = await refund_reviews.item(work, actor_id=viewer.user_id, refund_id=refund_id)
    assert decided is not None
    return decided


async def _approve(viewer: Viewer, found: Refund, reason: str | None, key: str) -> Receipt:
    actor_id = viewer.user_id
    asked = refunds.approve(found, actor_id=actor_id, key=key, reason=reason)
    receipt = await desk.post(audit.carried(asked))
    if receipt.outcome is not Outcome.INSUFFICIENT_FUNDS:
        return receipt
    # The caller's key is used up by that answer; a repeated call takes both steps again.
    second_key = inputs.derived_key(key, "advance")
    asked = refunds.approve(found, actor_id=actor_id, key=second_key, reason=reason, advanced=True)
    return await desk.post(audit.carried(asked))


@access(SIGNED_IN)
async def own_refunds(
    viewer: Viewer, *, limit: int, after: Key | None, before: Key | None, backwards: bool
) -> list[Refund]:
    """The refunds that the caller asked for, newest first."""
    if viewer.account_id is None:
        return []
    async with snapshot() as read:
        return await refunds.of_payer(
            read, viewer.account_id, limit=limit, after=after, before=before, backwards=backwards
        )


@access(SIGNED_IN)
async def refunds_by_ids(viewer: Viewer, refund_ids: Sequence[UUID]) -> dict[UUID, Refund]:
    """Those of the refunds that the caller is payer or payee of."""
    if viewer.account_id is None:
        return {}
    async with snapshot() as read:
        found = await refunds.by_ids(read, refund_ids)
    return {key: refund for key, refund in found.items() if _party(viewer, refund)}


@access(SIGNED_IN)
async def refunds_of_payments(
    viewer: Viewer, payment_ids: Sequence[UUID]
) -> dict[UUID, list[Refund]]:
    """The refunds of payments that the caller is a party to, newest first, by payment."""
    async with snapshot() as read:
        found = await refunds.of_payments(read, payment_ids)
    return {key: kept for key, rows in found.items() if (kept := _parties(viewer, rows))}


@access(_FINANCE_READ)
async def refund_queue(
    viewer: Viewer, *, limit: int, after: Key | None, before: Key | None, backwards: bool
) -> list[QueueItem]:
    """Undecided refunds, oldest first; who looked is on record before they are shown."""
    async with unit_of_work() as work:
        return await refund_reviews.queue(
            work,
            actor_id=viewer.user_id,
            limit=limit,
            after=after,
            before=before,
            backwards=backwards,
        )


@access(_FINANCE_READ)
async def refund_policies(
    viewer: Viewer, *, limit: int, after: int | None, before: int | None, backwards: bool
) -> list[SignedPolicy]:
    """Policies, ended ones too, newest first."""
    async with snapshot() as read:
        return await refund_reviews.policies(
            read, limit=limit, after=after, before=before, backwards=backwards
        )


@access(elevated(_FINANCE))
async def sign_policy(
    viewer: Viewer, *, amount_max_minor: int, payment_age_max_hours: int, refunds_max: int
) -> SignedPolicy:
    """Let the city approve by itself within limits, in the caller's name. Raises InvalidInput."""
    inputs.check_amount(amount_max_minor, "input", "amountMax", "amount")
    if not 1 <= payment_age_max_hours <= _HOURS_MAX:
        raise refusals.InvalidInput(path=("input", "paymentAgeMaxHours"))
    if not 1 <= refunds_max <= _REFUNDS_MAX:
        raise refusals.InvalidInput(path=("input", "refundsMaxPer30Days"))
    async with unit_of_work() as work:
        return await refund_reviews.sign_policy(
            work,
            actor_id=viewer.user_id,
            amount_max_minor=amount_max_minor,
            payment_age_max_seconds=payment_age_max_hours * 3600,
            refunds_max_per_30_days=refunds_max,
        )


@access(_FINANCE)
async def end_policy(viewer: Viewer, *, policy_id: int) -> SignedPolicy:
    """End a policy at once, whoever signed it. Raises NotFound."""
    async with unit_of_work() as work:
        ended = await refund_reviews.end_policy(work, actor_id=viewer.user_id, policy_id=policy_id)
    if ended is None:
        raise refusals.NotFound(path=("input", "policyId"))
    return ended


async def _refund(refund_id: UUID) -> Refund:
    async with snapshot() as read:
        return (await refunds.by_ids(read, [refund_id]))[refund_id]


def _short(reason: str | None) -> str | None:
    return inputs.short_text(reason, "input", "reason", length_max=rules.REASON_LENGTH_MAX)


def _needed(reason: str | None) -> str:
    if reason is None:
        raise refusals.InvalidInput(
            path=("input", "reason"), en="Please give a reason.", zh="请填写原因。"
        )
    return reason


def _party(viewer: Viewer, refund: Refund) -> bool:
    return viewer.account_id in (refund.payer_id, refund.payee_id)


def _parties(viewer: Viewer, rows: Sequence[Refund]) -> list[Refund]:
    return [refund for refund in rows if _party(viewer, refund)]
