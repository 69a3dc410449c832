"""The rules of moving money: ways to pay, codes, the bank's word, what inputs must be."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import inputs, ledger, merchants, payments, topups
from domain.payments import MethodKind, Paid, Reason, TopUp
from domain.refusals import InvalidInput
from domain.topups import State, Verdict, Word

NOW = datetime(2026, 11, 22, tzinfo=UTC)
HOST = "https://wallet.example.com"
TOKEN = "abcDEF123-_abcDEF123-_ab"


@given(
    amount=st.integers(1, 1_000),
    available=st.integers(0, 1_000),
    frozen=st.booleans(),
    cards=st.lists(st.uuids(), unique=True, max_size=5),
    counts=st.lists(st.integers(0, 9), min_size=6, max_size=6),
)
def test_ways_to_pay_put_usable_then_usual_first(
    amount: int, available: int, frozen: bool, cards: list[UUID], counts: list[int]
) -> None:
    used: dict[UUID | None, int] = dict(zip([None, *cards], counts, strict=False))
    ways = payments.methods(
        amount_minor=amount, available_minor=available, frozen=frozen, cards=cards, counts=used
    )

    assert sorted(map(str, (way.card_id for way in ways))) == sorted(map(str, [None, *cards]))
    ranks = [(not way.usable, -used.get(way.card_id, 0)) for way in ways]
    assert ranks == sorted(ranks)
    assert [way.recommended for way in ways[1:]] == [False] * len(cards)
    assert (
        ways[0].recommended
        == ways[0].usable
        == (not frozen and (bool(cards) or available >= amount))
    )
    for way in ways:
        if way.kind is MethodKind.BALANCE:
            assert way.usable == (not frozen and available >= amount)
        elif amount > available:
            assert way.top_up_minor == amount - available
        assert (way.reason is Reason.WALLET_FROZEN) == frozen
        assert all(payments.reason_text(way.reason, language) for language in ("zh-CN", "en"))


def test_ties_keep_the_balance_first_and_then_the_order_of_the_cards() -> None:
    cards = [uuid4() for _ in range(3)]
    ways = payments.methods(amount_minor=1, available_minor=1, frozen=False, cards=cards, counts={})
    assert [way.card_id for way in ways] == [None, *cards]
    assert ways[0].reason is Reason.COVERS_AMOUNT


def test_a_payment_counts_for_the_card_that_topped_up_within_ten_minutes_before() -> None:
    card, old = uuid4(), uuid4()
    top_ups = [
        TopUp(at=NOW - timedelta(hours=2), card_id=old, amount_minor=500),
        TopUp(at=NOW, card_id=card, amount_minor=500),
    ]
    paid = [
        Paid(at=NOW + timedelta(minutes=one), amount_minor=200, balance_before_minor=500)
        for one in (0, 10, 11, -1)
    ]

    assert payments.habits(paid, top_ups) == {card: 2, None: 2}


@pytest.mark.parametrize(("balance_before", "by_card"), [(699, True), (700, False)])
def test_a_payment_that_the_balance_covered_without_the_top_up_is_no_habit_of_the_card(
    balance_before: int, by_card: bool
) -> None:
    card = uuid4()
    top_ups = [TopUp(at=NOW, card_id=card, amount_minor=500)]
    paid = [Paid(at=NOW, amount_minor=200, balance_before_minor=balance_before)]

    assert payments.habits(paid, top_ups) == {card if by_card else None: 1}


def test_inputs_that_print_alike_have_different_hashes() -> None:
    def hashed(note: str | None) -> bytes:
        return ledger.instruct(
            actor_id=1,
            operation=ledger.Operation.CREATE_PAYMENT,
            key="k",
            legs=ledger.move(1000, 1001, 5),
            note=note,
        ).input_hash

    assert len({hashed(None), hashed("None"), hashed("")}) == 3


@pytest.mark.parametrize(
    "payload",
    [f"{HOST}/q/{TOKEN}", f" {HOST}/q/{TOKEN}\n", f"pcw:q:{TOKEN}", f"PCW:Q:{TOKEN}"],
)
def test_our_codes_are_read(payload: str) -> None:
    assert merchants.read_qr(payload, HOST) == TOKEN
    assert merchants.read_qr(merchants.qr_payload(TOKEN, HOST + "/"), HOST) == TOKEN


@pytest.mark.parametrize(
    "payload",
    [
        "",
        TOKEN,
        f"http://wallet.example.com/q/{TOKEN}",
        f"https://wallet.example.com.evil.test/q/{TOKEN}",
        f"https://wallet.example.com@evil.test/q/{TOKEN}",
        f"{HOST}/q/{TOKEN}?x=1",
        f"{HOST}/q/../{TOKEN}",
        f"{HOST}/q/short",
        "pcw:q:" + "a" * 33,
        "https://[broken/q/x",
        "x" * 10_000,
    ],
)
def test_other_codes_are_not(payload: str) -> None:
    assert merchants.read_qr(payload, HOST) is None


@given(st.text(max_size=250))
def test_no_text_breaks_the_reader_of_codes(text: str) -> None:
    merchants.read_qr(text, HOST)
    merchants.read_qr(HOST + "/q/" + text, HOST)


def test_only_the_banks_full_word_credits_and_contradictions_wait_for_a_person() -> None:
    def judged(state: State, word: Word | None) -> Verdict:
        return topups.judge(state=state, amount_minor=100, currency="CNY", word=word)

    right, wrong = Word(State.SUCCEEDED, 100, "CNY"), Word(State.SUCCEEDED, 101, "CNY")
    failed, waiting = Word(State.FAILED, 100, "CNY"), Word(State.PROCESSING, 100, "CNY")
    assert judged(State.PROCESSING, None) is Verdict.WAIT
    assert judged(State.PROCESSING, waiting) is Verdict.WAIT
    assert judged(State.PROCESSING, right) is Verdict.CREDIT
    assert judged(State.PROCESSING, wrong) is Verdict.PERSON
    assert judged(State.PROCESSING, Word(State.SUCCEEDED, 100, "HKD")) is Verdict.PERSON
    assert judged(State.PROCESSING, failed) is Verdict.FAIL
    assert judged(State.FAILED, right) is Verdict.PERSON
    assert judged(State.SUCCEEDED, failed) is Verdict.PERSON
    assert judged(State.SUCCEEDED, right) is Verdict.DONE
    assert judged(State.FAILED, failed) is Verdict.DONE
    assert judged(State.FAILED, None) is Verdict.DONE


def test_the_bank_is_asked_ever_more_seldom() -> None:
    waits = [topups.ask_again_in(count) for count in range(1_000)]
    assert waits == sorted(waits)
    assert waits[0] == timedelta(minutes=1)
    assert waits[-1] == timedelta(hours=1)


@given(st.text(max_size=130))
def test_what_passes_as_key_or_text_can_be_stored(text: str) -> None:
    with suppress(InvalidInput):
        kept = inputs.check_key(text)
        assert kept.encode()
        assert "\0" not in kept
    try:
        words = inputs.short_text(text, "input", "memo", length_max=100)
    except InvalidInput:
        return
    assert words is None or (words.encode() and "\0" not in words and len(words) <= 100)


def test_joined_emoji_and_new_lines_are_words() -> None:
    text = "谢谢 👩‍👩‍👧\n再见"
    assert inputs.short_text(text, "memo", length_max=100) == text
    assert inputs.short_text("  ", "memo", length_max=100) is None
