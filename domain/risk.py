"""Anomalies in what leaves a wallet: three rules, their thresholds being data.

A rule sees one wallet's debits in the order of the account, and says which of them together are
suspicious. It never sees balances of others, names or times of day.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median
from typing import Any

HISTORY_MAX = 200
HISTORY_DAYS = 90
SCAN_OVERLAP = timedelta(minutes=5)


class Rule(StrEnum):
    """Why a wallet was frozen. MANUAL: a member of staff did it and wrote why."""

    PAYMENT_BURST = "PAYMENT_BURST"
    AMOUNT_FAR_ABOVE_HABIT = "AMOUNT_FAR_ABOVE_HABIT"
    DRAINED_TO_NEW_PAYEE = "DRAINED_TO_NEW_PAYEE"
    MANUAL = "MANUAL"

    @classmethod
    def of(cls, code: object) -> Rule:
        """The rule of a code; what no rule explains, somebody did by hand."""
        return cls(code) if code in cls.__members__ else cls.MANUAL


class CaseState(StrEnum):
    """Where a case stands; LIFTED: the wallet works again."""

    OPEN = "OPEN"
    APPEALED = "APPEALED"
    LIFTED = "LIFTED"


@dataclass(frozen=True, slots=True)
class Burst:
    """``count`` payments within ``seconds``."""

    count: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Habit:
    """At least ``factor`` times the median of at least ``history_min`` earlier amounts."""

    factor: float
    amount_min_minor: int
    history_min: int


@dataclass(frozen=True, slots=True)
class Drain:
    """At least ``share`` of the balance, within ``seconds``, to one payee never paid before."""

    share: float
    amount_min_minor: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Rules:
    """The thresholds of the rules that are switched on."""

    burst: Burst | None = None
    habit: Habit | None = None
    drain: Drain | None = None

    @classmethod
    def of(cls, thresholds: dict[str, dict[str, Any]]) -> Rules:
        """From the rows of the table, by code. TypeError for thresholds that no rule has."""
        burst = thresholds.get(Rule.PAYMENT_BURST)
        habit = thresholds.get(Rule.AMOUNT_FAR_ABOVE_HABIT)
        drain = thresholds.get(Rule.DRAINED_TO_NEW_PAYEE)
        return cls(
            burst=Burst(**burst) if burst else None,
            habit=Habit(**habit) if habit else None,
            drain=Drain(**drain) if drain else None,
        )

    @property
    def lookback(self) -> timedelta:
        """How far back debits count as evidence: the longest window, and what may come late."""
        windows = [rule.seconds for rule in (self.burst, self.drain) if rule]
        return timedelta(seconds=max(windows, default=0)) + SCAN_OVERLAP


@dataclass(frozen=True, slots=True)
class Debit:
    """Money that left the wallet. Amounts in minor units, positive."""

    at: datetime
    seq: int
    amount_minor: int
    payee_id: int | None
    balance_before_minor: int


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What a rule found: the numbers of the debits, and facts for who looks at the case."""

    rule: Rule
    seqs: tuple[int, ...]
    facts: dict[str, int | float] = field(default_factory=dict)
    payee_id: int | None = None

    def key(self, account_id: int) -> str:
        """The freeze's idempotency key: the same debits freeze once."""
        return f"{self.rule}:{account_id}:{self.seqs[-1]}"

    def evidence(self) -> dict[str, object]:
        return {"postings": list(self.seqs), **self.facts}


def judge(
    debits: Sequence[Debit], rules: Rules, *, judged_from: datetime, after_seq: int = 0
) -> list[Suspicion]:
    """What is suspicious about a wallet's debits, oldest first; at most one finding per rule (and
    per payee for DRAINED_TO_NEW_PAYEE).

    Debits before ``judged_from``, and those up to the number ``after_seq`` of the last unfreezing,
    are habit and not evidence. DRAINED_TO_NEW_PAYEE holds only if ``payee_id`` was not paid before
    the debits given either: whoever keeps the whole history has to look.
    """
    start = max(
        bisect_left(debits, judged_from, key=lambda debit: debit.at),
        bisect_right(debits, after_seq, key=lambda debit: debit.seq),
    )
    found = (
        rules.burst and burst(debits[start:], rules.burst),
        rules.habit and habit(debits, rules.habit, start=start),
        *(drain(debits, rules.drain, start=start) if rules.drain else ()),
    )
    return [one for one in found if one]


def burst(debits: Sequence[Debit], rule: Burst) -> Suspicion | None:
    """The first ``count`` debits that lie within ``seconds``."""
    for last in range(rule.count - 1, len(debits)):
        group = debits[last - rule.count + 1 : last + 1]
        took = (group[-1].at - group[0].at).total_seconds()
        if took <= rule.seconds:
            facts: dict[str, int | float] = {
                "count": rule.count,
                "took_seconds": took,
                "amount_minor": sum(debit.amount_minor for debit in group),
            }
            return Suspicion(Rule.PAYMENT_BURST, tuple(debit.seq for debit in group), facts)
    return None


def habit(debits: Sequence[Debit], rule: Habit, *, start: int) -> Suspicion | None:
    """The first debit from ``start`` on that is far above what left the wallet before it."""
    for place in range(max(start, rule.history_min), len(debits)):
        amount_minor = debits[place].amount_minor
        if amount_minor < rule.amount_min_minor:
            continue
        usual_minor = median(debit.amount_minor for debit in debits[:place])
        if amount_minor >= rule.factor * usual_minor:
            facts = {"amount_minor": amount_minor, "median_minor": usual_minor, "count": place}
            return Suspicion(Rule.AMOUNT_FAR_ABOVE_HABIT, (debits[place].seq,), facts)
    return None


def drain(debits: Sequence[Debit], rule: Drain, *, start: int) -> list[Suspicion]:
    """The runs of debits from ``start`` on that empty the wallet to a new payee, one a payee."""
    known = {debit.payee_id for debit in debits[:start]}
    found: list[Suspicion] = []
    for place in range(start, len(debits)):
        first = debits[place]
        if first.payee_id in known or first.payee_id is None:
            continue
        known.add(first.payee_id)
        group = [
            debit
            for debit in debits[place:]
            if debit.payee_id == first.payee_id
            and (debit.at - first.at).total_seconds() <= rule.seconds
        ]
        emptied = _emptied(group, rule)
        if emptied is not None:
            found.append(emptied)
    return found


def _emptied(group: Sequence[Debit], rule: Drain) -> Suspicion | None:
    """The shortest start of the group that takes the share of the balance before it."""
    before_minor, taken_minor = group[0].balance_before_minor, 0
    for count, debit in enumerate(group, 1):
        taken_minor += debit.amount_minor
        if taken_minor >= rule.amount_min_minor and taken_minor >= rule.share * before_minor:
            facts: dict[str, int | float] = {
                "amount_minor": taken_minor,
                "share": round(taken_minor / before_minor, 3),
                "count": count,
            }
            seqs = tuple(one.seq for one in group[:count])
            return Suspicion(Rule.DRAINED_TO_NEW_PAYEE, seqs, facts, debit.payee_id)
    return None


TEXTS: dict[Rule, tuple[str, str]] = {
    Rule.PAYMENT_BURST: (
        "短时间内付款次数异常频繁",
        "an unusual number of payments in a very short time",
    ),
    Rule.AMOUNT_FAR_ABOVE_HABIT: (
        "有一笔支出远高于您平时的金额",
        "a payment far above the amounts you usually pay",
    ),
    Rule.DRAINED_TO_NEW_PAYEE: (
        "余额几乎全部付给了此前从未付过款的收款方",
        "almost the whole balance went to somebody you had never paid before",
    ),
    Rule.MANUAL: ("经工作人员人工核查", "a check by our staff"),
}


def rule_text(rule: Rule, language: str) -> str:
    """Why the wallet was frozen, in words."""
    zh, en = TEXTS[rule]
    return zh if language.lower().startswith("zh") else en
