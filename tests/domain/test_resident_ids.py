"""Resident ID numbers: checksum, birth date, age."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import resident_ids
from tests import people

NUMBER = "11010519491231002X"  # the example of the standard
FULL_WIDTH = str.maketrans("0123456789Xx", "０１２３４５６７８９Ｘｘ")


@pytest.mark.parametrize(
    "text", [NUMBER, NUMBER.lower(), NUMBER.translate(FULL_WIDTH), " 110105 19491231 002x "]
)
def test_a_number_is_one_number_however_it_is_written(text: str) -> None:
    found = resident_ids.parse(text)
    assert found is not None
    assert (found.number, found.born) == (NUMBER, date(1949, 12, 31))
    assert NUMBER not in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "110105194912310021",  # checksum
        "11010519491331002X",  # month 13
        "11010519490230002X",  # 30 February
        "00000019491231002X",  # no such place
        "1101054912310021",  # the old form had fifteen digits
        "११०१०५१९४९१२३१००२X",
        NUMBER + "0",
        "x" * 10_000,
    ],
)
def test_what_is_no_number_is_none(text: str) -> None:
    assert resident_ids.parse(text) is None


@given(st.dates(date(1900, 1, 1), date(2026, 11, 22)), st.integers(0, 999), st.integers(0, 9))
def test_every_number_with_its_check_digit_is_read_and_any_other_digit_is_refused(
    born: date, serial: int, change: int
) -> None:
    number = people.id_number(f"{born:%Y%m%d}", serial=serial)
    found = resident_ids.parse(number)
    assert found is not None
    assert found.born == born
    assert found.plausible(date(2026, 11, 22))
    other = number[:16] + str(change) + number[17:]
    assert (resident_ids.parse(other) is None) == (other != number)


@pytest.mark.parametrize(
    ("born", "today", "age"),
    [
        ("20101122", date(2026, 11, 21), 15),
        ("20101122", date(2026, 11, 22), 16),
        ("20080229", date(2026, 2, 28), 17),
        ("20080229", date(2026, 3, 1), 18),
        ("20261122", date(2026, 11, 22), 0),
    ],
)
def test_age_changes_on_the_birthday(born: str, today: date, age: int) -> None:
    found = resident_ids.parse(people.id_number(born))
    assert found is not None
    assert found.age_years(today) == age


def test_nobody_is_born_tomorrow_or_very_long_ago() -> None:
    for born in ("20261123", "18950101"):
        found = resident_ids.parse(people.id_number(born))
        assert found is not None
        assert not found.plausible(date(2026, 11, 22))


def test_a_masked_number_shows_first_and_last() -> None:
    assert resident_ids.masked(NUMBER) == "1****************X"
