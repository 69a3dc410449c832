"""Names of devices, what they sign, and where an address roughly is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import devices
from domain.identity import network_hint


@given(st.text(max_size=300))
def test_a_name_that_is_kept_is_short_readable_and_stays_as_it_is(text: str) -> None:
    name = devices.clean_name(text)
    if name is not None:
        assert 1 <= len(name) <= devices.NAME_LENGTH_MAX
        assert devices.clean_name(name) == name


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_every_platform_has_words(language: str) -> None:
    words = {devices.platform_text(one.value, language) for one in devices.Platform}
    assert None not in words
    assert len(words) == len(devices.Platform)
    assert devices.platform_text("nonsense", language) is None
    assert devices.platform_text(None, language) is None


def test_what_is_signed_for_one_purpose_is_never_what_is_signed_for_another() -> None:
    assert devices.login_message("id", "nonce") == b"pengcheng-wallet login v1\nid\nnonce"
    assert devices.refresh_message("token") == b"pengcheng-wallet refresh v1\ntoken"


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("203.0.113.77", "203.0.*.*"),
        ("::ffff:203.0.113.77", "203.0.*.*"),
        ("2001:db8:1:2::3", "2001:db8::/32"),
        ("", ""),
        ("testclient", ""),
    ],
)
def test_a_place_is_shown_roughly(address: str, hint: str) -> None:
    assert network_hint(address) == hint
