"""The money core against pgbench: the same socket, the same tables, the same run."""

from __future__ import annotations

import asyncio
import os
import random
import re
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import uvloop

from benchmarks.figures import Figure, Suite, median
from domain import ledger
from domain.ledger import Operation, Outcome
from infra import embedded, migrate
from services.ledger.desk import Desk

PAYERS = 100_000
PAYEES = 1_000
CLIENTS = 16
CALLERS = (64, 256)
_FIRST_PAYER, _FIRST_PAYEE = 10_000, 5_000_000
_MINIMAL = (Path(__file__).parent / "minimal.sql").read_text()

_ACCOUNTS = f"""
insert into ledger.account(id, owner_id, role, currency, at, day_max, opened_at, posted,
                           free_max, free_count_max)
  select {_FIRST_PAYER} + n, n, 1, 'CNY', ledger.now(), 9e15::bigint, ledger.now(), 1000000000,
         20000, 32000 from generate_series(1, {PAYERS}) n;
insert into ledger.account(id, owner_id, role, currency, at, day_max, opened_at)
  select {_FIRST_PAYEE} + n, 1000000 + n, 2, 'CNY', ledger.now(), 9e15::bigint, ledger.now()
    from generate_series(1, {PAYEES}) n;
update ledger.city set free_max_minor_cap = 100000, free_daily_count_cap = 32000;
insert into minimal.account(id, posted)
  select {_FIRST_PAYER} + n, 1000000000 from generate_series(1, {PAYERS}) n;
insert into minimal.account(id, posted)
  select {_FIRST_PAYEE} + n, 0 from generate_series(1, {PAYEES}) n;
"""


def run(*, rounds: int, seconds: int) -> Suite:
    """Rounds of every variant in turn, on a database of its own with fsync on."""
    suite = Suite(
        title="The money core",
        settings=(
            f"{PAYERS:,} payers, {PAYEES:,} payees, `fsync` and `synchronous_commit` on;"
            f" median of {rounds} interleaved rounds of {seconds} s. Hot: every payment credits one"
            f" merchant. pgbench: prepared protocol, {CLIENTS} clients, one payment a transaction."
            " Minimal: key, entry, two postings, two guarded balances, hot row locked last"
            " (`benchmarks/minimal.sql`). Desk: two lanes, in one Python process; its function also"
            " keeps status, limits, allowance, payment states, events and outbox."
        ),
    )
    with (
        tempfile.TemporaryDirectory(prefix="wallet-bench-") as data,
        embedded.start(Path(data), durable=True) as servers,
    ):
        asyncio.run(_prepare(servers))
        figures = _rounds(servers, rounds=rounds, seconds=seconds)
    for figure in figures.values():
        suite.add(figure)
    for callers in CALLERS:
        for kind in ("uniform", "hot"):
            desk = figures[f"desk, {callers} callers, {kind}"]
            suite.compare(
                f"desk {callers} callers ÷ same function by pgbench, {kind}",
                desk,
                figures[f"pgbench, posting function singly, {kind}"],
            )
            suite.compare(
                f"desk {callers} callers ÷ minimal function by pgbench, {kind}",
                desk,
                figures[f"pgbench, minimal function, {kind}"],
            )
    return suite


async def _prepare(servers: embedded.Servers) -> None:
    await migrate.migrate(servers.postgres_url("wallet_owner"))
    servers.grant_logins()
    connection = await asyncpg.connect(servers.superuser_url("wallet"))
    await connection.execute(_MINIMAL)
    await connection.execute(_ACCOUNTS)
    await connection.execute("vacuum analyze")
    await connection.close()


def _rounds(servers: embedded.Servers, *, rounds: int, seconds: int) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    for turn in range(rounds):
        print(f"  round {turn + 1} of {rounds}", flush=True)
        for kind in ("uniform", "hot"):
            for name, script in (
                ("minimal function", _minimal),
                ("posting function singly", _single),
            ):
                _note(figures, _pgbench(servers, f"pgbench, {name}, {kind}", script(kind), seconds))
            for callers in CALLERS:
                _note(figures, uvloop.run(_desk(servers, callers, kind, seconds)))
    return figures


def _note(figures: dict[str, Figure], figure: Figure) -> None:
    """Keep the median of the rounds, with the latencies of the median's round."""
    known = figures.setdefault(figure.name, figure)
    known.rounds.append(figure.per_second)
    known.errors += figure.errors if known is not figure else 0
    known.per_second = median(known.rounds)
    if known.per_second == figure.per_second:
        known.p50_ms, known.p99_ms = figure.p50_ms, figure.p99_ms


def _payee(kind: str) -> str:
    first, last = _FIRST_PAYEE + 1, _FIRST_PAYEE + PAYEES
    return f"\\set payee {first}" if kind == "hot" else f"\\set payee random({first}, {last})"


def _minimal(kind: str) -> str:
    return (
        f"\\set payer random({_FIRST_PAYER + 1}, {_FIRST_PAYER + PAYERS})\n{_payee(kind)}\n"
        "select minimal.pay(:payer, :payee, 1, gen_random_uuid());\n"
    )


def _single(kind: str) -> str:
    return (
        f"\\set payer random({_FIRST_PAYER + 1}, {_FIRST_PAYER + PAYERS})\n{_payee(kind)}\n"
        f"\\set owner :payer - {_FIRST_PAYER}\n"
        "select ledger.post_v1(array[:owner]::bigint[], array[30]::smallint[],"
        " array[gen_random_uuid()::text], array['\\x00'::bytea], '{}', '{}', '{}', '{}', '{}',"
        " array[2], array[:payer, :payee]::bigint[], array[-1, 1]::bigint[]);\n"
    )


_SCRIPTS = {"minimal function": _minimal, "posting function singly": _single}


def _pgbench(servers: embedded.Servers, name: str, script: str, seconds: int) -> Figure:
    url = urlsplit(servers.superuser_url("wallet"))
    query = parse_qs(url.query)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        answer = subprocess.run(
            [
                *(embedded.pg_bin() / "pgbench", "-n", "-M", "prepared", "-j", "2"),
                *("-c", str(CLIENTS), "-T", str(seconds), "-f", file.name),
                *("-h", query["host"][0], "-p", query["port"][0], "-U", url.username or ""),
                "wallet",
            ],
            env={**os.environ, "PGPASSWORD": url.password or ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    found = re.search(r"tps = ([\d.]+)", answer)
    latency = re.search(r"latency average = ([\d.]+)", answer)
    assert found
    assert latency
    failed = re.search(r"number of failed transactions: (\d+)", answer)
    return Figure(
        name,
        float(found.group(1)),
        errors=int(failed.group(1)) if failed else 0,
        notes=f"mean {latency.group(1)} ms",
    )


async def _desk(servers: embedded.Servers, callers: int, kind: str, seconds: int) -> Figure:
    url = servers.postgres_url("wallet_api")
    desk = Desk(url, lanes=2, queue_max=4096, relay=lambda: None)
    desk.start()
    paid, wrong, latencies = 0, 0, []
    run_id = random.randrange(10**9)
    started = time.perf_counter()

    async def caller(number: int) -> None:
        nonlocal paid, wrong
        chance, turn = random.Random(run_id + number), 0
        while time.perf_counter() - started < seconds:
            owner, turn = chance.randint(1, PAYERS), turn + 1
            payee = _FIRST_PAYEE + (1 if kind == "hot" else chance.randint(1, PAYEES))
            begun = time.perf_counter()
            receipt = await desk.post(
                ledger.instruct(
                    actor_id=owner,
                    operation=Operation.CREATE_PAYMENT,
                    key=f"{run_id}-{number}-{turn}",
                    legs=ledger.move(_FIRST_PAYER + owner, payee, 1),
                )
            )
            latencies.append(time.perf_counter() - begun)
            if receipt.outcome is Outcome.POSTED and receipt.state == 2:
                paid += 1
            else:
                wrong += 1

    await asyncio.gather(*(caller(number) for number in range(callers)))
    elapsed = time.perf_counter() - started
    size = desk.lanes.rows / desk.lanes.batches
    await desk.stop()
    latencies.sort()
    return Figure(
        f"desk, {callers} callers, {kind}",
        paid / elapsed,
        p50_ms=latencies[len(latencies) // 2] * 1000,
        p99_ms=latencies[int(len(latencies) * 0.99)] * 1000,
        errors=wrong,
        notes=f"mean batch {size:.0f}",
    )
