"""The anomaly rules: planted cases are found, near misses and ordinary life are not."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import risk
from domain.risk import Burst, Debit, Drain, Habit, Rule, Rules

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
BURST = Burst(count=12, seconds=60)
HABIT = Habit(factor=20, amount_min_minor=50_000, history_min=5)
DRAIN = Drain(share=0.95, amount_min_minor=20_000, seconds=600)
ALL = Rules(burst=BURST, habit=HABIT, drain=DRAIN)


def debits(*lines: tuple[float, int, int], balance: int = 10_000_000) -> list[Debit]:
    """Of (second, amount, payee) lines."""
    made = []
    for seq, (second, amount, payee) in enumerate(lines, 1):
        at = START + timedelta(seconds=second)
        made.append(Debit(at, seq, amount, payee, balance))
        balance -= amount
    return made


def judged(lines: list[Debit], rules: Rules = ALL, **options: object) -> list[Rule]:
    found = risk.judge(lines, rules, **({"judged_from": START} | options))
    return [one.rule for one in found]


@given(count=st.integers(2, 20), seconds=st.integers(1, 300), data=st.data())
def test_a_burst_is_found_exactly_if_enough_payments_lie_within_the_seconds(
    count: int, seconds: int, data: st.DataObject
) -> None:
    gaps = data.draw(st.lists(st.integers(0, seconds), max_size=40))
    at, lines = 0, [(0.0, 100, 1)]
    for gap in gaps:
        at += gap
        lines.append((float(at), 100, 1))
    times = [line[0] for line in lines]
    expected = any(
        times[last] - times[last - count + 1] <= seconds for last in range(count - 1, len(times))
    )

    found = risk.burst(debits(*lines), Burst(count=count, seconds=seconds))

    assert (found is not None) == expected
    if found is not None:
        assert len(found.seqs) == count
        took = times[found.seqs[-1] - 1] - times[found.seqs[0] - 1]
        assert took <= seconds


def test_eleven_payments_a_minute_are_no_burst_and_twelve_are() -> None:
    lines = [(n * 5.0, 1_000, 1) for n in range(11)]

    assert judged(debits(*lines)) == []
    assert judged(debits(*lines, (60.0, 1_000, 1))) == [Rule.PAYMENT_BURST]
    assert judged(debits(*lines, (60.001, 1_000, 1))) == []


@given(
    earlier=st.lists(st.integers(1, 20_000), max_size=12),
    amount=st.integers(1, 500_000),
    factor=st.integers(2, 40),
)
def test_an_amount_is_far_above_habit_exactly_at_the_thresholds(
    earlier: list[int], amount: int, factor: int
) -> None:
    rule = Habit(factor=factor, amount_min_minor=50_000, history_min=5)
    lines = debits(*((float(n), one, 1) for n, one in enumerate([*earlier, amount])))
    ordered = sorted(earlier)
    middle = len(ordered) // 2
    usual = 0.0
    if ordered:
        usual = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    expected = len(earlier) >= 5 and amount >= 50_000 and amount >= factor * usual

    found = risk.habit(lines, rule, start=len(lines) - 1)

    assert (found is not None) == expected


@pytest.mark.parametrize(
    ("taken", "found"), [(95_000, True), (94_999, False), (100_000, True), (19_999, False)]
)
def test_a_wallet_is_drained_at_the_share_and_not_below_it(taken: int, found: bool) -> None:
    lines = debits((0, taken, 9), balance=100_000)

    assert judged(lines, Rules(drain=DRAIN)) == ([Rule.DRAINED_TO_NEW_PAYEE] if found else [])


def test_small_wallets_may_be_emptied() -> None:
    assert judged(debits((0, 19_999, 9), balance=19_999), Rules(drain=DRAIN)) == []
    assert judged(debits((0, 20_000, 9), balance=20_000), Rules(drain=DRAIN)) != []


@given(parts=st.integers(1, 6), span=st.integers(0, 1_200))
def test_draining_in_parts_counts_within_ten_minutes(parts: int, span: int) -> None:
    step = span / max(parts - 1, 1)
    lines = debits(*((n * step, 16_000, 9) for n in range(parts)), balance=parts * 16_000)
    within = sum(1 for n in range(parts) if n * step <= 600)
    expected = within == parts and parts * 16_000 >= 20_000

    assert (judged(lines, Rules(drain=DRAIN)) != []) == expected


def test_a_known_payee_may_be_paid_everything() -> None:
    known = debits((0, 1_000, 9), (700, 99_000, 9), balance=100_000)
    late = START + timedelta(seconds=600)

    assert judged(known, Rules(drain=DRAIN), judged_from=late) == []


def test_what_is_older_than_the_last_unfreezing_is_no_evidence() -> None:
    lines = debits(*((float(n), 1_000, 1) for n in range(12)))

    assert judged(lines) == [Rule.PAYMENT_BURST]
    assert judged(lines, after_seq=1) == []
    assert judged(lines, after_seq=12) == []


def test_the_same_debits_always_give_the_same_key() -> None:
    lines = debits(*((float(n), 1_000, 1) for n in range(12)))
    [first] = risk.judge(lines, ALL, judged_from=START)
    more = [*lines, Debit(START + timedelta(seconds=30), 13, 5, 1, 1)]
    [again] = risk.judge(more, ALL, judged_from=START)

    assert first.key(1000) == again.key(1000) == "PAYMENT_BURST:1000:12"


def test_thresholds_that_no_rule_has_are_an_error() -> None:
    with pytest.raises(TypeError):
        Rules.of({"PAYMENT_BURST": {"count": 3, "second": 1}})


def ordinary_life(seed: int) -> list[Debit]:
    """Two weeks of a resident: breakfast, shops, a few transfers to friends, a top-up in time."""
    chance = random.Random(seed)
    lines: list[Debit] = []
    balance, seq = 30_000, 1
    usual = [chance.randrange(1, 20) for _ in range(5)]
    for day in range(14):
        hours = sorted(chance.uniform(7, 22) for _ in range(chance.randrange(1, 6)))
        for hour in hours:
            amount = int(chance.lognormvariate(7.8, 0.8)) + 100
            while balance < amount * 1.3:
                balance += 50_000
                seq += 1
            payee = chance.choice(usual) if chance.random() < 0.8 else chance.randrange(1, 60)
            lines.append(
                Debit(START + timedelta(days=day, hours=hour - 8), seq, amount, payee, balance)
            )
            balance -= amount
            seq += 1
    return lines


@pytest.mark.parametrize("seed", range(200))
def test_two_weeks_of_ordinary_life_are_never_suspicious(seed: int) -> None:
    life = ordinary_life(seed)
    for end in range(1, len(life) + 1):
        seen = life[:end]
        assert judged(seen, judged_from=seen[-1].at - ALL.lookback) == []
