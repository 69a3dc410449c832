"""Top-ups: what follows from the bank's word about a pull."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

AMOUNT_MIN_MINOR = 1
AMOUNT_MAX_MINOR = 5_000_000
ASK_FIRST = timedelta(minutes=1)
ASK_INTERVAL_MAX = timedelta(hours=1)


class State(StrEnum):
    PROCESSING = "PROCESSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class Verdict(StrEnum):
    """What to do with a top-up now. PERSON: something doesn't add up, so nothing moves."""

    WAIT = "WAIT"
    CREDIT = "CREDIT"
    FAIL = "FAIL"
    DONE = "DONE"
    PERSON = "PERSON"


@dataclass(frozen=True, slots=True)
class Word:
    """The bank's own word on a pull, in minor units."""

    status: State
    amount_minor: int
    currency: str


def judge(*, state: State, amount_minor: int, currency: str, word: Word | None) -> Verdict:
    """What follows when the bank says ``word`` (None: it never got the pull) about a top-up."""
    if word is None or word.status is State.PROCESSING:
        return Verdict.WAIT if state is State.PROCESSING else Verdict.DONE
    if word.status is not State.PROCESSING and state is not State.PROCESSING:
        return Verdict.DONE if word.status is state else Verdict.PERSON
    if word.status is State.FAILED:
        return Verdict.FAIL
    if (word.amount_minor, word.currency) != (amount_minor, currency):
        return Verdict.PERSON
    return Verdict.CREDIT


def ask_again_in(asked_count: int) -> timedelta:
    """How long until the bank is asked again without a callback: doubles up to an hour."""
    return min(ASK_FIRST * 2 ** min(asked_count, 10), ASK_INTERVAL_MAX)
