"""What people may type, and what the first review makes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import passwords, registration, resident_ids
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


def known(age_years: int, *others: str) -> registration.Person:
    return registration.Person(age_years, others)


@pytest.mark.parametrize(
    ("person", "verdict"),
    [
        (known(15), (Status.REJECTED, "UNDER_AGE")),
        (known(16), (Status.REFERRED, "MINOR")),
        (known(17), (Status.REFERRED, "MINOR")),
        (known(18), (Status.ACTIVE, None)),
        (known(40, "王小明", "王小明"), (Status.ACTIVE, None)),
        (known(40, "王小明", "王晓明"), (Status.REFERRED, "NAME_DIFFERS")),
        (known(40, "王小明", "王小明", "王小明"), (Status.REJECTED, "TOO_MANY_ACCOUNTS")),
        (known(15, "王小明", "王小明", "王小明"), (Status.REJECTED, "UNDER_AGE")),
    ],
)
def test_an_id_number_decides_by_age_and_by_the_wallets_it_has(
    person: registration.Person, verdict: tuple[Status, str | None]
) -> None:
    found = registration.review(name="王小明", phone=PHONE, person=person, accounts_max=3)
    assert found == registration.Verdict(*verdict)


def test_after_each_third_rejection_it_takes_a_day_to_apply_again() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    assert [registration.may_apply_again_at(count, now) - now for count in (1, 2, 3, 4)] == [
        *[timedelta(0)] * 2,
        *[timedelta(days=1)] * 2,
    ]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("wang@example.com", "wang@example.com"),
        (" W.ang+1@Mail.EXAMPLE.com ", "W.ang+1@mail.example.com"),
        ("李明@例子.中国", "李明@例子.中国"),
        *(
            (text, None)
            for text in ("", "wang", "a@b", "a@@b.com", "a b@c.com", "a@.com", "a@b..c")
        ),
        *((text, None) for text in ("a@b.com\nBcc: x@y.com", f"a@{'b' * 250}.com", "a@-b.com")),
    ],
)
def test_an_e_mail_address_is_one_that_mail_can_reach(text: str, kept: str | None) -> None:
    assert registration.email(text) == kept


def test_a_postal_address_is_one_line() -> None:
    assert registration.postal_address("深圳市 福田区\n１号") == "深圳市 福田区 1号"
    assert registration.postal_address("x" * 201) is None
    assert registration.postal_address(" ") is None


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
    assert not passwords.acceptable(accents, passwords.Owner("王小明", PHONE))
    assert resident_ids.parse(accents) is None
    assert registration.postal_address(accents) is None
    assert registration.clean_name("王小明") == "王小明"
    assert max(lengths) < 1_000
