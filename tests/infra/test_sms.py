"""The SMS adapter against the running gateway."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from infra import settings, sms
from tests.infra import sandboxes

PHONE = "+8613800138000"
BODY = json.dumps({"to": PHONE, "template": "login", "text": "code", "reference": "x-1"}).encode()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[sandboxes.Server]:
    with sandboxes.running("sms", tmp_path) as server:
        yield server


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sandboxes.Server]:
    """A gateway shared by the tests that must leave nothing behind in it."""
    with sandboxes.running("sms", tmp_path_factory.mktemp("sms")) as server:
        yield server


@pytest.fixture
async def adapter(gateway: sandboxes.Server) -> AsyncIterator[sms.HttpSms]:
    async with sms.HttpSms(url=gateway.url, secret=sandboxes.SECRET) as opened:
        yield opened


def received(gateway: sandboxes.Server, phone: str = PHONE, limit: int = 20) -> list[str]:
    query = httpx.QueryParams(to=phone, limit=limit)
    answer = gateway.ask("GET", f"/messages?{query}").json()
    return [message["text"] for message in answer["messages"]]


async def test_messages_are_shown_newest_first_by_phone(gateway, adapter):
    for number in (1, 2, 3):
        await adapter.send(phone=PHONE, template="t", text=f"no {number}", reference=f"r{number}")
    await adapter.send(phone="+8613900139000", template="t", text="other", reference="r4")

    assert received(gateway) == ["no 3", "no 2", "no 1"]
    assert received(gateway, limit=1) == ["no 3"]
    assert received(gateway, "+8613900139000") == ["other"]


async def test_a_repeated_reference_sends_once(gateway, adapter):
    for _ in range(3):
        await adapter.send(phone=PHONE, template="t", text="验证码 123456", reference="same")

    assert received(gateway) == ["验证码 123456"]


async def test_a_reference_can_not_carry_another_text(gateway, adapter):
    await adapter.send(phone=PHONE, template="t", text="first", reference="same")

    with pytest.raises(sms.SmsRefused, match="REFERENCE_REUSED"):
        await adapter.send(phone=PHONE, template="t", text="second", reference="same")
    assert received(gateway) == ["first"]


async def test_a_refusal_repeats_nothing_personal(untouched):
    async with sms.HttpSms(url=untouched.url, secret=sandboxes.SECRET) as adapter:
        with pytest.raises(sms.SmsRefused) as caught:
            await adapter.send(phone="13800138000", template="t", text="secret", reference="r")

    assert caught.value.code == "INVALID"
    assert "13800138000" not in repr(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "somebody else's"},
        {"age_seconds": 301},
        {"age_seconds": -302},
        {"signed_path": "/other"},
    ],
    ids=["secret", "stale", "from the future", "path"],
)
def test_a_bad_signature_is_refused_and_nothing_is_kept(untouched, wrong):
    answer = sandboxes.signed("POST", f"{untouched.url}/messages", BODY, **wrong)

    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")
    assert received(untouched) == []


def test_an_unsigned_message_is_refused(untouched):
    answer = untouched.ask("POST", "/messages", content=BODY)

    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")
    assert received(untouched) == []


async def test_a_wrong_secret_is_an_outage_to_the_caller(untouched):
    async with sms.HttpSms(url=untouched.url, secret="wrong") as adapter:
        with pytest.raises(sms.SmsUnavailable, match="401"):
            await adapter.send(phone=PHONE, template="t", text="x", reference="r")


async def test_a_failing_gateway_keeps_nothing_and_works_on_retry(gateway, adapter):
    gateway.behave(fail_next=1)

    with pytest.raises(sms.SmsUnavailable, match="503"):
        await adapter.send(phone=PHONE, template="t", text="x", reference="r")
    assert received(gateway) == []
    await adapter.send(phone=PHONE, template="t", text="x", reference="r")
    assert received(gateway) == ["x"]


async def test_a_timeout_after_success_is_not_sent_twice(gateway, adapter):
    gateway.behave(timeout_after_success_next=1)

    with pytest.raises(sms.SmsUnavailable, match="504"):
        await adapter.send(phone=PHONE, template="t", text="x", reference="r")
    await adapter.send(phone=PHONE, template="t", text="x", reference="r")

    assert received(gateway) == ["x"]


async def test_a_slow_gateway_ends_at_the_timeout(gateway):
    gateway.behave(delay_ms=60_000)
    async with sms.HttpSms(
        url=gateway.url, secret=sandboxes.SECRET, timeout_seconds=0.2
    ) as adapter:
        with pytest.raises(sms.SmsUnavailable, match="Timeout"):
            await adapter.send(phone=PHONE, template="t", text="x", reference="r")


async def test_a_dropped_message_is_accepted_and_never_shown(gateway, adapter):
    gateway.behave(drop_rate=1.0)

    await adapter.send(phone=PHONE, template="t", text="x", reference="r")

    assert received(gateway) == []


async def test_nobody_listening_is_unavailable_without_the_phone(gateway):
    gateway.kill()
    async with sms.HttpSms(url=gateway.url, secret=sandboxes.SECRET) as adapter:
        with pytest.raises(sms.SmsUnavailable) as caught:
            await adapter.send(phone=PHONE, template="t", text="x", reference="r")

    assert PHONE not in str(caught.value)
    assert caught.value.__cause__ is None


@contextlib.contextmanager
def leading(to: str) -> Iterator[str]:
    """A server that sends whoever asks it on to ``to``, with method and body as they are."""

    class Leads(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(307)
            self.send_header("location", f"{to}{self.path}")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Leads)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_a_gateway_that_leads_elsewhere_is_not_followed(
    gateway: sandboxes.Server,
) -> None:
    with leading(gateway.url) as url:
        async with sms.HttpSms(url=url, secret=sandboxes.SECRET) as adapter:
            with pytest.raises(sms.SmsUnavailable, match="307"):
                await adapter.send(phone=PHONE, template="t", text="x", reference="r")
    assert received(gateway) == []


async def test_a_killed_gateway_keeps_messages_references_and_behaviour(tmp_path):
    with sandboxes.running("sms", tmp_path) as first:
        async with sms.HttpSms(url=first.url, secret=sandboxes.SECRET) as adapter:
            await adapter.send(phone=PHONE, template="t", text="kept", reference="r")
        first.behave(drop_rate=0.5)
        first.kill()
    with sandboxes.running("sms", tmp_path) as second:
        async with sms.HttpSms(url=second.url, secret=sandboxes.SECRET) as adapter:
            await adapter.send(phone=PHONE, template="t", text="kept", reference="r")

        assert received(second) == ["kept"]
        assert second.ask("GET", "/behaviour").json()["drop_rate"] == 0.5


async def test_the_page_escapes_what_was_sent_and_runs_no_script(gateway, adapter):
    await adapter.send(phone=PHONE, template="t", text="<script>alert(1)</script>", reference="r")

    answer = gateway.ask("GET", "/")

    assert "&lt;script&gt;alert(1)" in answer.text
    assert "<script" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_a_name_that_is_not_this_machine_is_refused(untouched):
    answer = untouched.ask("GET", "/messages", headers={"Host": "evil.example"})

    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"\xff", 400), (b'"x"', 422), (b'{"to": 1}', 422), (b"x" * 20_000, 413)],
    ids=["half", "not utf-8", "string", "wrong type", "too large"],
)
def test_hostile_bodies_get_a_json_error(untouched, body, status):
    answer = sandboxes.signed("POST", f"{untouched.url}/messages", body)

    assert answer.status_code == status
    assert answer.json()["code"]


def test_behaviour_refuses_what_it_does_not_know(untouched):
    assert untouched.ask("POST", "/behaviour", json={"fail_nxt": 1}).status_code == 422
    assert untouched.ask("POST", "/behaviour", json={"drop_rate": 2}).status_code == 422
    assert untouched.ask("POST", "/behaviour", content=b"{}").status_code == 415
    assert untouched.ask("DELETE", "/behaviour").json()["fail_next"] == 0


def test_a_second_server_on_the_same_data_ends_with_a_sentence(gateway, tmp_path):
    options = ["--port", "0", "--data", str(tmp_path), "--secret", "x"]
    second = subprocess.run(
        [sys.executable, "-m", "sandbox.sms", *options],
        cwd=sandboxes.ROOT,
        capture_output=True,
        text=True,
        timeout=sandboxes.READY_SECONDS,
    )

    assert second.returncode == 1
    assert "another server" in second.stderr
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "sms.sqlite3", timeout=0)) as database,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        database.execute("select * from message")


def test_a_taken_port_ends_with_a_sentence(untouched, tmp_path):
    port = untouched.url.rpartition(":")[2]
    options = ["--port", port, "--data", str(tmp_path / "other"), "--secret", "x"]
    second = subprocess.run(
        [sys.executable, "-m", "sandbox.sms", *options],
        cwd=sandboxes.ROOT,
        capture_output=True,
        text=True,
        timeout=sandboxes.READY_SECONDS,
    )

    assert second.returncode == 1
    assert f"port {port}" in second.stderr


async def test_the_settings_name_the_gateway(untouched):
    named = settings.Settings(environment="development", sms_url=untouched.url)
    async with sms.from_settings(named) as adapter:
        with pytest.raises(sms.SmsUnavailable, match="401"):
            await adapter.send(phone=PHONE, template="t", text="x", reference="r")
