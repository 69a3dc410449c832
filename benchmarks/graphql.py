"""Whole payments through GraphQL over HTTP, against a stock endpoint without a database."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import msgspec
import uvloop

from benchmarks import load
from benchmarks.figures import Figure, Suite, median
from benchmarks.load import Body
from infra import encryption, hashing, settings, stack
from schema import ids

RESIDENTS = 400
MERCHANTS = 100
CONNECTIONS = 64
_FIRST_RESIDENT, _FIRST_MERCHANT = 1_000_000, 2_000_000
_PAY = """mutation Pay($input: CreatePaymentInput!) { createPayment(input: $input) { __typename
  ... on CreatePaymentSuccess { payment { id state amount { amount currencyCode } } }
  ... on Error { code message } } }"""
_CONFIRM = """mutation Confirm($input: ConfirmPaymentInput!) { confirmPayment(input: $input) {
  __typename ... on ConfirmPaymentSuccess { payment { id state } }
  ... on Error { code message } } }"""
_PIN = "246813"
_OVER = 20_001  # more than the allowance lets through without a PIN


def run(*, rounds: int, seconds: int) -> Suite:
    suite = Suite(
        title="Whole payments through GraphQL",
        settings=(
            f"One API process, one worker with the outbox on, {RESIDENTS} residents signed in,"
            f" {MERCHANTS} merchants, {CONNECTIONS} keep-alive connections, `fsync` on; median"
            f" of {rounds} interleaved rounds of {seconds} s. Each request is one `createPayment`"
            " under the no-PIN allowance; hot: all to one merchant; by PIN: `createPayment` and"
            " then `confirmPayment`, two requests and one bcrypt hash. Stock:"
            " `strawberry.asgi.GraphQL` with a mutation of the same shape and no database, one"
            " process. Each run begins with an empty outbox. The load client shares the machine's"
            " cores with everything it measures."
        ),
    )
    found: dict[str, list[load.Outcome]] = {}
    with tempfile.TemporaryDirectory(prefix="wallet-bench-") as data, _stock() as stock_url:
        environment = {"WALLET_ENVIRONMENT": "development", "WALLET_LOG_LEVEL": "warning"}
        with stack.start(data=Path(data), port=0, env=environment) as running:
            people = asyncio.run(_populate(running.superuser_url))
            for turn in range(rounds):
                print(f"  round {turn + 1} of {rounds}", flush=True)
                for name, url, bodies in people.variants(running.api_url, stock_url):
                    outcome = uvloop.run(_measure(url, bodies, seconds))
                    asyncio.run(_drained(running.superuser_url))
                    found.setdefault(name, []).append(outcome)
    figures = {name: suite.add(_figure(name, outcomes)) for name, outcomes in found.items()}
    ours, hot, stock = (figures[name] for name in ("payments, uniform", "payments, hot", "stock"))
    suite.compare("payments hot ÷ uniform", hot, ours)
    suite.compare("payments by PIN ÷ without", figures["payments by PIN, uniform"], ours)
    suite.compare("payments uniform ÷ stock Strawberry without a database", ours, stock)
    return suite


def _figure(name: str, outcomes: list[load.Outcome]) -> Figure:
    rates = [outcome.per_second for outcome in outcomes]
    typical = sorted(outcomes, key=lambda outcome: outcome.per_second)[len(outcomes) // 2]
    wrong = [outcome for outcome in outcomes if outcome.wrong]
    return Figure(
        name,
        median(rates),
        p50_ms=typical.percentile_ms(0.5),
        p99_ms=typical.percentile_ms(0.99),
        errors=sum(outcome.wrong for outcome in outcomes),
        notes=wrong[0].sample.decode(errors="replace")[:120] if wrong else "",
        rounds=rates,
    )


async def _drained(url: str) -> None:
    """Let the worker finish what a run left in the outbox, so that the next begins alone."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(60):
            while await connection.fetchval("select exists (select from ledger.outbox)"):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    finally:
        await connection.close()


async def _measure(url: str, bodies: Sequence[Body], seconds: int) -> load.Outcome:
    return await load.post(
        url, connections=CONNECTIONS, seconds=seconds, bodies=bodies, right=b"SUCCEEDED"
    )


@contextmanager
def _stock() -> Iterator[str]:
    """The stock endpoint under uvicorn, with the same loop and parser as ours."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "benchmarks.stock:app", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(
        [*command, "--loop", "uvloop", "--http", "httptools", "--no-access-log"],
        env={**os.environ, "PYTHONPATH": "."},
    )
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(10)


class _People:
    """Who pays whom in the benchmark: access tokens and merchants' ids."""

    def __init__(self, tokens: list[str], merchants: list[str]) -> None:
        self.tokens = [f"Bearer {token}" for token in tokens]
        self.merchants = merchants
        self.run = 0

    def variants(self, ours: str, stock: str) -> Iterator[tuple[str, str, Sequence[Body]]]:
        """Each measured thing: name, URL, and the bodies of a turn's requests."""
        ours = f"{ours}/graphql"
        yield "payments, uniform", ours, [self.create(hot=False)]
        yield "payments, hot", ours, [self.create(hot=True)]
        yield "payments by PIN, uniform", ours, [self.create(hot=False, fen=_OVER), self.confirm()]
        yield "stock", stock, [self.create(hot=False)]

    def create(self, *, hot: bool, fen: int = 1) -> Body:
        """A payment of so many hundredths, by one resident after another."""
        self.run += 1
        name = f"r{self.run}-{secrets.token_hex(4)}"

        def make(connection: int, turn: int, _: bytes) -> tuple[bytes, str]:
            number = turn * CONNECTIONS + connection
            merchant = self.merchants[0 if hot else number * 7 % len(self.merchants)]
            variables = {
                "input": {
                    "merchantId": merchant,
                    "amount": {"amount": f"{fen / 100:.2f}", "currencyCode": "CNY"},
                    "idempotencyKey": f"{name}-{connection}-{turn}",
                }
            }
            payload = msgspec.json.encode({"query": _PAY, "variables": variables})
            return payload, self.tokens[number % len(self.tokens)]

        return make

    def confirm(self) -> Body:
        """The PIN for the payment that the turn opened."""

        def make(connection: int, turn: int, opened: bytes) -> tuple[bytes, str]:
            number = turn * CONNECTIONS + connection
            made = msgspec.json.decode(opened)["data"]["createPayment"]
            if "payment" not in made:
                raise RuntimeError(f"a payment was not opened: {made}")
            payment_id = made["payment"]["id"]
            given = {
                "paymentId": payment_id,
                "proof": {"pin": _PIN},
                "idempotencyKey": f"c-{payment_id}",
            }
            payload = msgspec.json.encode({"query": _CONFIRM, "variables": {"input": given}})
            return payload, self.tokens[number % len(self.tokens)]

        return make


async def _populate(url: str) -> _People:
    """Real rows, written at once: registering 500 people one by one is another benchmark."""
    tokens = [secrets.token_urlsafe(32) for _ in range(RESIDENTS)]
    connection = await asyncpg.connect(url)
    await hashing.open_hasher()
    try:
        await connection.execute(
            "update ledger.city set free_max_minor_cap = 100000, free_daily_count_cap = 32000"
        )
        # Nobody pays as often as these few residents: the scan would freeze them all.
        await connection.execute("update risk_rule set enabled = false")
        for first, count, role in (
            (_FIRST_RESIDENT, RESIDENTS, "RESIDENT"),
            (_FIRST_MERCHANT, MERCHANTS, "MERCHANT"),
        ):
            await connection.executemany(
                "insert into users(id, role, status, phone, phone_index, name, password_hash,"
                " pin_hash) values ($1, $2, 'ACTIVE', $3, $4, $5, '', $6)",
                [
                    (*_person(n, role), await hashing.hash_pin(n, _PIN))
                    for n in range(first, first + count)
                ],
            )
            await connection.execute(_ACCOUNTS, first, count, 1 if role == "RESIDENT" else 2)
        await connection.executemany(_SESSION, [_session(n, t) for n, t in enumerate(tokens)])
        rows = await connection.fetch(_MERCHANT_ROWS, _FIRST_MERCHANT)
    finally:
        await hashing.close_hasher()
        await connection.close()
    return _People(tokens, [ids.encode("Merchant", row["id"]) for row in rows])


_ACCOUNTS = """
insert into ledger.account(owner_id, role, currency, at, day_max, opened_at, posted, free_max,
                           free_count_max)
  select $1::bigint + n, $3::smallint, 'CNY', ledger.now(), 9e15::bigint, ledger.now(),
         case $3::smallint when 1 then 1000000000 else 0 end, 20000, 32000
    from generate_series(0, $2::int - 1) n
"""
_SESSION = """
insert into session(user_id, access_hash, access_expires_at, family_hash, refresh_hash,
                    refresh_expires_at)
  values ($1, $2, ledger.now() + interval '1 day', $3, $3, ledger.now() + interval '1 day')
"""
_MERCHANT_ROWS = """
insert into merchant(user_id, account_id, name, category, qr_token)
  select a.owner_id, a.id, 'Shop ' || a.owner_id, 'FOOD', 'bench-' || a.owner_id
    from ledger.account a where a.owner_id >= $1 and a.role = 2 order by a.id
returning id
"""


def _person(user_id: int, role: str) -> tuple[object, ...]:
    phone = f"+86138{user_id:08d}"
    return (
        user_id,
        role,
        encryption.encrypt("users.phone", user_id, phone),
        encryption.blind_index("phone", phone),
        encryption.encrypt("users.name", user_id, "Bench"),
    )


def _session(number: int, token: str) -> tuple[object, ...]:
    digest = hashlib.sha256(token.encode()).hexdigest()
    return _FIRST_RESIDENT + number, digest, hashlib.sha256(digest.encode()).hexdigest()


os.environ.setdefault("WALLET_ENVIRONMENT", "development")
settings.get_settings.cache_clear()
