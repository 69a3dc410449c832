"""Paying merchants, as clients see it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Union
from uuid import UUID

import strawberry

from domain import payments as domain
from domain import refusals as no
from resolvers import payments, transactions
from resolvers.viewer import Viewer as Caller
from schema import enums, errors, fields, ids, live, nodes, proofs
from schema.context import Info
from schema.merchants import Merchant
from schema.refunds import RefundsOfPayment
from schema.scalars import EventCursor, Money, MoneyInput
from services.payments import Payment as Row

enums.described(
    domain.State,
    "PaymentState",
    "Where a payment stands.",
    AWAITING_CONFIRMATION="Opened; waits for the payer's PIN until `expiresAt`.",
    SUCCEEDED="Paid: the money is with the merchant.",
    CANCELLED="Given up by the payer.",
    EXPIRED="Not confirmed in time.",
    REFUND_UNDER_REVIEW="Paid; a refund is being decided.",
    REFUNDED="Paid, and given back.",
)


class ViewerRole(Enum):
    """Which party the caller is."""

    PAYER = "PAYER"
    PAYEE = "PAYEE"


enums.described(
    ViewerRole,
    "PaymentViewerRole",
    "Which party of a payment the caller is.",
    PAYER="The caller pays.",
    PAYEE="The caller is paid.",
)


@strawberry.type(description="One step of a payment.")
class PaymentStep:
    """Steps are numbered from 1 in their order."""

    state: domain.State = strawberry.field(description="The state it led to.")
    at: datetime = strawberry.field(description="When.")


@strawberry.type(description="A payment to a merchant, for its payer and its payee only.")
class Payment(RefundsOfPayment, nodes.Node):
    """As `services.payments.Payment`."""

    state: domain.State = strawberry.field(description="Where it stands.")
    amount: Money = strawberry.field(description="What the payer pays.")
    merchant: Merchant = strawberry.field(description="Who is paid.")
    created_at: datetime = strawberry.field(description="When it was opened.")
    expires_at: datetime | None = strawberry.field(
        description="Until when it can be confirmed; null when it doesn't wait."
    )
    steps: list[PaymentStep] = strawberry.field(description="What happened to it, in order.")
    refundable: Money = strawberry.field(description="What of it could still be asked back.")
    viewer_role: ViewerRole = strawberry.field(description="Which party the caller is.")
    key: strawberry.Private[UUID]

    @strawberry.field(description="What the payer wrote with it.")
    async def note(self, info: Info) -> str | None:
        return await memo(info, self.key)

    @classmethod
    def of(cls, row: Row, viewer: Caller) -> Payment:
        return cls(
            id=strawberry.ID(ids.encode("Payment", row.id)),
            state=row.state,
            amount=Money.of(row.amount_minor, row.currency),
            merchant=Merchant.of(row.merchant),
            created_at=row.created_at,
            expires_at=row.expires_at,
            steps=[PaymentStep(state=state, at=at) for state, at in row.steps],
            refundable=Money.of(row.refundable_minor, row.currency),
            viewer_role=(
                ViewerRole.PAYER if row.payer_id == viewer.account_id else ViewerRole.PAYEE
            ),
            key=row.id,
        )


async def memo(info: Info, entry_id: UUID) -> str | None:
    """The words that go with an entry, all of a request in one query."""

    async def load(entry_ids: list[UUID]) -> dict[UUID, str]:
        return await transactions.memos(info.context.viewer, entry_ids)

    return await nodes.together(info, "memos", load, entry_id)


async def payment(info: Info, payment_id: UUID) -> Payment | None:
    """A payment that the caller is a party of, all of a request in one query."""
    viewer = info.context.viewer

    async def load(payment_ids: list[UUID]) -> dict[UUID, Row]:
        return await payments.by_ids(viewer, payment_ids)

    row = await nodes.together(info, "payments", load, payment_id)
    return Payment.of(row, viewer) if row is not None else None


@strawberry.input(description="A payment to a merchant.")
class CreatePaymentInput:
    """Repeating it with its key repeats the answer."""

    merchant_id: strawberry.ID = strawberry.field(description="Who is paid.")
    amount: MoneyInput = strawberry.field(description="How much.")
    note: str | None = strawberry.field(
        default=None, description="Words for the merchant, up to 100 characters."
    )
    idempotency_key: str = strawberry.field(description="1 to 128 characters, new per request.")


@strawberry.type(description="Paid, or opened and waiting for the PIN: see its state.")
class CreatePaymentSuccess:
    """SUCCEEDED under the no-PIN allowance, else AWAITING_CONFIRMATION."""

    payment: Payment = strawberry.field(description="The payment.")


@strawberry.input(description="The payer's confirmation.")
class ConfirmPaymentInput:
    """Of two confirmations one pays."""

    payment_id: strawberry.ID = strawberry.field(description="The payment that waits.")
    proof: proofs.PaymentProofInput = strawberry.field(description="That it is the caller.")
    idempotency_key: str = strawberry.field(description="1 to 128 characters, new per request.")


@strawberry.type(description="Paid.")
class ConfirmPaymentSuccess:
    """The payment as it is now."""

    payment: Payment = strawberry.field(description="The payment.")


@strawberry.input(description="The payer gives a waiting payment up.")
class CancelPaymentInput:
    """Nothing has moved, nothing moves."""

    payment_id: strawberry.ID = strawberry.field(description="The payment that waits.")
    idempotency_key: str = strawberry.field(description="1 to 128 characters, new per request.")


@strawberry.type(description="Given up.")
class CancelPaymentSuccess:
    """The payment as it is now."""

    payment: Payment = strawberry.field(description="The payment.")


_LEDGER = (no.IdempotencyKeyReused, no.AccountNotActive, no.NotFound)
_MOVES = (no.InsufficientFunds, no.AccountFrozen, no.DailyLimitExceeded, no.PayeeUnavailable)
_WAITS = (no.PaymentNotPayable, no.PaymentExpired)


@strawberry.type
class PaymentMutation:
    """The part of Mutation about payments."""

    @fields.mutation(
        calls=payments.create_payment,
        description="Pay a merchant at once under the no-PIN allowance, or open a payment that "
        "`confirmPayment` pays.",
        refuses=(*_LEDGER, *_MOVES, no.MerchantNotFound),
    )
    async def create_payment(self, info: Info, input: CreatePaymentInput) -> CreatePaymentSuccess:
        viewer = info.context.viewer
        merchant_id = nodes.uuid_of(input.merchant_id, "Merchant")
        if merchant_id is None:
            raise no.MerchantNotFound(path=("input", "merchantId"))
        row = await payments.create_payment(
            viewer,
            merchant_id=merchant_id,
            amount_minor=input.amount.to_minor("input", "amount"),
            note=input.note,
            key=input.idempotency_key,
        )
        return CreatePaymentSuccess(payment=Payment.of(row, viewer))

    @fields.mutation(
        calls=payments.confirm_payment,
        description="Pay a payment that waits, with a proof.",
        refuses=(*_LEDGER, *_MOVES, *_WAITS, *proofs.REFUSALS),
    )
    async def confirm_payment(
        self, info: Info, input: ConfirmPaymentInput
    ) -> ConfirmPaymentSuccess:
        viewer = info.context.viewer
        row = await payments.confirm_payment(
            viewer,
            payment_id=_payment_id(input.payment_id),
            proof=input.proof.given(),
            key=input.idempotency_key,
        )
        return ConfirmPaymentSuccess(payment=Payment.of(row, viewer))

    @fields.mutation(
        calls=payments.cancel_payment,
        description="Give up a payment that waits.",
        refuses=(*_LEDGER, *_WAITS),
    )
    async def cancel_payment(self, info: Info, input: CancelPaymentInput) -> CancelPaymentSuccess:
        viewer = info.context.viewer
        row = await payments.cancel_payment(
            viewer, payment_id=_payment_id(input.payment_id), key=input.idempotency_key
        )
        return CancelPaymentSuccess(payment=Payment.of(row, viewer))


def _payment_id(id: str) -> UUID:
    found = nodes.uuid_of(id, "Payment")
    if found is None:
        raise no.NotFound(path=("input", "paymentId"))
    return found


@strawberry.type(description="A step of a payment, with the payment as it stood then.")
class PaymentEvent:
    """``sequence`` is the step's number."""

    cursor: EventCursor = strawberry.field(description="To go on behind this event.")
    sequence: int = strawberry.field(description="The step's number, from 1 without a gap.")
    payment: Payment = strawberry.field(description="The payment as of this step.")


PaymentEventsResult: Any = Annotated[
    Union[PaymentEvent, live.EventsGap, errors.TYPES[no.NotFound]],  # pyright: ignore  # noqa: UP007
    strawberry.union("PaymentEventsResult", description="A step, or why there are none."),
]


@strawberry.type
class PaymentSubscription:
    """The part of Subscription about payments."""

    @fields.subscription(
        calls=payments.payment_events,
        description="The steps of a payment behind `after` (without it: from now on), for payer "
        "and payee.",
        arguments={"payment_id": "A payment that the caller is a party of."},
    )
    async def payment_events(
        self, info: Info, payment_id: strawberry.ID, after: live.After = None
    ) -> AsyncIterator[PaymentEventsResult]:  # pyright: ignore[reportInvalidTypeForm]
        viewer = info.context.viewer
        key = nodes.uuid_of(payment_id, "Payment")
        try:
            if key is None:
                raise no.NotFound
            stream = live.events(
                payments.payment_events(viewer, payment_id=key, after=after),
                info.context.language,
                make=lambda cursor, sequence, row: PaymentEvent(
                    cursor=cursor, sequence=sequence, payment=Payment.of(row, viewer)
                ),
            )
            async with aclosing(stream):
                async for event in stream:
                    yield event
        except no.NotFound as refusal:
            yield errors.as_data(refusal, info.context.language)


async def _load(viewer: Caller, keys: list[str]) -> Mapping[str, Payment]:
    rows = await payments.by_ids(viewer, nodes.uuids(keys))
    return {str(key): Payment.of(row, viewer) for key, row in rows.items()}


nodes.loads("Payment", _load)
