"""Everything beside GraphQL: health, metrics, callbacks, and what surrounds every request."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator

import httpx
import pytest
import websockets
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from websockets.asyncio.client import connect

from tests.transport import serving
from transport import app, health


class Outside:
    """What the test's handlers were told, and what they should do."""

    def __init__(self):
        self.calls = []
        self.ready = True
        self.opened = 0

    async def handle(self, headers, body, path):
        self.calls.append((headers, body, path))
        if body == b"raise":
            raise RuntimeError("13800001111")
        return 409 if body == b"conflict" else 204

    async def check(self):
        return self.ready

    async def fine(self):
        return None

    async def page(self, _request):
        return PlainTextResponse("page", headers={"content-security-policy": "default-src 'self'"})

    async def broken(self, _request):
        raise RuntimeError("13800001111")

    @contextlib.asynccontextmanager
    async def lifespan(self, _app):
        self.opened += 1
        yield
        self.opened -= 1


@pytest.fixture(scope="module")
def outside():
    return Outside()


@pytest.fixture(scope="module")
def http(outside):
    application = serving.build(
        serving.World(),
        callbacks={"bank": outside.handle},
        readiness={"database": outside.check, "valkey": outside.fine},
        lifespan=outside.lifespan,
        extra_routes=[Route("/page", outside.page), Route("/broken", outside.broken)],
    )
    with (
        serving.served(application) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield client
    assert outside.opened == 0


def test_the_lifespan_is_open_while_the_server_runs(http, outside):
    assert http.get("/healthz").json() == {"status": "ok"}
    assert outside.opened == 1


def test_readiness_names_what_is_missing(http, outside):
    assert http.get("/readyz").json() == {
        "status": "ready",
        "checks": {"database": "ok", "valkey": "ok"},
    }
    outside.ready = False
    try:
        response = http.get("/readyz")
    finally:
        outside.ready = True
    assert response.status_code == 503
    assert response.json()["checks"] == {"database": "failed", "valkey": "ok"}


async def test_a_check_that_hangs_or_raises_is_bounded_and_says_nothing_more():
    async def hangs():
        await asyncio.Event().wait()

    async def raises():
        raise RuntimeError("dsn")

    ready = health.routes({"a": hangs, "b": raises}, timeout_seconds=0.01)[1].endpoint
    response = await ready(None)
    assert response.status_code == 503
    assert json.loads(response.body)["checks"] == {"a": "timeout", "b": "failed"}


def test_metrics_are_in_prometheus_format(http):
    http.post("/graphql", json={"query": "{ hello }"})
    response = http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "# TYPE wallet_graphql_operation_seconds histogram" in response.text


@pytest.fixture(scope="module")
def guarded() -> Iterator[httpx.Client]:
    door = app.Door(metrics_token=TOKEN)
    with (
        serving.served(serving.build(serving.World(), door=door)) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield client


TOKEN = "a token of thirty-two characters"


@pytest.mark.parametrize(
    "given", ["", TOKEN, "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", "Bearer 口令"]
)
def test_metrics_are_for_who_sends_their_token(guarded: httpx.Client, given: str) -> None:
    answer = guarded.get("/metrics", headers={"authorization": given.encode()})
    assert (answer.status_code, answer.json()) == (401, {"code": "HTTP_401"})
    assert answer.headers["www-authenticate"] == "Bearer"
    right = guarded.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert right.status_code == 200
    assert "wallet_graphql" in right.text


def test_without_a_token_an_installation_has_no_metrics() -> None:
    application = serving.build(serving.World(), door=app.Door(metrics_token=None))
    with serving.served(application) as port:
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
    assert answer.status_code == 404


def test_a_callback_gets_headers_raw_body_and_path_and_decides_the_status(http, outside):
    outside.calls.clear()
    response = http.post("/callbacks/bank?x=1", content=b"\x00raw", headers={"X-Signature": "s"})
    assert (response.status_code, response.content) == (204, b"")
    ((headers, body, path),) = outside.calls
    assert (headers["x-signature"], body, path) == ("s", b"\x00raw", "/callbacks/bank")
    assert http.post("/callbacks/bank", content=b"conflict").status_code == 409


def test_a_callback_that_is_too_large_unknown_or_fails_has_its_status(http, outside, capfd):
    outside.calls.clear()
    assert http.post("/callbacks/bank", content=b"x" * 65_537).status_code == 413
    assert outside.calls == []
    assert http.post("/callbacks/other", content=b"").status_code == 404
    assert http.get("/callbacks/bank").status_code == 405
    failed = http.post("/callbacks/bank", content=b"raise")
    assert (failed.status_code, failed.json()) == (500, {"code": "INTERNAL"})
    assert "13800001111" not in "".join(capfd.readouterr())


def test_a_request_id_is_taken_over_if_harmless_and_made_otherwise(http):
    given = http.get("/healthz", headers={"x-request-id": "abcdef-123456"})
    assert given.headers["x-request-id"] == "abcdef-123456"
    for bad in ("short", 'x"}{' * 4, "x" * 65):
        made = http.get("/healthz", headers={"x-request-id": bad}).headers["x-request-id"]
        assert made != bad
        assert len(made) == 24


def test_every_answer_has_the_security_headers_and_a_page_may_set_its_own_policy(http):
    for path in ("/healthz", "/graphql", "/nothing", "/page", "/broken"):
        headers = http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer"
        assert len(headers.get_list("content-security-policy")) == 1
    assert http.get("/healthz").headers["content-security-policy"].startswith("default-src 'none'")
    assert http.get("/page").headers["content-security-policy"] == "default-src 'self'"


def test_the_access_line_has_no_query_string_and_no_unknown_path(http, capfd):
    http.post("/graphql?phone=13800001111", json={"query": "{ hello }"})
    http.get("/13800001111")
    http.get("/healthz")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["method"], line["path"], line["status"]) for line in requests] == [
        ("POST", "/graphql", 200),
        ("GET", "?", 404),
    ]
    assert "13800001111" not in json.dumps(lines)
    assert all(line["request_id"] for line in requests)


def test_a_page_that_fails_is_a_json_500_logged_once_without_its_text(http, capfd):
    response = http.get("/broken")
    assert (response.status_code, response.json()) == (500, {"code": "INTERNAL"})
    written = "".join(capfd.readouterr())
    assert written.count("page_failed") == 1
    assert "13800001111" not in written


def test_an_unknown_page_is_a_json_404(http):
    response = http.get("/nothing")
    assert (response.status_code, response.json()) == (404, {"code": "HTTP_404"})


async def test_a_socket_is_logged_without_query_string_unknown_path_and_address(http, capfd):
    for path in ("/graphql?phone=13800001111", "/13800001111"):
        with contextlib.suppress(websockets.InvalidStatus):
            async with connect(
                f"ws://127.0.0.1:{http.base_url.port}{path}", subprotocols=["graphql-transport-ws"]
            ):
                pass
    http.get("/healthz")
    written = capfd.readouterr().err
    assert "13800001111" not in written
    assert "127.0.0.1" not in written


async def test_a_socket_anywhere_else_is_refused(http):
    with pytest.raises(websockets.InvalidStatus):
        async with connect(f"ws://127.0.0.1:{http.base_url.port}/elsewhere"):
            pass
