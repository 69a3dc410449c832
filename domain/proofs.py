"""Proving anew who one is, for money and for what is as sensitive: how, for what, how strongly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Method(StrEnum):
    """How somebody proves it; the words of ``ledger.proof.method``.

    PASSWORD never moves money: see BY_PASSWORD.
    """

    PIN = "PIN"
    PIN_AND_CODE = "PIN_AND_CODE"
    PASSKEY = "PASSKEY"
    PASSWORD = "PASSWORD"  # noqa: S105 - no password


STRONGEST = frozenset({Method.PIN_AND_CODE, Method.PASSKEY})
"""What is asked for when nobody has written down what is."""


class Action(StrEnum):
    """What moves no money and still needs a fresh proof."""

    CHANGE_PASSWORD = "CHANGE_PASSWORD"  # noqa: S105 - no password
    CHANGE_PHONE = "CHANGE_PHONE"
    RESET_PIN = "RESET_PIN"
    EXPORT_DATA = "EXPORT_DATA"
    CLOSE_ACCOUNT = "CLOSE_ACCOUNT"
    ELEVATE = "ELEVATE"


BY_PASSWORD = frozenset({Action.EXPORT_DATA, Action.CLOSE_ACCOUNT})
"""Everybody's rights, also of applicants, who can have neither PIN nor passkey yet: whoever has
neither does these by the login password, shown anew in a session of two factors."""


@dataclass(frozen=True, slots=True)
class Pin:
    """The payment PIN, as it was typed."""

    pin: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PinAndCode:
    """The payment PIN, and the code that was sent for a challenge."""

    pin: str = field(repr=False)
    verification_id: UUID
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Passkey:
    """A passkey's answer to a challenge: ``credential`` is the JSON that the browser made of it."""

    challenge_id: UUID
    credential: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Password:
    """The login password, and where from it was typed (a network address): tries are counted."""

    password: str = field(repr=False)
    address: str = field(repr=False)


Given = Pin | PinAndCode | Passkey
"""What a caller offers as a proof."""


def method_of(given: Given | Password) -> Method:
    if isinstance(given, Password):
        return Method.PASSWORD
    if isinstance(given, Pin):
        return Method.PIN
    return Method.PIN_AND_CODE if isinstance(given, PinAndCode) else Method.PASSKEY


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What exactly is to be proven: whose deed, which, under which key, with which input.

    ``deed`` is the name of an operation of the ledger or of an `Action`. ``input_hash`` covers
    payment, payee, amount and words, as `domain.ledger.instruct` made it, or the subject of a deed
    without money (whose ``amount_minor`` is 0).
    """

    user_id: int
    deed: str
    key: str
    input_hash: bytes
    amount_minor: int

    @property
    def action(self) -> Action | None:
        """The deed, if it moves no money."""
        return Action(self.deed) if self.deed in Action.__members__ else None

    def digest(self) -> bytes:
        """32 bytes that differ whenever anything of it differs."""
        parts = (self.user_id, self.deed, self.key, self.input_hash.hex(), self.amount_minor)
        return hashlib.sha256(repr(("proof of", *parts)).encode()).digest()


def terms_of_action(user_id: int, action: Action, subject: str) -> Terms:
    """The terms of a deed without money; ``subject`` names what it is about, or is empty."""
    return Terms(
        user_id=user_id,
        deed=action.value,
        key="",
        input_hash=hashlib.sha256(subject.encode()).digest(),
        amount_minor=0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of whoever proves; None is unknown, and then every rule about it applies.

    ``kyc_level`` counts the members of `domain.identity.KycLevel` from 0.
    """

    kyc_level: int | None = None
    device_age_seconds: int | None = None
    risk: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A row of the proof policy: for which deeds it holds, and which methods satisfy it.

    ``kyc_level_max`` holds for this level and those below, ``risk_min`` from this risk on (0 to
    100), ``device_younger_than_seconds`` for devices enrolled less than so long ago; None for all.
    """

    deed: str
    amount_min_minor: int
    kyc_level_max: int | None
    risk_min: int | None
    device_younger_than_seconds: int | None
    sufficient: frozenset[Method]
    valid_from: datetime
    valid_until: datetime | None

    def holds(self, deed: str, amount_minor: int, facts: Facts, at: datetime) -> bool:
        """Whether this rule is about such a deed at that time."""
        return (
            self.deed == deed
            and amount_minor >= self.amount_min_minor
            and self.valid_from <= at
            and (self.valid_until is None or at < self.valid_until)
            and (self.risk_min is None or facts.risk >= self.risk_min)
            and _below(facts.kyc_level, self.kyc_level_max, inclusive=True)
            and _below(facts.device_age_seconds, self.device_younger_than_seconds, inclusive=False)
        )


def _below(fact: int | None, bound: int | None, *, inclusive: bool) -> bool:
    if bound is None or fact is None:
        return True
    return fact <= bound if inclusive else fact < bound


def sufficient(
    rules: Iterable[Rule], *, deed: str, amount_minor: int, facts: Facts, at: datetime
) -> list[Method]:
    """The methods that satisfy every rule which holds; without any rule only the strongest.

    Never empty: rules that contradict each other leave the strongest, too.
    """
    held = [rule.sufficient for rule in rules if rule.holds(deed, amount_minor, facts, at)]
    common = frozenset(Method).intersection(*held) if held else STRONGEST
    return [method for method in Method if method in (common or STRONGEST)]
