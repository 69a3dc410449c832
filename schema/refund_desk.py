"""The finance desk: the queue of refunds, decisions, and signed policies."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import strawberry

from domain import refunds as domain
from domain import refusals as no
from resolvers import refunds
from schema import enums, fields, ids, nodes, pagination
from schema.context import Info
from schema.scalars import Money, MoneyInput
from services.refund_reviews import QueueItem, Review
from services.refund_reviews import SignedPolicy as PolicyRow

enums.described(
    domain.Decision,
    "RefundDecision",
    "What finance decides.",
    APPROVE="The money goes back to the payer.",
    REJECT="It doesn't; the payer is told the reason.",
)
enums.described(
    domain.Recommendation,
    "RefundRecommendation",
    "What follows from the facts.",
    POLICY="A signed policy covers it: the city approves by itself.",
    FINANCE="A person decides.",
)


@strawberry.type(description="What the review found, as it was then.")
class RefundFacts:
    """As `domain.refunds.Facts`."""

    payment_age_hours: int = strawberry.field(description="How old the payment was, in hours.")
    refunds_in_30_days: int = strawberry.field(
        description="How many refunds the payer asked for in 30 days, with this one."
    )
    merchant_covers: bool = strawberry.field(
        description="Whether the merchant's balance sufficed; if not, the city advances the money."
    )
    recommendation: domain.Recommendation = strawberry.field(description="What follows.")
    policy_id: strawberry.ID | None = strawberry.field(description="The policy that covers it.")
    reviewed_at: datetime = strawberry.field(description="When it was reviewed.")

    @classmethod
    def of(cls, review: Review) -> RefundFacts:
        return cls(
            payment_age_hours=review.facts.payment_age_seconds // 3600,
            refunds_in_30_days=review.facts.refunds_30_days,
            merchant_covers=review.facts.merchant_covers,
            recommendation=review.recommendation,
            policy_id=_policy_id(review.policy_id),
            reviewed_at=review.reviewed_at,
        )


@strawberry.type(description="A refund as finance sees it. Reading one is recorded.")
class StaffRefund:
    """As `services.refund_reviews.QueueItem`."""

    id: strawberry.ID = strawberry.field(description="Its global id.")
    state: domain.State = strawberry.field(description="Where it stands.")
    amount: Money = strawberry.field(description="How much would come back.")
    reason: str | None = strawberry.field(description="What the payer wrote.")
    requested_at: datetime = strawberry.field(description="When the payer asked.")
    payer_name: str | None = strawberry.field(description="The payer's name, masked.")
    merchant_name: str | None = strawberry.field(description="The merchant.")
    facts: RefundFacts | None = strawberry.field(
        description="What the review found; null until it has run."
    )
    decided_at: datetime | None = strawberry.field(description="When it was decided.")
    decision_reason: str | None = strawberry.field(description="What the decider wrote.")
    by_policy: bool = strawberry.field(description="Whether a policy decided.")
    advanced: bool = strawberry.field(
        description="Whether the city paid for now, because the merchant could not."
    )

    @classmethod
    def of(cls, row: QueueItem) -> StaffRefund:
        refund = row.refund
        return cls(
            id=strawberry.ID(ids.encode("Refund", refund.id)),
            state=refund.state,
            amount=Money.of(refund.amount_minor, refund.currency),
            reason=refund.reason(),
            requested_at=refund.requested_at,
            payer_name=row.payer_name,
            merchant_name=row.merchant_name,
            facts=RefundFacts.of(row.review) if row.review is not None else None,
            decided_at=refund.decided_at,
            decision_reason=refund.decision_reason(),
            by_policy=refund.policy_id is not None,
            advanced=refund.advanced,
        )


@strawberry.type(description="What a member of finance signed for the city to approve by itself.")
class RefundPolicy:
    """As `services.refund_reviews.SignedPolicy`."""

    id: strawberry.ID = strawberry.field(description="Its global id.")
    amount_max: Money = strawberry.field(description="Up to this amount.")
    payment_age_max_hours: int = strawberry.field(description="For payments up to this old.")
    refunds_max_per_30_days: int = strawberry.field(
        name="refundsMaxPer30Days", description="For payers with at most so many refunds."
    )
    signed_by: strawberry.ID = strawberry.field(description="Who signed it.")
    signed_at: datetime = strawberry.field(description="When.")
    ended_at: datetime | None = strawberry.field(description="When it was ended, if it was.")

    @classmethod
    def of(cls, row: PolicyRow) -> RefundPolicy:
        policy_id = _policy_id(row.policy.id)
        assert policy_id is not None
        return cls(
            id=policy_id,
            amount_max=Money.of(row.policy.amount_max_minor),
            payment_age_max_hours=row.policy.payment_age_max_seconds // 3600,
            refunds_max_per_30_days=row.policy.refunds_max_per_30_days,
            signed_by=strawberry.ID(ids.encode("User", row.policy.signed_by)),
            signed_at=row.signed_at,
            ended_at=row.ended_at,
        )


def _policy_id(key: int | None) -> strawberry.ID | None:
    return None if key is None else strawberry.ID(ids.encode("RefundPolicy", key))


@strawberry.type
class RefundStaff:
    """The part of Staff about refunds."""

    @fields.query_field(
        calls=refunds.refund_queue,
        description="The refunds that wait for a decision, oldest first. Who looked is recorded. "
        "For FINANCE and AUDITOR.",
    )
    async def refund_queue(
        self,
        info: Info,
        first: pagination.First = None,
        last: pagination.Last = None,
        after: pagination.After = None,
        before: pagination.Before = None,
    ) -> pagination.Connection[StaffRefund]:
        return await pagination.connection(
            pagination.window("refundQueue", first=first, last=last, after=after, before=before),
            partial(refunds.refund_queue, info.context.viewer),
            place=nodes.time_and_uuid,
            key=lambda row: (row.refund.requested_at, str(row.refund.id)),
            node=StaffRefund.of,
        )

    @fields.query_field(
        calls=refunds.refund_policies,
        description="The signed policies, ended ones too, newest first. For FINANCE and AUDITOR.",
    )
    async def refund_policies(
        self,
        info: Info,
        first: pagination.First = None,
        last: pagination.Last = None,
        after: pagination.After = None,
        before: pagination.Before = None,
    ) -> pagination.Connection[RefundPolicy]:
        return await pagination.connection(
            pagination.window("refundPolicies", first=first, last=last, after=after, before=before),
            partial(refunds.refund_policies, info.context.viewer),
            place=nodes.number,
            key=lambda row: (row.policy.id,),
            node=RefundPolicy.of,
        )


@strawberry.input(description="A decision about one refund.")
class DecideRefundInput:
    """Of two decisions one counts."""

    refund_id: strawberry.ID = strawberry.field(description="As the queue gave it.")
    decision: domain.Decision = strawberry.field(description="Approve or reject.")
    reason: str | None = strawberry.field(
        default=None, description="What the payer reads; needed to reject."
    )
    idempotency_key: str = strawberry.field(description="1 to 128 characters, new per request.")


@strawberry.type(description="Decided; the payer is told.")
class DecideRefundSuccess:
    """The decision of exactly one member of staff."""

    refund: StaffRefund = strawberry.field(description="As it is now.")


@strawberry.input(description="Limits within which the city approves refunds by itself.")
class SignRefundPolicyInput:
    """All of them must hold."""

    amount_max: MoneyInput = strawberry.field(description="Up to this amount.")
    payment_age_max_hours: int = strawberry.field(
        description="For payments up to this old, in hours."
    )
    refunds_max_per_30_days: int = strawberry.field(
        name="refundsMaxPer30Days",
        description="For payers with at most so many refunds in 30 days, the one at hand included.",
    )


@strawberry.type(description="Signed: it holds from now on, in the caller's name.")
class SignRefundPolicySuccess:
    """It never covers refunds that the signer is a party to."""

    policy: RefundPolicy = strawberry.field(description="The policy.")


@strawberry.input(description="A policy that is to hold no longer.")
class EndRefundPolicyInput:
    """Any member of finance may end any policy."""

    policy_id: strawberry.ID = strawberry.field(description="As `refundPolicies` gave it.")


@strawberry.type(description="Ended: the city approves nothing by it any more.")
class EndRefundPolicySuccess:
    """What it approved stays approved."""

    policy: RefundPolicy = strawberry.field(description="The policy.")


@strawberry.type
class RefundStaffMutation:
    """The part of Mutation in which finance decides."""

    @fields.mutation(
        calls=refunds.decide_refund,
        description="Approve or reject a refund that the caller is no party to. Of two at once, "
        "one counts.",
        refuses=(
            no.NotFound,
            no.RefundAlreadyDecided,
            no.ReviewerIsParty,
            no.IdempotencyKeyReused,
        ),
    )
    async def decide_refund(self, info: Info, input: DecideRefundInput) -> DecideRefundSuccess:
        refund_id = nodes.uuid_of(input.refund_id, "Refund")
        if refund_id is None:
            raise no.NotFound(path=("input", "refundId"))
        row = await refunds.decide_refund(
            info.context.viewer,
            refund_id=refund_id,
            decision=input.decision,
            reason=input.reason,
            key=input.idempotency_key,
        )
        return DecideRefundSuccess(refund=StaffRefund.of(row))

    @fields.mutation(
        calls=refunds.sign_policy,
        description="Let the city approve refunds by itself within limits, in the caller's name.",
    )
    async def sign_refund_policy(
        self, info: Info, input: SignRefundPolicyInput
    ) -> SignRefundPolicySuccess:
        row = await refunds.sign_policy(
            info.context.viewer,
            amount_max_minor=input.amount_max.to_minor("input", "amountMax"),
            payment_age_max_hours=input.payment_age_max_hours,
            refunds_max=input.refunds_max_per_30_days,
        )
        return SignRefundPolicySuccess(policy=RefundPolicy.of(row))

    @fields.mutation(
        calls=refunds.end_policy, description="End a policy at once.", refuses=(no.NotFound,)
    )
    async def end_refund_policy(
        self, info: Info, input: EndRefundPolicyInput
    ) -> EndRefundPolicySuccess:
        key = ids.decode(input.policy_id, "RefundPolicy")
        if key is None or not key.isdecimal() or len(key) > 18:
            raise no.NotFound(path=("input", "policyId"))
        row = await refunds.end_policy(info.context.viewer, policy_id=int(key))
        return EndRefundPolicySuccess(policy=RefundPolicy.of(row))
