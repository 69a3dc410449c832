"""Strawberry out of the box: its own ASGI view, a mutation of the shape of ours, no database."""

from __future__ import annotations

import enum
import uuid
from typing import Annotated, Union

import strawberry
from strawberry.asgi import GraphQL


@strawberry.enum
class PaymentState(enum.Enum):
    SUCCEEDED = "SUCCEEDED"
    AWAITING_CONFIRMATION = "AWAITING_CONFIRMATION"


@strawberry.enum
class CurrencyCode(enum.Enum):
    CNY = "CNY"


@strawberry.type
class Money:
    amount: str
    currency_code: CurrencyCode


@strawberry.input
class MoneyInput:
    amount: str
    currency_code: CurrencyCode


@strawberry.interface
class Error:
    code: str
    message: str


@strawberry.type
class InsufficientFundsError(Error):
    retryable: bool = False


@strawberry.type
class Payment:
    id: strawberry.ID
    state: PaymentState
    amount: Money


@strawberry.type
class CreatePaymentSuccess:
    payment: Payment


@strawberry.input
class CreatePaymentInput:
    merchant_id: strawberry.ID
    amount: MoneyInput
    idempotency_key: str


@strawberry.type
class Query:
    @strawberry.field
    def ok(self) -> bool:
        return True


CreatePaymentResult = Annotated[
    Union[CreatePaymentSuccess, InsufficientFundsError],  # noqa: UP007 - Strawberry's form
    strawberry.union("CreatePaymentResult"),
]


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def create_payment(self, input: CreatePaymentInput) -> CreatePaymentResult:
        payment = Payment(
            id=strawberry.ID(str(uuid.uuid4())),
            state=PaymentState.SUCCEEDED,
            amount=Money(amount=input.amount.amount, currency_code=input.amount.currency_code),
        )
        return CreatePaymentSuccess(payment=payment)


app = GraphQL(strawberry.Schema(Query, Mutation, types=[InsufficientFundsError]))
