"""Amounts, instants and cursors as clients write and read them; nothing is guessed or rounded."""

from __future__ import annotations

import enum
import re
from datetime import UTC, datetime
from typing import Any, NewType

import strawberry
from graphql import GraphQLError

from domain import money, refusals

Decimal = NewType("Decimal", str)
"""A decimal text that has passed `domain.money.is_decimal`."""

EventCursor = NewType("EventCursor", str)
"""A place in an event stream, as a service encoded it."""

_INSTANT = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?(?:Z|[+-]\d{2}:\d{2})", re.ASCII
)
_CURSOR = re.compile(r"[A-Za-z0-9_-]{1,200}", re.ASCII)


def _malformed(expected: str) -> GraphQLError:
    return GraphQLError(f"Expected {expected}.", extensions={"code": "BAD_USER_INPUT"})


def parse_decimal(value: Any) -> str:
    """A decimal text as sent; anything but a JSON string of that form is an error."""
    if not isinstance(value, str) or not money.is_decimal(value):
        raise _malformed("a decimal as a string, for instance “12.50”")
    return value


def parse_instant(value: Any) -> datetime:
    """An RFC 3339 text with an offset, as an aware datetime in UTC."""
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise _malformed("a date and time with an offset, for instance “2026-11-22T09:30:00+08:00”")


def print_instant(value: Any) -> str:
    """UTC with milliseconds. A datetime without a zone is a bug."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError("DateTime prints aware datetimes only")
    text = value.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def parse_cursor(value: Any) -> str:
    """The text of an event cursor; whether it is genuine is for the stream to say."""
    if not isinstance(value, str) or not _CURSOR.fullmatch(value):
        raise _malformed("a cursor taken from an event")
    return value


SCALAR_MAP: dict[object, Any] = {
    Decimal: strawberry.scalar(
        name="Decimal",
        description="A decimal number as a JSON string of exact scale, for instance `12.50`. "
        "Never a JSON number: those lose digits.",
        specified_by_url="https://www.w3.org/TR/xmlschema11-2/#decimal",
        serialize=str,
        parse_value=parse_decimal,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant by RFC 3339. Input needs an offset; output is UTC with "
        "milliseconds.",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time.html",
        serialize=print_instant,
        parse_value=parse_instant,
    ),
    EventCursor: strawberry.scalar(
        name="EventCursor",
        description="A place in a stream of events: opaque, handed back as `after` to go on "
        "behind it.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc4648#section-5",
        serialize=str,
        parse_value=parse_cursor,
    ),
}
"""For `StrawberryConfig.scalar_map`."""


@strawberry.enum(description="Currencies by ISO 4217.")
class CurrencyCode(enum.Enum):
    """The currencies the city uses; the names are those of `domain.money.CURRENCIES`."""

    CNY = strawberry.enum_value("CNY", description="Chinese yuan, with two decimals.")


@strawberry.type(description="An amount of money.")
class Money:
    """Printed from minor units."""

    amount: Decimal = strawberry.field(description="The amount with its currency's exact scale.")
    currency_code: CurrencyCode = strawberry.field(description="The currency.")

    @classmethod
    def of(cls, amount_minor: int, currency_code: str = "CNY") -> Money:
        """The money of `amount_minor` minor units of a currency."""
        text = money.from_minor(amount_minor, money.currency(currency_code))
        return cls(amount=Decimal(text), currency_code=CurrencyCode[currency_code])


@strawberry.input(description="An amount of money, sent by a client.")
class MoneyInput:
    """Not checked for scale or sign until `to_minor`."""

    amount: Decimal = strawberry.field(
        description="The amount with its currency's exact scale, for instance `12.50`."
    )
    currency_code: CurrencyCode = strawberry.field(description="The currency.")

    def to_minor(self, *path: str) -> int:
        """Positive minor units, or InvalidInput whose path is `path` and ``amount``.

        For instance ``input.amount.to_minor("input", "amount")``.
        """
        try:
            amount_minor = money.to_minor(self.amount, money.currency(self.currency_code.name))
        except money.NotMoney:
            amount_minor = 0
        if amount_minor <= 0:
            raise refusals.InvalidInput(
                path=(*path, "amount"),
                en="The amount must be positive, with exactly two decimals.",
                zh="金额必须大于零，且保留两位小数。",
            )
        return amount_minor
