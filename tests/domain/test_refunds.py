"""Whether a signed policy covers a refund."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import refunds
from domain.refunds import Facts, Policy

POLICY = Policy(
    id=7,
    amount_max_minor=10_000,
    payment_age_max_seconds=86_400,
    refunds_max_per_30_days=2,
    signed_by=33,
)
FACTS = Facts(
    amount_minor=10_000,
    payment_age_seconds=86_400,
    refunds_30_days=2,
    merchant_id=None,
    merchant_covers=True,
)
NOBODY: frozenset[int] = frozenset()


def test_a_policy_covers_up_to_its_limits_and_not_beyond_any_of_them() -> None:
    assert refunds.covering([POLICY], FACTS, parties=NOBODY) is POLICY
    for beyond in (
        replace(FACTS, amount_minor=10_001),
        replace(FACTS, payment_age_seconds=86_401),
        replace(FACTS, refunds_30_days=3),
    ):
        assert refunds.covering([POLICY], beyond, parties=NOBODY) is None


def test_no_policy_covers_what_its_signer_is_a_party_to() -> None:
    second = replace(POLICY, id=8, signed_by=34)

    assert refunds.covering([POLICY], FACTS, parties=frozenset({33})) is None
    assert refunds.covering([second, POLICY], FACTS, parties=frozenset({33})) is second


def test_the_oldest_covering_policy_is_taken() -> None:
    small = replace(POLICY, id=1, amount_max_minor=1)
    later = replace(POLICY, id=9)

    assert refunds.covering([later, POLICY, small], FACTS, parties=NOBODY) is POLICY


@given(
    amount=st.integers(1, 20_000),
    age=st.integers(0, 200_000),
    count=st.integers(1, 5),
)
def test_covered_means_within_all_three_limits(amount: int, age: int, count: int) -> None:
    facts = replace(FACTS, amount_minor=amount, payment_age_seconds=age, refunds_30_days=count)

    covered = refunds.covering([POLICY], facts, parties=NOBODY) is not None

    assert covered == (amount <= 10_000 and age <= 86_400 and count <= 2)


@pytest.mark.parametrize("state", refunds.State)
def test_states_are_the_ledgers_numbers(state: refunds.State) -> None:
    assert {1: "REQUESTED", 2: "APPROVED", 3: "REJECTED"}[state.value] == state.name
