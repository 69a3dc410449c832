"""Refunds, as payer and merchant see them; see `schema.refund_desk` for finance's side."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

from domain import refunds as domain
from domain import refusals as no
from resolvers import refunds
from resolvers.viewer import Viewer as Caller
from schema import enums, fields, ids, nodes, pagination
from schema.context import Info
from schema.scalars import Money
from services.refunds import Refund as Row

if TYPE_CHECKING:
    from schema.payments import Payment

enums.described(
    domain.State,
    "RefundState",
    "Where a refund stands.",
    REQUESTED="Asked for and reserved; finance decides.",
    APPROVED="Approved, and back in the payer's wallet.",
    REJECTED="Rejected; `decisionReason` says why.",
)
LazyPayment = Annotated["Payment", strawberry.lazy("schema.payments")]


@strawberry.type(description="A payment asked back, for its payer and its merchant only.")
class Refund(nodes.Node):
    """As `services.refunds.Refund`."""

    state: domain.State = strawberry.field(description="Where it stands.")
    amount: Money = strawberry.field(description="How much comes back.")
    reason: str | None = strawberry.field(description="What the payer wrote.")
    requested_at: datetime = strawberry.field(description="When the payer asked.")
    decided_at: datetime | None = strawberry.field(description="When it was decided.")
    decision_reason: str | None = strawberry.field(description="What the decider wrote.")
    by_policy: bool = strawberry.field(
        description="Whether a policy that finance signed decided, and not a person."
    )
    payment_id: strawberry.Private[UUID]

    @strawberry.field(description="The payment.")
    async def payment(self, info: Info) -> LazyPayment | None:
        # Late, because payments show their refunds; the module is loaded by then.
        from schema import payments  # noqa: PLC0415

        return await payments.payment(info, self.payment_id)

    @classmethod
    def of(cls, row: Row) -> Refund:
        return cls(
            id=strawberry.ID(ids.encode("Refund", row.id)),
            state=row.state,
            amount=Money.of(row.amount_minor, row.currency),
            reason=row.reason(),
            requested_at=row.requested_at,
            decided_at=row.decided_at,
            decision_reason=row.decision_reason(),
            by_policy=row.policy_id is not None,
            payment_id=row.payment_id,
        )


async def refund(info: Info, refund_id: UUID) -> Refund | None:
    """A refund that the caller is a party of, all of a request in one query."""

    async def load(refund_ids: list[UUID]) -> dict[UUID, Row]:
        return await refunds.refunds_by_ids(info.context.viewer, refund_ids)

    row = await nodes.together(info, "refunds", load, refund_id)
    return Refund.of(row) if row is not None else None


@strawberry.type
class RefundsOfPayment:
    """The part of Payment about its refunds; Payment has the payment's id as ``key``."""

    @strawberry.field(description="What was asked back of it, newest first, at most 20.")
    async def refunds(self, info: Info) -> list[Refund]:
        async def load(payment_ids: list[UUID]) -> dict[UUID, list[Row]]:
            return await refunds.refunds_of_payments(info.context.viewer, payment_ids)

        key: UUID = self.key  # pyright: ignore[reportAttributeAccessIssue] - Payment has it
        rows = await nodes.together(info, "refunds of payments", load, key)
        return [Refund.of(row) for row in rows or ()]


@strawberry.type
class RefundViewer:
    """The part of Viewer about refunds."""

    @fields.query_field(
        calls=refunds.own_refunds, description="What the caller asked back, newest first."
    )
    async def refunds(
        self,
        info: Info,
        first: pagination.First = None,
        last: pagination.Last = None,
        after: pagination.After = None,
        before: pagination.Before = None,
    ) -> pagination.Connection[Refund]:
        viewer = info.context.viewer
        return await pagination.connection(
            pagination.window(
                f"refunds:{viewer.user_id}", first=first, last=last, after=after, before=before
            ),
            partial(refunds.own_refunds, viewer),
            place=nodes.time_and_uuid,
            key=lambda row: (row.requested_at, str(row.id)),
            node=Refund.of,
        )


@strawberry.input(description="A payment to be given back.")
class RequestRefundInput:
    """Repeating it with its key repeats the answer."""

    payment_id: strawberry.ID = strawberry.field(description="One of the caller's payments.")
    reason: str = strawberry.field(description="Why, up to 200 characters.")
    idempotency_key: str = strawberry.field(description="1 to 128 characters, new per request.")


@strawberry.type(description="Asked for: finance decides within 1 to 3 working days.")
class RequestRefundSuccess:
    """A notice and `paymentEvents` tell how it ended."""

    refund: Refund = strawberry.field(description="The refund.")


@strawberry.type
class RefundMutation:
    """The part of Mutation about asking for refunds."""

    @fields.mutation(
        calls=refunds.request_refund,
        description="Ask for a payment back, whole. It is reserved until finance has decided.",
        refuses=(
            no.NotFound,
            no.RefundNotPossible,
            no.IdempotencyKeyReused,
            no.AccountNotActive,
        ),
    )
    async def request_refund(self, info: Info, input: RequestRefundInput) -> RequestRefundSuccess:
        payment_id = nodes.uuid_of(input.payment_id, "Payment")
        if payment_id is None:
            raise no.NotFound(path=("input", "paymentId"))
        row = await refunds.request_refund(
            info.context.viewer,
            payment_id=payment_id,
            reason=input.reason,
            key=input.idempotency_key,
        )
        return RequestRefundSuccess(refund=Refund.of(row))


async def _load(viewer: Caller, keys: list[str]) -> Mapping[str, Refund]:
    rows = await refunds.refunds_by_ids(viewer, nodes.uuids(keys))
    return {str(key): Refund.of(row) for key, row in rows.items()}


nodes.loads("Refund", _load)
