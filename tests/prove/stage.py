"""What every suite stands on: real servers, a fresh database a round, counters that must move."""

from __future__ import annotations

import asyncio
import logging as standard_logging
import os
import subprocess
import sys
import time
import traceback
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg

from infra import embedded, logging, migrate, settings
from tests.conftest import TEST_CLOCK, Database

TEMPLATE = "wallet"


def configure() -> None:
    """Settings of a development installation; faults are expected, so logs stay quiet."""
    os.environ["WALLET_ENVIRONMENT"] = "development"
    os.environ["WALLET_PASSWORD_COST"] = os.environ["WALLET_PIN_COST"] = "4"
    settings.get_settings.cache_clear()
    logging.configure(level="critical", development=True)
    standard_logging.getLogger("arq").setLevel(standard_logging.CRITICAL)


async def prepare(servers: embedded.Servers) -> None:
    """Migrate the template; its clock can be moved."""
    await migrate.migrate(servers.postgres_url("wallet_owner"))
    connection = await asyncpg.connect(servers.superuser_url(TEMPLATE))
    await connection.execute(TEST_CLOCK)
    await connection.close()
    servers.grant_logins()


@asynccontextmanager
async def fresh_database(servers: embedded.Servers) -> AsyncIterator[Database]:
    """A database of one round; dropped at its end, whatever still hangs on it."""
    name = f"p_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(servers.superuser_url())
    try:
        await admin.execute(f"create database {name} template {TEMPLATE} owner wallet_owner")
        await admin.execute(f"revoke temporary on database {name} from public")  # not copied
        yield Database(
            api_url=servers.postgres_url("wallet_api", database=name),
            worker_url=servers.postgres_url("wallet_worker", database=name),
            owner_url=servers.postgres_url("wallet_owner", database=name),
            superuser_url=servers.superuser_url(name),
        )
    finally:
        await admin.execute(f"drop database if exists {name} with (force)")
        await admin.close()


Round = Callable[[embedded.Servers, int, Counter[str]], Awaitable[None]]


def run(
    suite: str, play: Round, *, counters: tuple[str, ...], duration_seconds: float, seed: int
) -> int:
    """Play rounds until the time is up (one at least); the exit code.

    Round n has the seed ``seed + n``, so a failed round comes back as the first one of SEED=that.
    Every name in ``counters`` has to have moved by the end.
    """
    counts: Counter[str] = Counter(dict.fromkeys(counters, 0))
    print(f"{suite}: seed {seed}, {duration_seconds:.0f} s", flush=True)
    with embedded.start(None, durable=False) as servers:
        rounds, failures = asyncio.run(_rounds(servers, play, counts, duration_seconds, seed))
    for name in counts:
        print(f"  {name:<48} {counts[name]:>9,}")
    idle = [name for name in counters if counts[name] == 0]
    for name in idle:
        print(f"{suite}: never happened: {name}")
    print(f"{suite}: {rounds} rounds, {len(failures)} failures", flush=True)
    for failed in failures:
        print(f"  replay: make prove SUITE={suite} SEED={failed}")
    return 1 if failures or idle else 0


def walk(title: str, files: tuple[str, ...], **environment: str) -> int:
    """Tests of the suite as a part of a proof, with more in their environment; the exit code."""
    print(title, flush=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    return subprocess.run(command, check=False, env=os.environ | environment).returncode


async def _rounds(
    servers: embedded.Servers,
    play: Round,
    counts: Counter[str],
    duration_seconds: float,
    seed: int,
) -> tuple[int, list[int]]:
    await prepare(servers)
    until = time.monotonic() + duration_seconds
    rounds, failures = 0, []
    while rounds == 0 or time.monotonic() < until:
        started = time.monotonic()
        try:
            await play(servers, seed + rounds, counts)
        except Exception:
            failures.append(seed + rounds)
            print(f"round {rounds} FAILED, seed {seed + rounds}")
            traceback.print_exc()
        else:
            took = time.monotonic() - started
            print(f"round {rounds} ok, seed {seed + rounds}, {took:.1f} s", flush=True)
        rounds += 1
    return rounds, failures
