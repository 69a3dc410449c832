"""What browsers are told and who is let in: TLS, origins, headers, no cookies, no idle bodies."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import websockets
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from websockets.asyncio.client import connect

from tests.transport import serving
from transport import app

APP = "https://app.example"
NETWORK = ipaddress.ip_network("127.0.0.0/8")
QUERY = {"query": "{ hello }"}
BY_TLS = {"x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.9"}


async def _page(_request: object) -> PlainTextResponse:
    return PlainTextResponse("page", headers={"cache-control": "max-age=60"})


async def _called(headers: dict[str, str], body: bytes, path: str) -> int:
    return 204


@pytest.fixture(scope="module")
def world() -> serving.World:
    return serving.World()


@pytest.fixture(scope="module")
def http(world: serving.World) -> Iterator[httpx.Client]:
    """A server behind a proxy, for pages of one other origin."""
    door = app.Door(
        public_url="https://wallet.example/",
        allowed_origins=frozenset({APP}),
        trusted_networks=(NETWORK,),
        https_only=True,
    )
    routes = [Route("/page", _page)]
    application = serving.build(world, door=door, callbacks={"bank": _called}, extra_routes=routes)
    with (
        serving.served(application) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=BY_TLS) as client,
    ):
        yield client


PATHS = ("/graphql", "/page", "/nothing", "/callbacks/bank", "/healthz", "/readyz", "/metrics")


def _everything(http: httpx.Client) -> Iterator[httpx.Response]:
    for path in PATHS:
        for method in ("GET", "POST", "OPTIONS", "HEAD", "PUT"):
            for origin in ({}, {"origin": APP}, {"origin": "https://evil.example"}):
                yield http.request(method, path, headers={"accept": "*/*", **origin})
    yield http.post("/graphql", json=QUERY, headers={"cookie": "session=1", "origin": APP})


def test_no_answer_sets_a_cookie_and_none_may_be_kept_framed_or_sniffed(
    http: httpx.Client,
) -> None:
    for answer in _everything(http):
        headers = answer.headers
        assert "set-cookie" not in headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        policy = headers["content-security-policy"].split("; ")
        assert {"frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} <= set(policy)
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["permissions-policy"].startswith("camera=()")
        assert headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"
        kept = answer.request.url.path == "/page" and answer.is_success
        assert headers["cache-control"] == ("max-age=60" if kept else "no-store")
        assert "access-control-allow-credentials" not in headers


def test_no_source_of_ours_can_set_a_cookie() -> None:
    root = Path(__file__).resolve().parents[2]
    for room in ("transport", "schema", "resolvers", "services", "infra"):
        for path in (root / room).rglob("*.py"):
            text = path.read_text(encoding="utf-8").lower()
            assert "set_cookie" not in text, path
            assert "set-cookie" not in text, path


# --- TLS --------------------------------------------------------------------------------------


def test_what_comes_in_the_clear_is_refused_before_anything_happens(
    http: httpx.Client, world: serving.World
) -> None:
    contexts = world.contexts
    for path in ("/graphql", "/page", "/nothing", "/callbacks/bank"):
        answer = http.post(path, json=QUERY, headers={"x-forwarded-proto": "http"})
        assert (answer.status_code, answer.json()) == (403, {"code": "HTTPS_REQUIRED"})
        assert "strict-transport-security" not in answer.headers
    assert world.contexts == contexts
    assert http.post("/graphql", json=QUERY).json() == {"data": {"hello": "Hello world"}}


def test_machines_inside_may_ask_for_health_in_the_clear(http: httpx.Client) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        answer = http.get(path, headers={"x-forwarded-proto": "http"})
        assert answer.status_code == 200
        assert "strict-transport-security" not in answer.headers


async def test_a_socket_in_the_clear_is_refused(http: httpx.Client) -> None:
    url = f"ws://127.0.0.1:{http.base_url.port}/graphql"
    with pytest.raises(websockets.InvalidStatus):
        async with connect(url, subprotocols=["graphql-transport-ws"]):  # type: ignore[list-item]
            pass


# --- origins ----------------------------------------------------------------------------------

REFUSED = ("https://evil.example", "null", "http://app.example", f"{APP}.evil.example", "")
REFUSED += (f"{APP}:8443", "http://127.0.0.1", "chrome-extension://abc")


def test_a_preflight_of_a_named_origin_is_answered_and_remembered(
    http: httpx.Client, world: serving.World
) -> None:
    contexts = world.contexts
    asked = {
        "origin": APP,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type",
    }
    answer = http.options("/graphql", headers=asked)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    allowed = answer.headers["access-control-allow-headers"].split(", ")
    assert {"authorization", "content-type"} <= set(allowed)
    assert "*" not in "".join(v for k, v in answer.headers.items() if "access-control" in k)
    assert "Origin" in answer.headers["vary"]
    assert int(answer.headers["access-control-max-age"]) > 0
    assert world.contexts == contexts


def test_a_page_of_a_named_origin_may_read_the_answer(http: httpx.Client) -> None:
    answer = http.post("/graphql", json=QUERY, headers={"origin": APP})
    assert answer.json() == {"data": {"hello": "Hello world"}}
    assert answer.headers["access-control-allow-origin"] == APP
    assert "retry-after" in answer.headers["access-control-expose-headers"]
    assert "Origin" in answer.headers["vary"]
    assert "Accept" in answer.headers["vary"]


@pytest.mark.parametrize("origin", REFUSED)
def test_a_page_of_any_other_origin_is_refused_and_nothing_runs(
    http: httpx.Client, world: serving.World, origin: str
) -> None:
    contexts = world.contexts
    asked = {"origin": origin, "access-control-request-method": "POST"}
    for answer in (
        http.post("/graphql", json=QUERY, headers={"origin": origin}),
        http.options("/graphql", headers=asked),
    ):
        assert answer.status_code == 403
        [error] = answer.json()["errors"]
        assert error["extensions"]["code"] == "ORIGIN_NOT_ALLOWED"
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert world.contexts == contexts


def test_our_own_pages_need_no_name(http: httpx.Client) -> None:
    port = http.base_url.port
    for origin in ("https://wallet.example", f"https://127.0.0.1:{port}"):
        answer = http.post("/graphql", json=QUERY, headers={"origin": origin})
        assert answer.status_code == 200, origin


def test_no_other_path_answers_other_origins(http: httpx.Client) -> None:
    for path in ("/page", "/callbacks/bank", "/healthz", "/nothing"):
        for method in ("GET", "POST", "OPTIONS"):
            headers = http.request(method, path, headers={"origin": APP}).headers
            assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [(APP, True), ("https://wallet.example", True), (None, True), *((o, False) for o in REFUSED)],
)
async def test_a_socket_is_for_the_same_pages(
    http: httpx.Client, origin: str | None, welcome: bool
) -> None:
    headers = dict(BY_TLS)
    if origin is not None:
        headers["origin"] = origin
    opening = connect(
        f"ws://127.0.0.1:{http.base_url.port}/graphql",
        subprotocols=["graphql-transport-ws"],  # type: ignore[list-item]
        additional_headers=headers,
    )
    if welcome:
        async with opening as link:
            assert link.subprotocol == "graphql-transport-ws"
    else:
        with pytest.raises(websockets.InvalidStatus):
            async with opening:
                pass


# --- bodies -----------------------------------------------------------------------------------


def _flood(port: int, path: str, method: str = "POST") -> tuple[bytes, int]:
    """Sends a chunked body until the server hangs up: the answer, and how much it let us send."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "X-Forwarded-Proto: https\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    answer, sent = b"", 0
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.sendall(head.encode())
        try:
            while sent < 64 * 2**20:
                link.sendall(chunk)
                sent += 65_536
        except OSError:
            pass
        try:
            while data := link.recv(65_536):
                answer += data
        except OSError:
            pass
    return answer, sent


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/graphql", "POST"),
        ("/graphql", "PUT"),
        ("/callbacks/bank", "POST"),
        ("/callbacks/other", "POST"),
        ("/page", "GET"),
        ("/page", "POST"),
        ("/nothing", "POST"),
        ("/healthz", "GET"),
    ],
)
def test_a_body_without_end_is_hung_up_on(http: httpx.Client, path: str, method: str) -> None:
    assert http.base_url.port is not None
    _, sent = _flood(http.base_url.port, path, method)
    assert sent < 64 * 2**20


def test_a_chunked_body_that_is_too_large_is_told_so(http: httpx.Client) -> None:
    for path in ("/graphql", "/callbacks/bank"):
        pieces = (b" " * 1000 for _ in range(120))
        answer = http.post(path, content=pieces, headers={"content-type": "application/json"})
        assert answer.status_code == 413
        assert answer.headers["connection"] == "close"
