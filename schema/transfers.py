"""Sending money to another resident, as clients see it."""

from __future__ import annotations

import strawberry

from domain import refusals as no
from resolvers import transfers
from schema import fields, proofs
from schema.context import Info
from schema.scalars import MoneyInput
from schema.transactions import Transaction


@strawberry.type(description="Whom a transfer would reach.")
class RecipientPreview:
    """Enough to recognise somebody one knows."""

    masked_name: str = strawberry.field(description="For instance `张*丰` or `J*** S****`.")


@strawberry.input(description="Money for another resident.")
class CreateTransferInput:
    """Repeating it with its key repeats the answer."""

    phone: str = strawberry.field(description="The recipient's mobile number.")
    amount: MoneyInput = strawberry.field(description="How much.")
    memo: str | None = strawberry.field(
        default=None, description="Words for the recipient, up to 100 characters."
    )
    proof: proofs.PaymentProofInput = strawberry.field(description="That it is the caller.")
    idempotency_key: str = strawberry.field(description="1 to 128 characters, new per request.")


@strawberry.type(description="The money has arrived.")
class CreateTransferSuccess:
    """Transfers are immediate."""

    transaction: Transaction = strawberry.field(description="The caller's side of it.")


@strawberry.type
class TransferQuery:
    """The part of Query about transfers."""

    @fields.query_field(
        calls=transfers.recipient_preview,
        description="Whom a transfer to this phone number would reach; at most 20 an hour.",
        arguments={"phone": "The recipient's mobile number."},
        refuses=(no.RecipientNotFound, no.SelfTransfer, no.AccountNotActive),
    )
    async def recipient_preview(self, info: Info, phone: str) -> RecipientPreview:
        found = await transfers.recipient_preview(info.context.viewer, phone=phone)
        return RecipientPreview(masked_name=found.masked_name)


@strawberry.type
class TransferMutation:
    """The part of Mutation about transfers."""

    @fields.mutation(
        calls=transfers.create_transfer,
        description="Send money to another resident, with a proof.",
        refuses=(
            no.RecipientNotFound,
            no.SelfTransfer,
            no.AccountNotActive,
            no.IdempotencyKeyReused,
            no.InsufficientFunds,
            no.AccountFrozen,
            no.DailyLimitExceeded,
            no.PayeeUnavailable,
            no.NotFound,
            *proofs.REFUSALS,
        ),
    )
    async def create_transfer(
        self, info: Info, input: CreateTransferInput
    ) -> CreateTransferSuccess:
        row = await transfers.create_transfer(
            info.context.viewer,
            phone=input.phone,
            amount_minor=input.amount.to_minor("input", "amount"),
            memo=input.memo,
            proof=input.proof.given(),
            key=input.idempotency_key,
        )
        return CreateTransferSuccess(transaction=Transaction.of(row))
