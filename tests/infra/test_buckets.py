"""The rule of the token bucket, against one that counts tokens in fractions."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from infra.buckets import MINUTE_US, Buckets, Demand, Rate

RATES = st.builds(Rate, st.integers(1, 100_000), st.integers(1, 50))
STEPS = st.lists(st.tuples(st.integers(0, 5_000_000), st.integers(1, 60)), max_size=60)


class Model:
    """Tokens come back by time, up to the burst, and are taken if there are enough."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.tokens = Fraction(rate.burst)
        self.at_us = 0

    def take(self, cost: int, *, now_us: int) -> bool:
        returned = Fraction(now_us - self.at_us, self.rate.interval_us)
        self.tokens = min(Fraction(self.rate.burst), self.tokens + returned)
        self.at_us = now_us
        cost = min(cost, self.rate.burst)
        if cost > self.tokens:
            return False
        self.tokens -= cost
        return True


@given(RATES, STEPS)
def test_a_bucket_allows_exactly_what_its_tokens_allow(rate, steps):
    model, buckets, now_us = Model(rate), Buckets(size_max=10), 0
    for pause_us, cost in steps:
        now_us += pause_us
        verdict = buckets.take([Demand("one", rate, cost)], now_us=now_us)
        assert verdict.allowed == model.take(cost, now_us=now_us)
        assert verdict.allowed == (verdict.wait_us == 0)


@given(RATES, STEPS)
def test_the_wait_that_is_told_is_the_shortest_that_helps(rate, steps):
    buckets, now_us = Buckets(size_max=10), 0
    for pause_us, cost in steps:
        now_us += pause_us
        verdict = buckets.take([Demand("one", rate, cost)], now_us=now_us)
        if not verdict.allowed:
            early = now_us + verdict.wait_us - 1
            assert not buckets.take([Demand("one", rate, cost)], now_us=early).allowed
            now_us += verdict.wait_us
            assert buckets.take([Demand("one", rate, cost)], now_us=now_us).allowed


@given(RATES, st.integers(1, 10 * MINUTE_US), st.integers(1, 1_000_000))
def test_no_window_gets_more_than_the_burst_and_what_came_back(rate, window_us, step_us):
    buckets = Buckets(size_max=10)
    step_us = max(step_us, window_us // 500)
    allowed = sum(
        buckets.take([Demand("one", rate)], now_us=now_us).allowed
        for now_us in range(0, window_us, step_us)
    )
    assert allowed <= rate.burst + window_us * rate.per_minute / MINUTE_US + 1


@given(st.lists(st.sampled_from("abc"), max_size=60))
def test_of_several_demands_all_are_met_or_none(asked):
    wide, narrow = Rate(1, 1000), Rate(1, 3)
    buckets = Buckets(size_max=10)
    met = [
        buckets.take([Demand("wide", wide), Demand(name, narrow)], now_us=0).allowed
        for name in asked
    ]
    assert sum(met) == sum(min(3, asked.count(name)) for name in "abc")
    left = buckets.take([Demand("wide", wide, 1000 - sum(met))], now_us=0)
    assert left.allowed  # what was refused took nothing from the wide one
    assert not buckets.take([Demand("wide", wide)], now_us=0).allowed


def test_only_so_many_buckets_are_remembered_and_the_longest_unused_goes_first():
    buckets, rate = Buckets(size_max=100), Rate(1, 1)
    assert buckets.take([Demand("kept", rate)], now_us=0).allowed
    for number in range(1000):
        buckets.take([Demand(f"other {number}", rate)], now_us=0)
        if number % 50 == 0:
            buckets.take([Demand("kept", Rate(1, 100))], now_us=0)
    assert len(buckets) == 100
    assert not buckets.take([Demand("kept", rate)], now_us=0).allowed
    assert buckets.take([Demand("other 1", rate)], now_us=0).allowed


def test_a_stricter_rate_is_a_part_of_it_and_never_nothing():
    assert Rate(600, 120).stricter(4) == Rate(150, 30)
    assert Rate(2, 1).stricter(4) == Rate(1, 1)
