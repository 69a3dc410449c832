"""The test cards: their first six digits decide how the bank treats them.

The outcome prefixes belong to no real bank, so a card made up for another purpose is a normal one.
"""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """What a card does."""

    NORMAL = "NORMAL"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    SLOW = "SLOW"
    DECLINED = "CARD_DECLINED"
    UNKNOWN = "CARD_UNKNOWN"
    HOLDER_MISMATCH = "HOLDER_MISMATCH"


BY_PREFIX = {
    "629901": Outcome.INSUFFICIENT_FUNDS,
    "629902": Outcome.SLOW,
    "629903": Outcome.DECLINED,
    "629904": Outcome.UNKNOWN,
    "629905": Outcome.HOLDER_MISMATCH,
}
NOT_LINKED = frozenset({Outcome.UNKNOWN, Outcome.HOLDER_MISMATCH})
FAILING = frozenset({Outcome.INSUFFICIENT_FUNDS, Outcome.DECLINED})

BANK_NAMES = (
    "Pengcheng City Bank",
    "Harbour Commercial Bank",
    "Lychee Rural Bank",
    "Mangrove Savings Bank",
)


def is_number(text: str) -> bool:
    """Twelve to nineteen ASCII digits whose Luhn sum is right."""
    if not (text.isascii() and text.isdigit() and 12 <= len(text) <= 19):
        return False
    digits = [int(digit) for digit in reversed(text)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[0::2]) + sum(doubled)) % 10 == 0


def outcome(number: str) -> Outcome:
    """How the card behaves; cards that don't begin with 62 belong to nobody."""
    if not number.startswith("62"):
        return Outcome.UNKNOWN
    return BY_PREFIX.get(number[:6], Outcome.NORMAL)


def bank_name(number: str) -> str:
    """The bank that issued it, the same each time."""
    return BANK_NAMES[int(number[:6]) % len(BANK_NAMES)]
