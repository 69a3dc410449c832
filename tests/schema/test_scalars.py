"""Nothing but exact decimals, instants with an offset, and cursors of ours gets in."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import strawberry
from hypothesis import given
from hypothesis import strategies as st
from strawberry.schema.config import StrawberryConfig

from domain import money, refusals
from schema import scalars


@strawberry.type
class Query:
    @strawberry.field
    def minor(self, amount: scalars.MoneyInput) -> str:
        try:
            return str(amount.to_minor("amount"))
        except refusals.InvalidInput as refusal:
            return ".".join(refusal.path or ())

    @strawberry.field
    def instant(self, at: datetime) -> datetime:
        return at

    @strawberry.field
    def cursor(self, after: scalars.EventCursor) -> scalars.EventCursor:
        return after

    @strawberry.field
    def price(self) -> scalars.Money:
        return scalars.Money.of(123456)


SCHEMA = strawberry.Schema(Query, config=StrawberryConfig(scalar_map=scalars.SCALAR_MAP))
MINOR = "query($v: Decimal!) { minor(amount: {amount: $v, currencyCode: CNY}) }"


def ask(document, **variables):
    return SCHEMA.execute_sync(document, variable_values=variables)


def test_an_amount_of_the_exact_scale_becomes_minor_units():
    assert ask(MINOR, v="12.50").data == {"minor": "1250"}
    literal = ask('{ minor(amount: {amount: "0.01", currencyCode: CNY}) }')
    assert literal.data == {"minor": "1"}


@pytest.mark.parametrize("text", ["1", "1.5", "1.500", "0.00", "-1.00", "99999999999999999.99"])
def test_a_decimal_that_is_no_amount_of_yuan_is_refused_with_its_path(text):
    assert ask(MINOR, v=text).data == {"minor": "amount.amount"}


@pytest.mark.parametrize(
    "value",
    [1, 1.5, 0.30000000000000004, True, None, "NaN", "Infinity", "1e3", "1_0", "１.00", " 1.00",
     "1.00\n", "+1.00", "", [], {}, "9" * 100_000, float("nan")],
)  # fmt: skip
def test_what_is_no_decimal_is_refused_before_any_resolver_runs(value):
    outcome = ask(MINOR, v=value)
    assert outcome.data is None
    assert outcome.errors


@pytest.mark.parametrize("literal", ["1.00", "1", "NaN", "true", "null", '"1e3"'])
def test_a_literal_that_is_no_decimal_string_is_refused(literal):
    assert ask(f"{{ minor(amount: {{amount: {literal}, currencyCode: CNY}}) }}").errors


@given(st.integers(1, money.MINOR_MAX))
def test_money_prints_what_money_input_reads(amount_minor):
    printed = scalars.Money.of(amount_minor)
    sent = scalars.MoneyInput(amount=printed.amount, currency_code=printed.currency_code)
    assert sent.to_minor("input") == amount_minor


def test_money_is_printed_with_its_scale_and_currency():
    price = ask("{ price { amount currencyCode } }").data
    assert price == {"price": {"amount": "1234.56", "currencyCode": "CNY"}}


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-14 * 60, 14 * 60))
def test_an_instant_survives_in_any_zone_to_the_millisecond(at, offset_minutes):
    at = at.replace(year=max(2, min(at.year, 9998)), microsecond=at.microsecond // 1000 * 1000)
    local = at.astimezone(timezone(timedelta(minutes=offset_minutes)))
    assert scalars.parse_instant(local.isoformat()) == at
    assert scalars.parse_instant(scalars.print_instant(local)) == at


def test_an_instant_is_printed_in_utc_with_milliseconds():
    outcome = ask('{ instant(at: "2026-11-22T09:30:00.123456+08:00") }')
    assert outcome.data == {"instant": "2026-11-22T01:30:00.123Z"}


@pytest.mark.parametrize(
    "text",
    ["2026-11-22", "2026-11-22T09:30:00", "2026-11-22 09:30:00Z", "2026-13-01T00:00:00Z", "now",
     "20261122T093000Z", "2026-11-22T09:30:00.1234567Z", "0001-01-01T00:00:00+14:00", "",
     "２026-11-22T09:30:00Z", "2026-11-22T09:30Z"],
)  # fmt: skip
def test_an_instant_without_an_offset_or_form_is_refused(text):
    assert ask("query($v: DateTime!) { instant(at: $v) }", v=text).errors


def test_a_datetime_without_a_zone_is_a_bug_and_not_printed():
    with pytest.raises(TypeError):
        scalars.print_instant(datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize("text", ["", "a b", "x" * 201, "é", 5, None])
def test_what_is_no_event_cursor_is_refused(text):
    assert ask("query($v: EventCursor!) { cursor(after: $v) }", v=text).errors


def test_every_scalar_says_what_specifies_it():
    assert all(definition.specified_by_url for definition in scalars.SCALAR_MAP.values())
    assert {code.name for code in scalars.CurrencyCode} == set(money.CURRENCIES)
