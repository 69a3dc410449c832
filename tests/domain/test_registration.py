"""What people may type, and what the first review makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import registration
from domain.identity import Status, login_delay_seconds, network

PHONE = "+8613800138000"
FULL_WIDTH = str.maketrans("0123456789+", "０１２３４５６７８９＋")


@given(st.integers(0, 99_999_999))
def test_a_mobile_number_is_one_number_however_it_is_written(rest: int) -> None:
    digits = f"138{rest:08d}"
    spaced = f"{digits[:3]} {digits[3:7]} {digits[7:]}"
    for written in (digits, f"+86{digits}", f"0086 {spaced}", spaced, f"+86-{digits}"):
        assert registration.phone(written) == f"+86{digits}"
        assert registration.phone(written.translate(FULL_WIDTH)) == f"+86{digits}"


@given(st.text(max_size=60))
def test_any_text_is_a_phone_in_e164_or_none(text: str) -> None:
    found = registration.phone(text)
    assert found is None or (found.startswith("+") and found[1:].isascii() and found[1:].isdigit())


@pytest.mark.parametrize(
    "text",
    ["", "0755 8888 8888", "12345", "+86 138", "138001380001", "call 13800138000", "９" * 99],
)
def test_landlines_and_rubbish_are_no_phones(text: str) -> None:
    assert registration.phone(text) is None


def test_phones_are_masked_for_their_owner() -> None:
    assert registration.masked_phone("+8613812341234") == "+86 138****1234"
    assert registration.masked_phone("+85251234567") == "+852 51****67"


@pytest.mark.parametrize(
    "name", ["王小明", "丁丁", "阿卜杜拉·买买提", "John Smith", "Mary-Jane O’Neil", "Þór Ólafsson"]
)
def test_names_that_look_real_are_approved(name: str) -> None:
    assert registration.review(name=name, phone=PHONE).status is Status.ACTIVE


@pytest.mark.parametrize(
    "name", ["测试", "test", "T e s t", "啊啊啊", "aaaa", "无名氏", "123", "。。"]
)
def test_names_that_are_made_up_are_rejected_with_the_reason(name: str) -> None:
    verdict = registration.review(name=name, phone=PHONE)
    assert verdict == registration.Verdict(Status.REJECTED, "NAME_MADE_UP")


@pytest.mark.parametrize("name", ["李", "Bob1", "山田 花子", "Иван Петров", "王Xiao"])
def test_names_that_the_rules_do_not_know_go_to_a_person(name: str) -> None:
    assert registration.review(name=name, phone=PHONE).status is Status.REFERRED


def test_phones_of_the_home_regions_pass_and_others_go_to_a_person() -> None:
    for phone in (PHONE, "+85251234567", "+85366123456"):
        assert registration.review(name="王小明", phone=phone).status is Status.ACTIVE
    abroad = registration.review(name="王小明", phone="+14155552671")
    assert abroad == registration.Verdict(Status.REFERRED, "PHONE_ABROAD")


@given(st.text(max_size=60))
def test_every_name_that_is_kept_can_be_reviewed(text: str) -> None:
    name = registration.clean_name(text)
    if name is None:
        return
    verdict = registration.review(name=name, phone=PHONE)
    assert verdict.status in {Status.ACTIVE, Status.REFERRED, Status.REJECTED}
    assert (verdict.reason is None) == (verdict.status is Status.ACTIVE)
    assert registration.clean_name(name) == name


@pytest.mark.parametrize("text", ["", "  ", "\u200b", "a\nb\u0000", "x" * 41, "王\u202e明"])
def test_texts_that_are_no_name_are_not_kept(text: str) -> None:
    assert registration.clean_name(text) is None


@pytest.mark.parametrize(
    "password",
    [
        "short-1",
        "password123",
        "PASSWORD123",
        "abcdefgh",
        "98765432",
        "aaaaaaaaaa",
        "x13800138000x",
        "8613800138000",
        "王小明王小明!!",
        "x" * 129,
    ],
)
def test_passwords_that_are_easy_to_guess_are_refused(password: str) -> None:
    assert not registration.password_acceptable(password, name="王小明", phone=PHONE)


@pytest.mark.parametrize("password", ["Nanshan-7-harbour", "山竹荔枝龙眼芒果", "correct horse"])
def test_passwords_that_are_not_are_accepted_whatever_their_letters(password: str) -> None:
    assert registration.password_acceptable(password, name="王小明", phone=PHONE)


@pytest.mark.parametrize(
    "pin",
    [
        "123456",
        "654321",
        "890123",
        "111111",
        "121212",
        "123123",
        "112211",
        "138001",
        "900823",
        "230890",
        "082390",
        "000229",
        "199007",
        "12345",
        "１２３４５６",
    ],
)
def test_pins_that_are_easy_to_guess_are_refused(pin: str) -> None:
    assert not registration.pin_acceptable(pin, phone=PHONE)


def test_other_pins_are_accepted() -> None:
    assert registration.pin_acceptable("820461", phone=PHONE)
    assert registration.pin_acceptable("901332", phone=PHONE)


def test_the_delay_grows_but_never_becomes_a_lock() -> None:
    delays = [login_delay_seconds(failures, free_tries=5) for failures in range(1, 40)]
    assert delays[:4] == [0, 0, 0, 0]
    assert delays[4:8] == [1, 2, 4, 8]
    assert delays == sorted(delays)
    assert delays[-1] == 900


def test_an_ipv6_household_is_one_address() -> None:
    assert network("2001:db8::1") == network("2001:db8:0:0:ffff::2")
    assert network("2001:db8::1") != network("2001:db8:0:1::1")
    assert network("::ffff:192.0.2.1") == network("192.0.2.1") != network("192.0.2.2")


def test_nothing_long_is_ever_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []

    def normalize(form: str, text: str) -> str:
        lengths.append(len(text))
        return text

    monkeypatch.setattr(registration.unicodedata, "normalize", normalize)
    accents = "\u0300\u0316" * 25_000
    assert registration.phone(accents) is None
    assert registration.clean_name("A" + accents) is None
    assert not registration.password_acceptable(accents, name="王小明", phone="+8613800138000")
    assert registration.clean_name("王小明") == "王小明"
    assert max(lengths) < 1_000
