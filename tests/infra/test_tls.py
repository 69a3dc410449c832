"""Real handshakes with certificates made here: clients, PostgreSQL, Valkey, bank and SMS."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest
import redis.exceptions
from arq.connections import create_pool

from infra import (
    bank,
    children,
    database,
    embedded,
    mail,
    push,
    queue,
    settings,
    signed_http,
    sms,
    valkey,
)
from services.ledger import desk
from tests.certificates import Authority, Certificate
from tests.conftest import Database
from tests.fronts import Front
from tests.transport import serving
from transport import serve

READY_SECONDS = 60


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "another authority")


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Certificate:
    """Good for localhost, not for 127.0.0.1."""
    return authority.issue("localhost")


@contextmanager
def trusted(authorities: str) -> Iterator[None]:
    """Whom the settings trust."""
    patch = pytest.MonkeyPatch()
    patch.setenv("WALLET_TLS_AUTHORITIES", authorities)
    settings.get_settings.cache_clear()
    yield
    patch.undo()
    settings.get_settings.cache_clear()


@pytest.fixture
def trusting(authority: Authority) -> Iterator[None]:
    with trusted(authority.path):
        yield


# --- bank and SMS -----------------------------------------------------------------------------


class Answers(BaseHTTPRequestHandler):
    """Takes every message, and counts."""

    taken = 0

    def do_POST(self) -> None:
        type(self).taken += 1
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(202)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return None


@contextmanager
def gateway(certificate: Certificate) -> Iterator[int]:
    Answers.taken = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def _send(port: int, authorities: str, host: str = "localhost") -> None:
    with trusted(authorities):
        opened = sms.HttpSms(url=f"https://{host}:{port}", secret="s")
    async with opened:
        await opened.send(phone="+8613800138000", template="code", text="1", reference="r")


async def test_a_gateway_is_spoken_to_only_if_its_certificate_is_one_we_trust(
    ours: Certificate, authority: Authority, stranger: Authority
) -> None:
    with gateway(ours) as port:
        await _send(port, authority.path)
        assert Answers.taken == 1
        # Another authority, the system's own, and a name that the certificate doesn't have.
        for authorities, host in (
            (stranger.path, "localhost"),
            ("", "localhost"),
            (authority.path, "127.0.0.1"),
        ):
            with pytest.raises(sms.SmsUnavailable, match="ConnectError"):
                await _send(port, authorities, host)
        assert Answers.taken == 1


async def test_every_gateway_of_the_settings_checks_certificates(
    ours: Certificate, monkeypatch: pytest.MonkeyPatch, authority: Authority, stranger: Authority
) -> None:
    with gateway(ours) as port:
        for name in ("BANK", "SMS", "PUSH", "MAIL"):
            monkeypatch.setenv(f"WALLET_{name}_URL", f"https://localhost:{port}")
        made = settings.Settings(_env_file=None)  # type: ignore[call-arg]
        for path in (stranger.path, authority.path):
            with trusted(path):
                opened = [port.from_settings(made) for port in (bank, sms, push, mail)]
            for one in opened:
                if path == stranger.path:
                    with pytest.raises(signed_http.Unanswered, match="ConnectError"):
                        await one._client.send("POST", "/")
                else:
                    assert (await one._client.send("POST", "/")).status_code == 202
                await one.aclose()
        assert Answers.taken == 4


async def test_an_old_version_of_tls_is_refused(ours: Certificate, trusting: None) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours.certificate, ours.key)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        link, _ = listener.accept()
        with link, contextlib.suppress(OSError):
            context.wrap_socket(link, server_side=True)

    thread = threading.Thread(target=serve)
    thread.start()
    url = f"https://localhost:{listener.getsockname()[1]}"
    client = signed_http.SignedHttp(url=url, secret="s", timeout_seconds=10)
    with pytest.raises(signed_http.Unanswered, match="ConnectError"):
        await client.send("POST", "/")
    await client.aclose()
    thread.join()
    listener.close()


# --- PostgreSQL and Valkey --------------------------------------------------------------------


def through(url: str, front: Front, *, host: str = "localhost", query: str) -> str:
    parts = urlsplit(url)
    place = f"{parts.username}:{parts.password}@{host}:{front.port}"
    return urlunsplit(parts._replace(netloc=place, query=query))


def postgres_socket(url: str) -> str:
    folder = next(word for word in urlsplit(url).query.split("&") if word.startswith("host="))
    return f"{folder.removeprefix('host=')}/.s.PGSQL.5432"


async def test_pool_lanes_and_plain_connections_check_the_certificate_of_postgresql(
    database_: Database, ours: Certificate, trusting: None, stranger: Authority
) -> None:
    path = postgres_socket(database_.api_url)
    async with Front(path, certificate=ours, asked_for=True) as front:
        good = through(database_.api_url, front, query="sslmode=verify-full")
        await database.open_database(good, pool_size=2)
        async with database.session(transaction=False) as connection:
            assert await connection.fetchval("select 1") == 1
        await database.close_database()
        lane = desk.Desk(good, lanes=1, queue_max=1, relay=lambda: None)
        await (await lane._connect()).close()
        assert front.handshakes >= 2
        handshakes = front.handshakes
        wrong_name = through(
            database_.api_url, front, host="127.0.0.1", query="sslmode=verify-full"
        )
        wrong_authority = f"{good}&sslrootcert={stranger.path}"
        for url in (wrong_name, wrong_authority, f"{good}&sslrootcert=system"):
            with pytest.raises(ssl.SSLCertVerificationError):
                await database.connect(url)
            await database.open_database(url, pool_size=2)
            with pytest.raises(ssl.SSLCertVerificationError):
                async with database.session(transaction=False):
                    pass
            await database.close_database()
        assert front.handshakes == handshakes


async def test_a_postgresql_that_speaks_no_tls_gets_no_password(
    database_: Database, trusting: None
) -> None:
    async with Front(postgres_socket(database_.api_url)) as front:
        url = through(database_.api_url, front, query="sslmode=verify-full")
        # The wheel's server was built without TLS and says so when it is asked.
        with pytest.raises((ConnectionError, asyncpg.PostgresError)):
            await database.connect(url)


async def test_every_client_of_valkey_checks_its_certificate_and_its_name(
    servers: embedded.Servers, ours: Certificate, trusting: None, stranger: Authority
) -> None:
    path = urlsplit(servers.redis_url).path
    password = urlsplit(servers.redis_url).password
    async with Front(path, certificate=ours) as front:
        good = f"rediss://:{password}@localhost:{front.port}/0"
        wrong_name = f"rediss://:{password}@127.0.0.1:{front.port}/0"
        wrong_authority = f"{good}?ssl_ca_certs={stranger.path}"
        assert await _pings(good) == [True, True, True]
        handshakes = front.handshakes
        assert handshakes >= 3
        assert await _pings(wrong_name) == [False, False, False]
        assert front.handshakes == handshakes
        assert (await _pings(wrong_authority)) == [False, False, False]


async def _pings(url: str) -> list[bool]:
    """Whether our client, arq's pool of ours, and arq's own client get through."""
    found = []
    for client in (valkey.client(url), await queue.open_pool(url)):
        try:
            found.append(bool(await client.ping()))
        except redis.exceptions.ConnectionError:
            found.append(False)
        await client.aclose()
    told = queue.redis_settings(url)
    told.conn_retries = 0
    try:
        pool = await create_pool(told)
    except redis.exceptions.ConnectionError:
        found.append(False)
    else:
        found.append(True)
        await pool.aclose()
    return found


@pytest.fixture
def database_(database: Database) -> Database:
    """By another name, because the module is `database`."""
    return database


# --- towards clients --------------------------------------------------------------------------


@contextmanager
def production(
    servers: embedded.Servers, database: Database, certificate: Certificate, log: Path
) -> Iterator[int]:
    """The API in a process of its own, as an installation would start it; gives its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WALLET_")}
    names = ("INDEX_KEY", "PASSWORD_PEPPER", "CURSOR_KEY", "SMS_SECRET", "BANK_SECRET")
    names += ("AUDIT_KEY", "PUSH_SECRET", "MAIL_SECRET")
    given = {
        "ENVIRONMENT": "production",
        "PUBLIC_URL": f"https://localhost:{port}",
        "TLS_CERTIFICATE": certificate.certificate,
        "TLS_KEY": certificate.key,
        "DATABASE_URL": database.api_url,
        "REDIS_URL": servers.redis_url,
        "BANK_URL": "https://127.0.0.1:1",
        **{f"{name}_URL": "https://127.0.0.1:1" for name in ("SMS", "PUSH", "MAIL")},
        "PASSWORD_COST": "4",
        "RATE_COSTLY_PER_MINUTE": "1",
        "RATE_COSTLY_BURST": "2",
        "ENCRYPTION_KEYS": f"1:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        **{name: secrets.token_hex(32) for name in (*names, "BANK_CALLBACK_SECRET")},
    }
    env = kept | {f"WALLET_{name}": value for name, value in given.items()}
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "transport.serve", "--port", str(port)],
            cwd=log.parent,
            env=env | {"PYTHONPATH": str(children.CHECKOUT)},
            stdout=written,
            stderr=written,
        )
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_an_installation_serves_by_its_own_certificate_and_not_in_the_clear(
    servers: embedded.Servers,
    database_: Database,
    authority: Authority,
    stranger: Authority,
    ours: Certificate,
    tmp_path: Path,
) -> None:
    with production(servers, database_, ours, tmp_path / "log") as port:
        url = f"https://localhost:{port}"
        trusted = ssl.create_default_context(cafile=authority.path)
        async with httpx.AsyncClient(base_url=url, verify=trusted, trust_env=False) as client:
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()["status"]) == (200, "ready")
            asked = await client.post("/graphql", json={"query": "{ __typename }"})
            assert asked.json() == {"data": {"__typename": "Query"}}
            for answer in (ready, asked):
                strict = answer.headers["strict-transport-security"]
                assert strict == "max-age=63072000; includeSubDomains"
        untrusted = ssl.create_default_context(cafile=stranger.path)
        async with httpx.AsyncClient(base_url=url, verify=untrusted, trust_env=False) as client:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get("/readyz")
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(f"http://localhost:{port}/readyz")


def _handshake(port: int, authority: Authority, ciphers: str) -> tuple[str, str, int] | None:
    """The suite that a client of TLS 1.2 gets."""
    context = ssl.create_default_context(cafile=authority.path)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as link,
    ):
        return link.cipher()


def test_our_own_certificate_comes_with_forward_secrecy_and_authenticated_encryption(
    authority: Authority, ours: Certificate
) -> None:
    given = settings.Settings(
        _env_file=None,  # type: ignore[call-arg]
        environment="development",
        tls_certificate=ours.certificate,
        tls_key=ours.key,
    )
    application = serving.build(serving.World())
    with serving.served(application, **serve.options(given)) as port:
        usual = _handshake(port, authority, "DEFAULT")
        assert usual is not None
        assert usual[0].startswith("ECDHE-")
        assert "GCM" in usual[0] or "CHACHA20" in usual[0]
        for weak in ("ECDHE+SHA", "AES128-GCM-SHA256", "DHE+AESGCM"):
            with pytest.raises(ssl.SSLError, match=r"handshake failure|EOF occurred"):
                _handshake(port, authority, weak)


LOGIN = """mutation Login($input: LoginInput!) { login(input: $input) { __typename } }"""


async def test_an_installation_bounds_what_strangers_can_make_it_work_for(
    servers: embedded.Servers,
    database_: Database,
    authority: Authority,
    ours: Certificate,
    superuser: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    asked = {"query": LOGIN, "variables": {"input": {"phone": "+8613800138000", "password": "x"}}}
    trusted = ssl.create_default_context(cafile=authority.path)
    with production(servers, database_, ours, tmp_path / "log") as port:
        url = f"https://localhost:{port}"
        async with httpx.AsyncClient(base_url=url, verify=trusted, trust_env=False) as client:
            # Two that Valkey allows, and one more while the process counts alone.
            met = [await client.post("/graphql", json=asked) for _ in range(4)]
            count = "select coalesce(sum(failures), 0) from login_throttle"
            tries = await superuser.fetchval(count)
            met.append(
                await client.post("/graphql", json=asked, headers={"accept-language": "zh-CN"})
            )
            assert await superuser.fetchval(count) == tries
            other = await client.post("/graphql", json={"query": "{ __typename }"})
    assert met[0].status_code == 200
    assert met[-1].status_code == 429
    [error] = met[-1].json()["errors"]
    assert error["message"].startswith("操作过于频繁")
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert met[-1].headers["retry-after"] == str(error["extensions"]["retryAfterSeconds"])
    assert other.status_code == 200
