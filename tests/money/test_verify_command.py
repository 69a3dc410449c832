"""``python -m services.ledger.verification`` and the worker's own rounds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from infra import database as db
from tests import factories as make
from workers import ledger as rounds

CHECKOUT = Path(__file__).resolve().parents[2]


def verify(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.ledger.verification"],
        cwd=CHECKOUT,
        env={**os.environ, "WALLET_ENVIRONMENT": "development", "WALLET_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def break_balance(worker: asyncpg.Connection, superuser: asyncpg.Connection) -> int:
    account = await make.open_account(worker, 71)
    await make.send(worker, make.top_up(account, 500))
    await superuser.execute("update ledger.account set posted = 501 where id = $1", account)
    return account


async def test_the_command_says_what_it_checked_and_ends_well(database, worker) -> None:
    account = await make.open_account(worker, 71)
    await make.send(worker, make.top_up(account, 500))

    answer = verify(database.api_url)

    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "2 postings" in answer.stdout
    assert "checked zero sum of every entry" in answer.stdout
    assert "verify: 0 faults" in answer.stdout


async def test_the_command_names_the_fault_and_fails(database, worker, superuser) -> None:
    account = await break_balance(worker, superuser)

    answer = verify(database.api_url)

    assert answer.returncode == 1
    assert f"BALANCE_MISMATCH account={account} entry=-: the account says 501" in answer.stdout


@pytest.fixture
async def pool(database):
    await db.open_database(database.worker_url, pool_size=1)
    yield
    await db.close_database()


@pytest.mark.usefixtures("pool")
async def test_the_worker_logs_each_fault_and_changes_nothing(worker, superuser) -> None:
    account = await break_balance(worker, superuser)

    with capture_logs() as lines:
        await rounds.verify_ledger()

    [fault] = [line for line in lines if line["event"] == "ledger_fault"]
    assert (fault["code"], fault["account_id"]) == ("BALANCE_MISMATCH", account)
    assert await worker.fetchval("select status from ledger.account where id = $1", account) == 1


@pytest.mark.usefixtures("pool")
async def test_months_that_are_missing_are_made(worker, superuser) -> None:
    await superuser.execute(
        "do $$ begin execute 'drop table ledger.posting_' ||"
        " to_char(ledger.now() at time zone 'utc' + interval '2 months', 'YYYY_MM'); end $$"
    )

    with capture_logs() as lines:
        await rounds.ensure_partitions()
        await rounds.ensure_partitions()

    assert [line["months"] for line in lines if line["event"] == "partitions_made"] == [1]
