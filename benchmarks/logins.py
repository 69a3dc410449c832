"""Logins at the pace of their hash, and payments while everybody wants to sign in."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

import uvloop

from benchmarks import load
from benchmarks.city import RESIDENTS, City, drained, populate
from benchmarks.figures import Figure, Suite, median
from infra import settings, stack
from infra.hashing import PASSWORD_NICENESS

CORES = 2
CONNECTIONS = 64
SIGNING_IN = 16  # enough to keep every hasher busy
QUARTER = 0.25  # of the payments that the API takes when nothing else runs
_STORM_PER_SECOND = 40
_RAW = """
import bcrypt, sys, time
from infra.hashing_child import be_nice
be_nice(int(sys.argv[3]))
stored, until, done = bcrypt.gensalt(int(sys.argv[1])), time.perf_counter() + float(sys.argv[2]), 0
started = time.perf_counter()
while time.perf_counter() < until:
    bcrypt.hashpw(b"x" * 64, stored)
    done += 1
print(done / (time.perf_counter() - started))
"""
_ENVIRONMENT = {
    "WALLET_ENVIRONMENT": "development",
    "WALLET_LOG_LEVEL": "critical",
    "WALLET_TRUSTED_PROXIES": "127.0.0.1",
}


def run(*, rounds: int, seconds: int) -> Suite:
    cost = settings.Settings.model_fields["password_cost"].default
    suite = Suite(
        title="Signing in",
        settings=(
            f"{RESIDENTS} residents with a known device; a login is the password (bcrypt, cost"
            f" {cost}) and then the device's signature, two requests. Median of {rounds}"
            f" interleaved rounds of {seconds} s. Pace: {CORES} hashers on {CORES} cores,"
            f" {SIGNING_IN} connections; raw: {CORES} processes that do nothing but that hash,"
            f" as nice as the hashers. Storm: one hasher, a quarter of the payments a second that"
            f" {CONNECTIONS} connections get through without a pause, by the clock, and beside"
            f" them {_STORM_PER_SECOND} logins a second, many times what a hasher does."
        ),
    )
    _pace(suite, cost=cost, rounds=rounds, seconds=seconds)
    _storm(suite, rounds=rounds, seconds=seconds)
    return suite


def _pace(suite: Suite, *, cost: int, rounds: int, seconds: int) -> None:
    ours: list[load.Outcome] = []
    raw: list[float] = []
    environment = {**_ENVIRONMENT, "WALLET_HASHER_PROCESSES": str(CORES)}
    with tempfile.TemporaryDirectory(prefix="wallet-bench-") as data:  # noqa: SIM117
        with stack.start(data=Path(data), port=0, env=environment) as running:
            city = asyncio.run(populate(running.superuser_url, connections=SIGNING_IN))
            for _ in range(rounds):
                raw.append(_raw(cost, seconds))
                ours.append(uvloop.run(_logins(running.api_url, city, seconds)))
    floor = suite.add(Figure("raw bcrypt", median(raw), rounds=raw))
    logins = suite.add(_figure("logins", ours))
    suite.compare("logins ÷ raw bcrypt on the same cores", logins, floor)


def _raw(cost: int, seconds: int) -> float:
    command = [sys.executable, "-c", _RAW, str(cost), str(seconds), str(PASSWORD_NICENESS)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        for _ in range(CORES)
    ]
    return sum(float(process.communicate()[0]) for process in running)


async def _logins(url: str, city: City, seconds: int) -> load.Outcome:
    return await load.post(
        f"{url}/graphql",
        connections=SIGNING_IN,
        seconds=seconds,
        bodies=city.sign_in(),
        right=b"CompleteLoginSuccess",
    )


def _storm(suite: Suite, *, rounds: int, seconds: int) -> None:
    calm: list[load.Outcome] = []
    stormy: list[load.Outcome] = []
    storms: list[load.Outcome] = []
    with tempfile.TemporaryDirectory(prefix="wallet-bench-") as data:  # noqa: SIM117
        with stack.start(data=Path(data), port=0, env=_ENVIRONMENT) as running:
            city = asyncio.run(populate(running.superuser_url, connections=CONNECTIONS))
            most = uvloop.run(_payments(running.api_url, city, seconds))
            rate = most.per_second * QUARTER
            for _ in range(rounds):
                asyncio.run(drained(running.superuser_url))
                calm.append(uvloop.run(_payments(running.api_url, city, seconds, rate)))
                paid, storm = uvloop.run(_both(running.api_url, city, seconds, rate))
                stormy.append(paid)
                storms.append(storm)
    suite.add(_figure("payments without a pause", [most]))
    before = suite.add(_figure("payments at a quarter of capacity", calm))
    beside = suite.add(_figure("payments at a quarter of capacity, in a login storm", stormy))
    storm = _figure("logins of the storm, answered or refused", storms)
    storm.notes = f"{storm.errors} refused as OVERLOADED or for a delay"
    storm.errors, storm.p50_ms, storm.p99_ms = 0, None, None  # each waits for its turn
    suite.add(storm)
    assert before.p99_ms is not None
    assert beside.p99_ms is not None
    suite.state("p99 of payments in the storm ÷ without", beside.p99_ms / before.p99_ms)


async def _payments(url: str, city: City, seconds: int, rate: float | None = None) -> load.Outcome:
    return await load.post(
        f"{url}/graphql",
        connections=CONNECTIONS,
        seconds=seconds,
        bodies=city.pay(hot=False),
        right=b"SUCCEEDED",
        turns_per_second=rate,
    )


async def _both(
    url: str, city: City, seconds: int, rate: float
) -> tuple[load.Outcome, load.Outcome]:
    storm = load.post(
        f"{url}/graphql",
        connections=CONNECTIONS,
        seconds=seconds,
        bodies=city.sign_in(),
        right=b"CompleteLoginSuccess",
        turns_per_second=_STORM_PER_SECOND,
    )
    paid, signed_in = await asyncio.gather(_payments(url, city, seconds, rate), storm)
    return paid, signed_in


def _figure(name: str, outcomes: list[load.Outcome]) -> Figure:
    rates = [outcome.per_second for outcome in outcomes]
    return Figure(
        name,
        median(rates),
        p50_ms=median([outcome.percentile_ms(0.5) for outcome in outcomes]),
        p99_ms=median([outcome.percentile_ms(0.99) for outcome in outcomes]),
        errors=sum(outcome.wrong for outcome in outcomes),
        notes="p99 " + ", ".join(f"{outcome.percentile_ms(0.99):.0f}" for outcome in outcomes),
        rounds=rates,
    )
