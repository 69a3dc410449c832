"""Which passwords are good enough."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import passwords
from domain.passwords import Owner

OWNER = Owner("王小明", "+8613800138000", "44030519900307123X")
MILLER = Owner("John Miller", "+85251234567")


@pytest.mark.parametrize(
    "password",
    [
        "short-1",
        "password123",
        "PASSWORD123",
        "ｐａｓｓｗｏｒｄ１２３",
        "mustang1967",  # on the list with a few digits behind it
        "dragon!!",
        "charlie2026",
        "abcdefgh",
        "98765432",
        "aaaaaaaaaa",
        "我爱你我爱你我爱",
        "x13800138000x",
        "8613800138000",
        "my-00138000-phone",
        "王小明王小明!!",
        "44030519900307123x",
        "born-19900307-here",
        "x" * 129,
    ],
)
def test_passwords_that_are_easy_to_guess_are_refused(password: str) -> None:
    assert not passwords.acceptable(password, OWNER)


@pytest.mark.parametrize("password", ["the miller of dee", "JohnMiller-x", "x 51234567 x"])
def test_no_part_of_a_latin_name_or_foreign_phone_is_taken(password: str) -> None:
    assert not passwords.acceptable(password, MILLER)
    assert passwords.acceptable(password, OWNER)


@pytest.mark.parametrize(
    "password",
    [
        "Nanshan-7-harbour",
        "山竹荔枝龙眼芒果",
        "correct horse",
        "correct horse battery staple " * 4,
        "нет-паролей-лучше",
        "🦊🐼🐨🦁🐯🐮🐷🐸",
        "only small letters",
    ],
)
def test_others_are_accepted_whatever_their_letters(password: str) -> None:
    assert passwords.acceptable(password, OWNER)


def test_length_is_counted_in_characters_after_normalisation() -> None:
    assert passwords.normalised("ｅ\u0301" * 8) == "é" * 8
    assert passwords.normalised("e\u0301" * 7) is None
    assert passwords.normalised("é" * 128) is not None
    assert passwords.normalised("é" * 129) is None
    assert passwords.normalised("e\u0301" * 128) is not None


@given(st.text(max_size=600))
def test_any_text_is_judged_the_same_in_any_unicode_form(text: str) -> None:
    plain = passwords.normalised(text)
    if plain is not None:
        assert passwords.acceptable(text, OWNER) == passwords.acceptable(plain, OWNER)


def test_an_owner_is_not_readable_in_its_repr() -> None:
    assert repr(OWNER) == "Owner()"
