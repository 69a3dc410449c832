"""What makes a callback the bank's, and what makes it readable."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import bank, signing

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
EVENT = json.dumps(
    {
        "event_id": "e",
        "reference": "p1",
        "pull_id": "x",
        "status": "SUCCEEDED",
        "failure_code": None,
        "amount_minor": 5,
        "currency": "CNY",
        "occurred_at": "2026-11-22T08:00:00+00:00",
    }
).encode()


def sent(body: bytes = EVENT, *, secret: str = "s", age_seconds: float = 0) -> dict[str, str]:
    return signing.headers(
        body,
        method="POST",
        path="/callbacks/bank",
        secret=secret,
        unix_seconds=NOW.timestamp() - age_seconds,
    )


def verified(headers: dict[str, str], body: bytes = EVENT, path: str = "/callbacks/bank"):
    return bank.verify_callback(headers, body, path=path, secret="s", now=NOW)


def test_headers_are_found_whatever_their_case():
    assert verified({name.upper(): value for name, value in sent().items()}).reference == "p1"


def test_the_window_is_three_hundred_seconds_both_ways():
    assert verified(sent(age_seconds=300))
    assert verified(sent(age_seconds=-300))
    for age_seconds in (301, -301):
        with pytest.raises(bank.BadSignature):
            verified(sent(age_seconds=age_seconds))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        sent(secret="other"),
        sent() | {"X-Timestamp": "１７９５３３４４００"},
        sent() | {"X-Timestamp": "-1"},
        sent() | {"X-Signature": "ü"},
        sent() | {"X-Signature": ""},
    ],
    ids=["none", "secret", "full-width", "negative", "not ascii", "empty"],
)
def test_a_callback_not_signed_by_the_bank_is_refused(headers):
    with pytest.raises(bank.BadSignature):
        verified(headers)


def test_a_callback_is_signed_for_one_path_and_body():
    with pytest.raises(bank.BadSignature):
        verified(sent(), path="/callbacks/other")
    with pytest.raises(bank.BadSignature):
        verified(sent(), EVENT.replace(b": 5", b": 6"))


def test_an_empty_secret_verifies_nothing():
    with pytest.raises(bank.BadSignature):
        bank.verify_callback(sent(secret=""), EVENT, path="/callbacks/bank", secret="", now=NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        EVENT.replace(b": 5", b": 5.0"),
        EVENT.replace(b": 5", b": 0"),
        EVENT.replace(b"SUCCEEDED", b"DONE"),
        EVENT.replace(b"+00:00", b""),
    ],
)
def test_a_signed_body_that_is_no_event_is_malformed(body):
    with pytest.raises(bank.MalformedEvent):
        verified(sent(body), body)


@given(st.binary(max_size=200), st.text(max_size=30), st.text(max_size=70))
def test_random_callbacks_never_pass_and_never_crash(body, timestamp, signature):
    with pytest.raises(bank.BadSignature):
        verified({"X-Timestamp": timestamp, "X-Signature": signature}, body)
