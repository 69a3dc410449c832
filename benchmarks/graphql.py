"""Whole payments through GraphQL over HTTP, against a stock endpoint without a database."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvloop

from benchmarks import load
from benchmarks.city import MERCHANTS, RESIDENTS, City, drained, populate
from benchmarks.figures import Figure, Suite, median
from benchmarks.load import Body
from infra import settings, stack

CONNECTIONS = 64


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
        # The limits are asked for as ever, and never reached.
        for name in ("ADDRESS", "USER", "COSTLY"):
            environment[f"WALLET_RATE_{name}_PER_MINUTE"] = "6000000"
            environment[f"WALLET_RATE_{name}_BURST"] = "1000000"
        with stack.start(data=Path(data), port=0, env=environment) as running:
            city = asyncio.run(populate(running.superuser_url, connections=CONNECTIONS))
            for turn in range(rounds):
                print(f"  round {turn + 1} of {rounds}", flush=True)
                for name, url, bodies in _variants(city, running.api_url, stock_url):
                    outcome = uvloop.run(_measure(url, bodies, seconds))
                    asyncio.run(drained(running.superuser_url))
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


async def _measure(url: str, bodies: Sequence[Body], seconds: int) -> load.Outcome:
    return await load.post(
        url, connections=CONNECTIONS, seconds=seconds, bodies=bodies, right=b"SUCCEEDED"
    )


def _variants(city: City, ours: str, stock: str) -> Iterator[tuple[str, str, Sequence[Body]]]:
    """Each measured thing: name, URL, and the bodies of a turn's requests."""
    ours = f"{ours}/graphql"
    yield "payments, uniform", ours, city.pay(hot=False)
    yield "payments, hot", ours, city.pay(hot=True)
    yield "payments by PIN, uniform", ours, city.pay(hot=False, by_pin=True)
    yield "stock", stock, city.pay(hot=False)


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


os.environ.setdefault("WALLET_ENVIRONMENT", "development")
settings.get_settings.cache_clear()
