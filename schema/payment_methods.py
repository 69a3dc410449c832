"""Ways to pay an amount, the usual one first."""

from __future__ import annotations

import strawberry

from domain import inputs
from domain import payments as domain
from resolvers import payments
from schema import enums, fields
from schema.context import Info
from schema.scalars import Money, MoneyInput
from schema.wallets import BankCard
from services.wallets import Card

enums.described(
    domain.MethodKind,
    "PaymentMethodKind",
    "Where the money comes from.",
    BALANCE="From the wallet's balance.",
    CARD="From a linked card, which tops the wallet up first.",
)
enums.described(
    domain.Reason,
    "PaymentMethodReason",
    "Why a way to pay stands where it stands.",
    USUAL="The one used most in the last 90 days.",
    COVERS_AMOUNT="The balance covers the amount.",
    TOPS_UP_FIRST="The card can top up what is missing.",
    INSUFFICIENT_BALANCE="The balance doesn't cover the amount.",
    WALLET_FROZEN="Money can't leave the wallet.",
    DEFAULT_ORDER="The first in the same order for everybody: personalisation is withdrawn.",
)


@strawberry.type(description="A way to pay an amount.")
class PaymentMethod:
    """As `domain.payments.Method`."""

    kind: domain.MethodKind = strawberry.field(description="Where the money comes from.")
    bank_card: BankCard | None = strawberry.field(description="The card; null for the balance.")
    usable: bool = strawberry.field(description="Whether it can be used for this amount now.")
    top_up: Money = strawberry.field(
        description="What to top up from the card first; zero for the balance."
    )
    recommended: bool = strawberry.field(description="Whether to offer it first.")
    reason: domain.Reason = strawberry.field(description="Why it stands where it stands.")
    reason_text: str = strawberry.field(description="The reason in the caller's language.")

    @classmethod
    def of(cls, way: domain.Method, card: Card | None, language: str) -> PaymentMethod:
        return cls(
            kind=way.kind,
            bank_card=BankCard.of(card) if card is not None else None,
            usable=way.usable,
            top_up=Money.of(way.top_up_minor),
            recommended=way.recommended,
            reason=way.reason,
            reason_text=domain.reason_text(way.reason, language),
        )


@strawberry.type
class PaymentViewer:
    """The part of Viewer about ways to pay."""

    @fields.query_field(
        calls=payments.payment_methods,
        description="The ways to pay an amount, the usual one first: the balance and at most 20 "
        "cards.",
        arguments={"amount": "How much is to be paid."},
    )
    async def payment_methods(self, info: Info, amount: MoneyInput) -> list[PaymentMethod]:
        amount_minor = inputs.check_amount(amount.to_minor("amount"), "amount", "amount")
        ways = await payments.payment_methods(info.context.viewer, amount_minor=amount_minor)
        return [PaymentMethod.of(way, card, info.context.language) for way, card in ways]
