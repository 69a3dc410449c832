"""Documents are measured before the costly rules see them, and accepted ones remembered."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transport import serving
from transport import documents, limits

LIMITS = limits.Limits()


@pytest.fixture
def accepted():
    return documents.Documents(serving.SCHEMA._schema, LIMITS)


def nested(levels):
    return "{ thing " + "{ again " * (levels - 2) + "{ id }" + " }" * (levels - 1)


def code_of(accepted, query):
    with pytest.raises(documents.Unacceptable) as refused:
        accepted.prepare(query)
    return refused.value.errors[0].extensions["code"]


def test_depth_is_counted_through_fragments(accepted):
    accepted.prepare(nested(10))
    assert code_of(accepted, nested(11)) == "DOCUMENT_TOO_COMPLEX"
    deep = "fragment F on Thing " + nested(8).removeprefix("{ thing ").removesuffix(" }")
    accepted.prepare("{ thing { again { ...F } } } " + deep)
    too_deep = "{ thing { again { again { again { ...F } } } } } " + deep
    assert code_of(accepted, too_deep) == "DOCUMENT_TOO_COMPLEX"


def test_aliases_are_counted_as_often_as_fragments_repeat_them(accepted):
    accepted.prepare("{" + " ".join(f"a{n}: hello" for n in range(15)) + "}")
    assert code_of(accepted, "{" + " ".join(f"a{n}: hello" for n in range(16)) + "}")
    bomb = "{ thing { ...A } } " + " ".join(
        f"fragment {a} on Thing {{ x: again {{ ...{b} }} y: again {{ ...{b} }} }}"
        for a, b in zip(string.ascii_uppercase[:7], string.ascii_uppercase[1:8], strict=True)
    )
    bomb += " fragment H on Thing { id }"
    assert code_of(accepted, bomb) == "DOCUMENT_TOO_COMPLEX"


def test_tokens_and_repeated_fields_are_bounded(accepted):
    assert code_of(accepted, "{" + "hello " * 1001 + "}") == "GRAPHQL_PARSE_FAILED"
    accepted.prepare("{" + "hello " * 32 + "}")
    assert code_of(accepted, "{" + "hello " * 33 + "}") == "DOCUMENT_TOO_COMPLEX"
    spread = "{ thing {" + "... on Thing { again { id } } " * 33 + "} }"
    assert code_of(accepted, spread) == "DOCUMENT_TOO_COMPLEX"


@pytest.mark.parametrize(
    "query",
    [
        "{ thing(first: 0) { id } }",
        "{ thing(first: 101) { id } }",
        "{ thing(first: 99999999999999999999999) { id } }",
        "{ thing { thing(first: -1) { id } } }",
        "query($n: Int = 1000) { thing(first: $n) { id } }",
    ],
)
def test_page_sizes_in_the_text_are_checked_with_it(accepted, query):
    assert code_of(accepted, query) == "BAD_USER_INPUT"


def test_page_sizes_in_variables_are_noted(accepted):
    prepared = accepted.prepare(
        "query($n: Int, $s: String!) { thing(first: $n) { id } hello(name: $s) }"
    )
    assert prepared.page_variables == {"n"}


@pytest.mark.parametrize(
    "query",
    [
        "{ thing { ...A } } fragment A on Thing { ...A }",
        "{ thing { ...A } } fragment A on Thing { again { ...B } } fragment B on Thing { ...A }",
        "{ ...Missing }",
        "{" + "a{" * 400 + "b" + "}" * 401,
        "{ hello(name: " + "[" * 450 + "]" * 450 + ") }",
        "type Query { a: Int }",
        "",
        "subscription { ticks { number } flood }",
        "@" * 900,
    ],
)
def test_hostile_documents_are_refused_and_nothing_else_happens(accepted, query):
    assert code_of(accepted, query)


@given(st.text(alphabet='{}()[]:$@!.abhelo \n"#', max_size=200))
def test_any_text_is_accepted_or_refused_with_codes(text):
    errors = []
    try:
        documents.Documents(serving.SCHEMA._schema, LIMITS).prepare(text)
    except documents.Unacceptable as refused:
        errors = refused.errors
    assert all(error.extensions and error.extensions["code"] for error in errors)


def test_accepted_documents_are_remembered_within_bounds_and_refused_ones_are_not():
    bounded = documents.Documents(
        serving.SCHEMA._schema, limits.Limits(cached_documents=2, cached_document_characters=60)
    )
    first = bounded.prepare("{ hello }")
    assert bounded.prepare("{ hello }") is first
    for number in range(20):
        assert code_of(bounded, f"{{ nothing{number} }}")
    assert bounded.prepare("{ hello }") is first, "refused documents pushed it out"
    long = "{ hello }" + " " * 60
    assert bounded.prepare(long) is not bounded.prepare(long), "long ones are not kept"
    for number in range(2):
        bounded.prepare(f'{{ hello(name: "{number}") }}')
    assert bounded.prepare("{ hello }") is not first


def test_an_introspecting_document_is_marked_wherever_it_does_so(accepted):
    assert accepted.prepare("{ ...A } fragment A on Query { __schema { __typename } }").introspects
    assert not accepted.prepare("{ __typename hello }").introspects
