"""The ledger's housekeeping, on the worker's own login."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from infra import database as pool
from tests import people
from tests.conftest import Database
from workers import ledger


@pytest.fixture(autouse=True)
async def opened(database: Database) -> AsyncIterator[None]:
    await pool.open_database(database.worker_url)
    yield
    await pool.close_database()


async def test_old_proofs_are_forgotten_however_many_and_fresh_ones_are_kept(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def prove(count: int) -> None:
        await superuser.execute(
            "insert into ledger.proof(actor_id, operation, key, input_hash, method, expires_at)"
            " select 7, 20, 'k' || n, '\\x00', 'PIN', ledger.now() + interval '2 minutes'"
            " from generate_series(1, $1) as n",
            count,
        )

    monkeypatch.setattr(ledger, "PROOFS_AT_ONCE_MAX", 2)
    await prove(5)
    await people.pass_time(superuser, 2 * 86_400)
    await prove(3)

    await ledger.forget_proofs()

    assert await superuser.fetchval("select count(*) from ledger.proof") == 3
