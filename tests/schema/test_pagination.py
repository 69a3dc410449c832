"""Pages follow one another without gaps or repeats, and cursors can't be made or moved."""

from datetime import UTC, datetime, timedelta

import pytest
from graphql import GraphQLError
from hypothesis import given
from hypothesis import strategies as st

from schema import ids, pagination

START = datetime(2026, 1, 1, tzinfo=UTC)


def key(number):
    return (START + timedelta(microseconds=number), number)


def read(numbers, window):
    """What a database would: keyset, in order or backwards, limited."""
    after = window.after[1] if window.after else -1
    before = window.before[1] if window.before else 10**9
    found = [number for number in sorted(numbers) if after < number < before]
    return (found[::-1] if window.backwards else found)[: window.limit]


def page(numbers, **arguments):
    window = pagination.window("things", {"kind": "A"}, **arguments)
    return pagination.page(read(numbers, window), window, key=key, node=str)


@given(st.sets(st.integers(0, 10_000), max_size=60), st.integers(1, 100))
def test_walking_forwards_meets_everything_once(numbers, size):
    seen, after, more = [], None, True
    while more:
        found = page(numbers, first=size, after=after)
        seen += [edge.node for edge in found.edges]
        after, more = found.page_info.end_cursor, found.page_info.has_next_page
        assert found.page_info.has_previous_page == (len(seen) > len(found.edges))
    assert seen == [str(number) for number in sorted(numbers)]


@given(st.sets(st.integers(0, 10_000), max_size=60), st.integers(1, 100))
def test_walking_backwards_meets_everything_once_in_the_lists_order(numbers, size):
    seen, before, more = [], None, True
    while more:
        found = page(numbers, last=size, before=before)
        seen = [edge.node for edge in found.edges] + seen
        before, more = found.page_info.start_cursor, found.page_info.has_previous_page
    assert seen == [str(number) for number in sorted(numbers)]


def test_rows_that_arrive_meanwhile_do_not_shift_the_next_page():
    first = page({10, 20, 30}, first=2)
    second = page({5, 10, 15, 20, 30}, first=2, after=first.page_info.end_cursor)
    assert [edge.node for edge in second.edges] == ["30"]


def test_a_cursor_is_refused_in_another_list_under_another_filter_or_altered():
    cursor = page({1, 2}, first=1).page_info.end_cursor
    for other in [
        {"connection": "others", "filters": {"kind": "A"}, "after": cursor},
        {"connection": "things", "filters": {"kind": "B"}, "after": cursor},
        {"connection": "things", "filters": {"kind": "A"}, "after": cursor[:-2] + "AA"},
        {"connection": "things", "filters": {"kind": "A"}, "before": "A" + cursor[1:]},
    ]:
        with pytest.raises(GraphQLError, match="does not belong"):
            pagination.window(**other)


@given(st.text(max_size=500))
def test_no_text_is_taken_for_a_cursor(text):
    with pytest.raises(GraphQLError) as refused:
        pagination.window("things", after=text)
    assert refused.value.extensions == {"code": "BAD_USER_INPUT"}


@pytest.mark.parametrize(
    "sizes",
    [{"first": 0}, {"first": 101}, {"last": -1}, {"last": 2**31 - 1}, {"first": 1, "last": 1}],
)
def test_a_page_has_1_to_100_elements_from_one_end(sizes):
    with pytest.raises(GraphQLError):
        pagination.window("things", **sizes)


def test_an_empty_list_has_an_empty_page():
    found = page(set())
    assert (found.edges, found.page_info.end_cursor) == ([], None)
    assert not found.page_info.has_next_page


@given(st.text(alphabet="abcXYZ-09:é", min_size=1))
def test_an_id_is_read_back_as_the_type_it_was_made_for_only(key):
    id = ids.encode("Payment", key)
    assert ids.decode(id, "Payment") == key
    assert ids.decode(id, "Refund") is None
    assert ids.parse(id) == ("Payment", key)


@given(st.text(max_size=300))
def test_a_text_is_no_id_unless_we_would_have_made_it(text):
    found = ids.parse(text)
    assert found is None or ids.encode(*found) == text


def test_every_thing_has_exactly_one_id():
    id = ids.encode("Payment", 1)
    for other in (id + "=", id + "\n", id[:-1] + "y", " " + id, ids.encode("Payment", "")):
        assert ids.decode(other, "Payment") != "1"
