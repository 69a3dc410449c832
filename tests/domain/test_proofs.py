"""Which proofs are enough, by rules that are data; and what a proof stands for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain import ledger, proof_challenges, proofs
from domain.proof_challenges import Purpose
from domain.proofs import STRONGEST, Action, Facts, Method, Rule, Terms

NOW = datetime(2026, 11, 20, tzinfo=UTC)
EVERY = frozenset(Method)
ANY = Rule(
    deed="TRANSFER",
    amount_min_minor=0,
    kyc_level_max=None,
    risk_min=None,
    device_younger_than_seconds=None,
    sufficient=EVERY,
    valid_from=NOW - timedelta(days=1),
    valid_until=None,
)


def enough(*rules: Rule, amount_minor: int = 100, at: datetime = NOW, **facts: int) -> set[Method]:
    known = Facts(**({"kyc_level": 2, "device_age_seconds": 10**6} | facts))
    return set(
        proofs.sufficient(rules, deed="TRANSFER", amount_minor=amount_minor, facts=known, at=at)
    )


def strong(**changes: object) -> Rule:
    return replace(ANY, sufficient=STRONGEST, **changes)  # type: ignore[arg-type]


def test_without_a_rule_only_the_strongest_do() -> None:
    assert enough() == STRONGEST
    assert enough(replace(ANY, deed="CONFIRM_PAYMENT")) == STRONGEST


def test_every_rule_that_holds_has_to_be_satisfied() -> None:
    assert enough(ANY) == EVERY
    assert enough(ANY, strong()) == STRONGEST
    assert enough(strong(), replace(ANY, sufficient=frozenset({Method.PASSKEY}))) == {
        Method.PASSKEY
    }


def test_rules_that_contradict_each_other_lock_nobody_out() -> None:
    only_pin = replace(ANY, sufficient=frozenset({Method.PIN}))
    assert enough(only_pin, strong()) == STRONGEST


@pytest.mark.parametrize(
    ("rule", "holds", "not_"),
    [
        (strong(amount_min_minor=500), {"amount_minor": 500}, {"amount_minor": 499}),
        (strong(kyc_level_max=1), {"kyc_level": 1}, {"kyc_level": 2}),
        (strong(risk_min=50), {"risk": 50}, {"risk": 49}),
        (
            strong(device_younger_than_seconds=86_400),
            {"device_age_seconds": 86_399},
            {"device_age_seconds": 86_400},
        ),
        (strong(valid_until=NOW), {"at": NOW - timedelta(seconds=1)}, {"at": NOW}),
        (strong(valid_from=NOW), {"at": NOW}, {"at": NOW - timedelta(seconds=1)}),
    ],
    ids=["amount", "kyc level", "risk", "device age", "ended", "begun"],
)
def test_a_rule_holds_up_to_its_bounds(rule: Rule, holds: dict, not_: dict) -> None:
    assert enough(ANY, rule, **holds) == STRONGEST
    assert enough(ANY, rule, **not_) == EVERY


def test_what_is_not_known_counts_as_the_worse() -> None:
    for rule in (strong(kyc_level_max=1), strong(device_younger_than_seconds=60)):
        found = proofs.sufficient(
            [ANY, rule], deed="TRANSFER", amount_minor=1, facts=Facts(), at=NOW
        )
        assert set(found) == STRONGEST


TERMS = Terms(user_id=1, deed="TRANSFER", key="k", input_hash=b"h" * 16, amount_minor=5)


@pytest.mark.parametrize(
    "change",
    [
        {"user_id": 2},
        {"deed": "CONFIRM_PAYMENT"},
        {"key": "l"},
        {"input_hash": b"i" * 16},
        {"amount_minor": 6},
    ],
    ids=str,
)
def test_any_difference_in_the_terms_makes_another_challenge(change: dict) -> None:
    other = replace(TERMS, **change)
    assert other.digest() != TERMS.digest()
    chance = b"c" * 32
    nonces = {
        proof_challenges.nonce(terms.digest(), purpose, chance)
        for terms in (TERMS, other)
        for purpose in Purpose
    }
    assert len(nonces) == 2 * len(Purpose)


def test_deeds_with_and_without_money_are_never_called_the_same() -> None:
    assert not {one.name for one in ledger.Operation} & {one.value for one in Action}
    assert TERMS.action is None
    assert proofs.terms_of_action(1, Action.EXPORT_DATA, "").action is Action.EXPORT_DATA
