"""Who asks, told by trusted proxies only, whatever a client writes into the headers."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.proxies import Proxies

PROXIES = Proxies([ipaddress.ip_network(word) for word in ("10.0.0.0/8", "fd00::/8")])
CLIENT = "203.0.113.9"


def seen(
    peer: str, *forwarded: str, proto: tuple[str, ...] = (), kind: str = "http"
) -> tuple[str, str]:
    """Address and scheme after a proxy was seen through."""
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    headers += [(b"x-forwarded-proto", value.encode()) for value in proto]
    scope: dict[str, Any] = {"client": (peer, 1), "scheme": kind, "headers": headers}
    PROXIES.see_through(scope)
    return scope["client"][0], scope["scheme"]


def test_a_stranger_s_words_count_for_nothing() -> None:
    assert seen("203.0.113.1", CLIENT, proto=("https",)) == ("203.0.113.1", "http")
    assert seen("127.0.0.1", CLIENT, proto=("https",)) == ("127.0.0.1", "http")
    trusting_nobody: dict[str, Any] = {
        "client": ("10.0.0.1", 1),
        "scheme": "http",
        "headers": [(b"x-forwarded-for", CLIENT.encode()), (b"x-forwarded-proto", b"https")],
    }
    Proxies([]).see_through(trusting_nobody)
    assert (trusting_nobody["client"][0], trusting_nobody["scheme"]) == ("10.0.0.1", "http")


@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1"])
def test_a_trusted_proxy_s_words_count(peer: str) -> None:
    assert seen(peer, CLIENT, proto=("https",)) == (CLIENT, "https")
    assert seen(peer, CLIENT, proto=("https",), kind="ws") == (CLIENT, "wss")
    assert seen(peer, "2001:db8::7") == ("2001:db8::7", "http")


def test_behind_two_proxies_the_first_that_is_not_ours_counts() -> None:
    assert seen("10.0.0.1", f"{CLIENT}, 10.0.0.2") == (CLIENT, "http")
    assert seen("10.0.0.1", CLIENT, "10.0.0.2")[0] == CLIENT
    assert seen("10.0.0.1", "10.0.0.3, 10.0.0.2")[0] == "10.0.0.3"


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=40), max_size=5))
def test_nothing_that_a_client_writes_changes_its_address(invented: list[str]) -> None:
    # A proxy appends the address it was called from, in the same line or in one of its own.
    line = ", ".join([*invented, CLIENT])
    assert seen("10.0.0.1", line)[0] == CLIENT
    assert seen("10.0.0.1", *invented, CLIENT)[0] == CLIENT


@pytest.mark.parametrize("word", ["203.0.113.9:4711", "[2001:db8::7]:4711", "[2001:db8::7]"])
def test_a_port_behind_an_address_is_left_away(word: str) -> None:
    assert seen("10.0.0.1", word)[0] in (CLIENT, "2001:db8::7")


@pytest.mark.parametrize("word", ["", "unknown", "_hidden", "203.0.113.9.1", "x" * 4000])
def test_an_unreadable_header_leaves_the_proxy_s_own_address(word: str) -> None:
    assert seen("10.0.0.1", word)[0] == "10.0.0.1"
    assert seen("10.0.0.1", f"{CLIENT}, {word}")[0] == "10.0.0.1"
    assert seen("10.0.0.1", f"{word}, 10.0.0.2")[0] == "10.0.0.2"


@pytest.mark.parametrize(
    "proto", [(), ("http",), ("https, http",), ("http, https",), ("https", "http"), ("httpsx",)]
)
def test_one_hop_in_the_clear_is_enough_not_to_be_by_tls(proto: tuple[str, ...]) -> None:
    assert seen("10.0.0.1", CLIENT, proto=proto)[1] == "http"


def test_a_proxy_does_not_make_our_own_tls_worse() -> None:
    assert seen("10.0.0.1", CLIENT, proto=("http",), kind="https")[1] == "https"
