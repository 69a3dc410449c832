"""Money: integers of minor units inside, decimal strings of exact scale at the edge."""

from __future__ import annotations

import re
from dataclasses import dataclass

MINOR_MAX = 2**63 - 1  # PostgreSQL's bigint, which every amount is stored in
_TEXT = re.compile(r"-?(0|[1-9][0-9]{0,18})(?:\.([0-9]{1,4}))?", re.ASCII)


class NotMoney(ValueError):
    """A text or number that is no amount of the currency. Carries no input."""


@dataclass(frozen=True, slots=True)
class Currency:
    """An ISO 4217 code and how many decimal digits its minor unit has (0 to 4)."""

    code: str
    exponent: int

    def __post_init__(self) -> None:
        if not 0 <= self.exponent <= 4:
            raise ValueError("a currency's exponent is 0 to 4")


CNY = Currency("CNY", 2)
CURRENCIES = {CNY.code: CNY}


def currency(code: str) -> Currency:
    """The currency of an ISO code; NotMoney for one the city doesn't use."""
    try:
        return CURRENCIES[code]
    except KeyError:
        raise NotMoney("unknown currency") from None


def is_decimal(text: str) -> bool:
    """Whether a text has the form of an amount of some currency, whatever its scale."""
    return len(text) <= 25 and _TEXT.fullmatch(text) is not None


def to_minor(text: str, currency: Currency) -> int:
    """Minor units of a decimal text such as ``-12.50``.

    The text has exactly the currency's scale. NotMoney for another scale, signs other than a
    leading minus, leading zeros, minus zero, digits other than 0-9, and what bigint can't hold.
    """
    found = _TEXT.fullmatch(text) if len(text) <= 25 else None
    if found is None or len(found[2] or "") != currency.exponent:
        raise NotMoney("not a decimal of the currency's scale")
    minor = int(text.replace(".", ""))
    if (minor == 0 and text.startswith("-")) or abs(minor) > MINOR_MAX:
        raise NotMoney("not an amount")
    return minor


def from_minor(amount_minor: int, currency: Currency) -> str:
    """The decimal text of minor units; NotMoney for what bigint can't hold."""
    if abs(amount_minor) > MINOR_MAX:
        raise NotMoney("not an amount")
    digits = str(abs(amount_minor)).rjust(currency.exponent + 1, "0")
    sign = "-" if amount_minor < 0 else ""
    if currency.exponent == 0:
        return sign + digits
    return f"{sign}{digits[: -currency.exponent]}.{digits[-currency.exponent :]}"
