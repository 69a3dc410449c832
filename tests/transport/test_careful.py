"""Heads and bodies that are too large or too slow, by hand on a socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from tests.transport import serving
from transport import careful, limits

HEAD = b"POST /graphql HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(careful, "HEAD_SECONDS", 0.3)
    bounds = limits.Limits(body_seconds=0.3)
    with serving.served(serving.build(serving.World(), bounds)) as opened:
        yield opened


@pytest.fixture
def line(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as opened:
        yield opened


def rest(line: socket.socket) -> bytes:
    """All that comes until the server closes."""
    heard = b""
    try:
        while read := line.recv(65_536):
            heard += read
    except ConnectionResetError:
        pass
    return heard


def request(query: str, *, padding: int = 0) -> bytes:
    body = json.dumps({"query": query, "extensions": {"padding": "x" * padding}}).encode()
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def test_a_header_without_an_end_is_cut_off(line: socket.socket) -> None:
    line.sendall(b"GET / HTTP/1.1\r\nX: ")
    sent = 0
    try:
        while sent < 20_000_000:
            line.sendall(b"x" * 65_536)
            sent += 65_536
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert sent < 20_000_000


@pytest.mark.parametrize("begun", [b"", b"GET / HT", HEAD])
def test_a_head_that_does_not_come_is_not_waited_for(line: socket.socket, begun: bytes) -> None:
    line.sendall(begun)
    assert rest(line) == b""


def test_a_body_that_does_not_come_is_answered_with_408(line: socket.socket) -> None:
    line.sendall(HEAD + b"Content-Length: 50\r\n\r\n{")
    answer = rest(line)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"REQUEST_TIMEOUT" in answer


@pytest.mark.parametrize(
    "lengths",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Content-Length: +5\r\n",
    ],
)
def test_a_request_with_two_lengths_is_refused(line: socket.socket, lengths: bytes) -> None:
    # What a proxy takes for a body would be a second request to us.
    hidden = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
    line.sendall(HEAD + lengths + b"\r\n0\r\n\r\n" + hidden)
    answer = rest(line)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"status" not in answer


def test_large_bodies_one_behind_the_other_are_all_answered(line: socket.socket) -> None:
    whole = request("{ hello }", padding=90_000)
    line.sendall(whole * 3 + b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    answer = rest(line)
    assert answer.count(b"Hello world") == 3
    assert answer.endswith(b'{"status":"ok"}')
