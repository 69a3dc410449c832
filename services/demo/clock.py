"""Two weeks in a few seconds: while the demo city is loaded, the core's only clock runs behind.

Only the owner of the money tables can do this, so neither an API nor a worker ever could.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg

_INSTALL = """
create table ledger.demo_clock(
  only_row boolean primary key default true, behind interval not null, original text not null);
create or replace function ledger.now() returns timestamptz language sql volatile parallel safe
  set search_path = pg_catalog, pg_temp
  return clock_timestamp() - (select behind from ledger.demo_clock);
"""
# The city's own accounts were opened by the migration, later than the history begins. An account's
# time never runs back, so they have to be as old as it; they have no posting yet.
_AGE_THE_CITYS_ACCOUNTS = """
update ledger.account set at = ledger.now(), opened_at = ledger.now()
 where owner_id is null and seq = 0 and at > ledger.now()"""
_OFF_SECONDS_MAX = 1.0


class ClockWrong(Exception):
    """The core's clock could not be put right: this database must not be used."""


class Clock:
    """Sets what ``ledger.now()`` says. It only goes forward."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def set(self, moment: datetime) -> None:
        """From now on the core's time runs on from this moment (aware, in the past)."""
        await self._connection.execute(
            "update ledger.demo_clock set behind = clock_timestamp() - $1::timestamptz", moment
        )


@asynccontextmanager
async def turned_back(connection: asyncpg.Connection, start: datetime) -> AsyncIterator[Clock]:
    """The core's clock starts at ``start``; however this ends, it is right again afterwards.

    ``connection`` is the owner's. Raises ClockWrong if that failed.
    """
    try:
        async with connection.transaction():
            await connection.execute("set local role wallet_ledger")
            original = await connection.fetchval("select pg_get_functiondef('ledger.now'::regproc)")
            await connection.execute(_INSTALL)
            await connection.execute(
                "insert into ledger.demo_clock(behind, original)"
                " values (clock_timestamp() - $1::timestamptz, $2)",
                start,
                original,
            )
            await connection.execute(_AGE_THE_CITYS_ACCOUNTS)
        # Only the table's owner may move the hands, so the session stays in that role.
        await connection.execute("set role wallet_ledger")
        yield Clock(connection)
    finally:
        await connection.execute("reset role")
        await put_right(connection)


async def put_right(connection: asyncpg.Connection) -> bool:
    """Give the core its clock back; True if it was turned back. Raises ClockWrong."""
    async with connection.transaction():
        await connection.execute("set local role wallet_ledger")
        turned: Any = await connection.fetchval(
            "select to_regclass('ledger.demo_clock') is not null"
        )
        if turned:
            original: Any = await connection.fetchval("select original from ledger.demo_clock")
            await connection.execute(str(original))
            await connection.execute("drop table ledger.demo_clock")
    off_seconds: Any = await connection.fetchval(
        "select abs(extract(epoch from clock_timestamp() - ledger.now()))::float8"
    )
    if turned and off_seconds > _OFF_SECONDS_MAX:
        raise ClockWrong(f"ledger.now() is {off_seconds:.0f} s off")
    return turned
