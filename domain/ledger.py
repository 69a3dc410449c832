"""The words of the money core: operations, legs, instructions, outcomes.

The numbers are those of ``migrations/sql/ledger_*.sql``; a test compares.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from uuid import UUID

import msgspec

from domain import refusals


class AccountRole(IntEnum):
    RESIDENT = 1
    MERCHANT = 2
    BANK_CLEARING = 3
    FEES = 4
    SUSPENSE = 5
    REFUND_ADVANCES = 6


class AccountStatus(IntEnum):
    OPEN = 1
    DEBITS_BLOCKED = 2
    FROZEN = 3
    CLOSED = 4


class FreezeLevel(StrEnum):
    """What a freeze stops: what leaves the wallet, or what others send it too."""

    DEBIT_BLOCK = "DEBIT_BLOCK"
    FULL = "FULL"


BANK_CLEARING_ID = 1
FEES_ID = 2
SUSPENSE_ID = 3
REFUND_ADVANCES_ID = 4
CITY_ACTOR_ID = 0


class Operation(IntEnum):
    """What an instruction asks for; each is a row of ``ledger.operation`` with its rules."""

    TOP_UP = 10
    TRANSFER = 20
    CREATE_PAYMENT = 30
    CONFIRM_PAYMENT = 31
    CANCEL_PAYMENT = 32
    EXPIRE_PAYMENT = 33
    REQUEST_REFUND = 40
    APPROVE_REFUND = 41
    REJECT_REFUND = 42
    FREEZE = 50
    UNFREEZE = 51
    FREEZE_OWN = 52
    UNFREEZE_OWN = 53
    SET_ALLOWANCE = 60
    SET_CAUTION = 61
    CLOSE_WALLET = 70


class Outcome(IntEnum):
    """How an instruction ended. Kept with its key, except NOT_FOUND, KEY_REUSED, NOT_PERMITTED."""

    POSTED = 0
    INSUFFICIENT_FUNDS = 1
    ACCOUNT_FROZEN = 2
    DAILY_LIMIT_EXCEEDED = 3
    NOT_FOUND = 4
    CURRENCY_MISMATCH = 5
    KEY_REUSED = 6
    NOT_PERMITTED = 7
    WRONG_STATE = 8
    PROOF_REQUIRED = 9
    REFUND_EXCEEDS_PAYMENT = 11
    REVIEWER_IS_PARTY = 12
    PAYEE_UNAVAILABLE = 13
    EXPIRED = 14
    OUTSIDE_POLICY = 15
    NOT_EMPTY = 16


NOT_KEPT = frozenset({Outcome.NOT_FOUND, Outcome.KEY_REUSED, Outcome.NOT_PERMITTED})


@dataclass(frozen=True, slots=True)
class Leg:
    """``amount_minor`` < 0 debits the account; 0 only takes a number in its sequence."""

    account_id: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Instruction:
    """One request to move money or to change what guards it. Build it with ``instruct``."""

    actor_id: int
    operation: Operation
    key: str
    input_hash: bytes
    legs: tuple[Leg, ...]
    subject_id: UUID | None = None
    related_id: UUID | None = None
    proof_id: UUID | None = None
    memo: bytes | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to an instruction. ``entry_id`` also names the payment or refund that it made."""

    outcome: Outcome
    entry_id: UUID | None
    replayed: bool
    at: datetime
    state: int | None


def move(debit_id: int, credit_id: int, amount_minor: int) -> tuple[Leg, ...]:
    """The two legs that take an amount from one account to another, in lock order."""
    assert amount_minor > 0
    assert debit_id != credit_id
    legs = (Leg(debit_id, -amount_minor), Leg(credit_id, amount_minor))
    return legs if debit_id < credit_id else (legs[1], legs[0])


def touch(account_id: int) -> tuple[Leg, ...]:
    """No money: the operation takes its place in the account's own sequence."""
    return (Leg(account_id, 0),)


def given_minor(instruction: Instruction) -> int:
    """The most that one account gives by an instruction; 0 where no money moves."""
    return max((-leg.amount_minor for leg in instruction.legs), default=0)


def instruct(
    *,
    actor_id: int,
    operation: Operation,
    key: str,
    legs: tuple[Leg, ...],
    subject_id: UUID | None = None,
    related_id: UUID | None = None,
    note: str | None = None,
    memo: bytes | None = None,
    detail: dict[str, object] | None = None,
) -> Instruction:
    """An instruction whose hash covers all that the caller asked for.

    ``note`` stands for the text behind ``memo``, the same for the same text: ciphertexts differ
    each time, and the text itself could be guessed from the hash.
    """
    text = None if detail is None else msgspec.json.encode(detail, order="sorted").decode()
    parts = (operation.value, subject_id, related_id, note, text)
    return Instruction(
        actor_id=actor_id,
        operation=operation,
        key=key,
        input_hash=hash_input(parts, legs),
        legs=legs,
        subject_id=subject_id,
        related_id=related_id,
        memo=memo,
        detail=text,
    )


def hash_input(parts: Iterable[object], legs: Iterable[Leg]) -> bytes:
    """16 bytes that differ whenever the input differs."""
    text = repr((tuple(parts), [(leg.account_id, leg.amount_minor) for leg in legs]))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


REFUSALS: dict[Outcome, type[refusals.Refusal]] = {
    Outcome.INSUFFICIENT_FUNDS: refusals.InsufficientFunds,
    Outcome.ACCOUNT_FROZEN: refusals.AccountFrozen,
    Outcome.DAILY_LIMIT_EXCEEDED: refusals.DailyLimitExceeded,
    Outcome.NOT_FOUND: refusals.NotFound,
    Outcome.CURRENCY_MISMATCH: refusals.InvalidInput,
    Outcome.KEY_REUSED: refusals.IdempotencyKeyReused,
    Outcome.WRONG_STATE: refusals.PaymentNotPayable,
    Outcome.PROOF_REQUIRED: refusals.ProofRequired,
    Outcome.REFUND_EXCEEDS_PAYMENT: refusals.RefundNotPossible,
    Outcome.REVIEWER_IS_PARTY: refusals.ReviewerIsParty,
    Outcome.PAYEE_UNAVAILABLE: refusals.PayeeUnavailable,
    Outcome.EXPIRED: refusals.PaymentExpired,
}
"""What a no means to the user. The others are faults of ours, or answers to jobs."""


def check(receipt: Receipt, instead: dict[Outcome, type[refusals.Refusal]] | None = None) -> None:
    """Raise the refusal that the outcome stands for; ``instead`` overrides by operation."""
    if receipt.outcome is Outcome.POSTED:
        return
    table = REFUSALS | (instead or {})
    if receipt.outcome not in table:
        raise RuntimeError(f"the ledger refused an instruction of ours: {receipt.outcome.name}")
    raise table[receipt.outcome]()
