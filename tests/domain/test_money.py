"""Amounts survive the way to text and back, and nothing that isn't one gets in."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import money

CURRENCIES = st.builds(money.Currency, st.just("XXX"), st.integers(0, 4))
AMOUNTS = st.integers(-money.MINOR_MAX, money.MINOR_MAX)


@given(AMOUNTS, CURRENCIES)
def test_every_amount_survives_the_way_to_text_and_back(amount_minor, currency):
    text = money.from_minor(amount_minor, currency)
    assert money.to_minor(text, currency) == amount_minor
    assert money.is_decimal(text)


@given(st.text(alphabet="0123456789.-+eE_ ,٣５", max_size=24), CURRENCIES)
def test_a_text_is_refused_or_is_exactly_what_we_would_print(text, currency):
    try:
        amount_minor = money.to_minor(text, currency)
    except money.NotMoney:
        return
    assert money.from_minor(amount_minor, currency) == text


@given(st.text())
def test_any_text_at_all_is_refused_without_repeating_it(text):
    if re.fullmatch(r"-?[0-9]+\.[0-9]{2}", text, re.ASCII):
        return
    with pytest.raises(money.NotMoney) as refused:
        money.to_minor(text, money.CNY)
    assert str(refused.value) == "not a decimal of the currency's scale"


@pytest.mark.parametrize(
    "text",
    ["1", "1.5", "1.500", "01.00", "+1.00", "-0.00", ".50", "1.", "1e2", "NaN", "Infinity", " 1.00",
     "1.00\n", "1_000.00", "１.00", "92233720368547758.08", "9" * 5000 + ".00", "", "-", "1,00"],
)  # fmt: skip
def test_what_is_no_amount_of_yuan_is_refused(text):
    with pytest.raises(money.NotMoney):
        money.to_minor(text, money.CNY)


def test_the_largest_amounts_of_bigint_are_amounts():
    assert money.to_minor("92233720368547758.07", money.CNY) == money.MINOR_MAX
    assert money.from_minor(-money.MINOR_MAX, money.CNY) == "-92233720368547758.07"
    with pytest.raises(money.NotMoney):
        money.from_minor(money.MINOR_MAX + 1, money.CNY)


def test_a_currency_we_do_not_use_is_refused():
    assert money.currency("CNY") is money.CNY
    with pytest.raises(money.NotMoney):
        money.currency("USD")
    with pytest.raises(ValueError, match="exponent"):
        money.Currency("ETH", 18)
