"""The outbox: jobs that were committed with the change that asks for them, handed to arq by id.

A row is claimed by a lease, so a crash at any point only delays it. Of a stream only the oldest
row is claimed: its jobs are done one after the other. Done rows are deleted.
"""

from __future__ import annotations

from datetime import timedelta

import asyncpg

from services.unit_of_work import Snapshot, UnitOfWork

LEASE = timedelta(seconds=15)
ATTEMPTS_MAX = 12

# Materialized: a join that ran the subquery twice would claim more than the limit.
_CLAIM = """
with due as materialized (
  select c.id from ledger.outbox c
   where not c.dead and c.due_at <= ledger.now()
     and (c.stream is null or not exists (
       select from ledger.outbox e where e.stream = c.stream and e.id < c.id and not e.dead))
   order by c.due_at limit $1 for update skip locked)
update ledger.outbox o
   set attempts = o.attempts + 1,
       due_at = ledger.now() + $2::interval * power(2, least(o.attempts, 6))
  from due where o.id = due.id
returning o.id, o.job, o.attempts"""


async def claim(work: UnitOfWork, *, limit: int = 200) -> list[asyncpg.Record]:
    """Rows (id, job, attempts) that are now this caller's for a lease that grows with attempts."""
    return await work.fetch(_CLAIM, limit, LEASE)


async def lag_seconds(read: Snapshot) -> float:
    """How long the oldest row has been waiting; 0 when nothing waits."""
    return await read.fetchval(
        "select coalesce(extract(epoch from ledger.now() - min(created_at)), 0)::float8"
        " from ledger.outbox where not dead"
    )


async def load(read: Snapshot, ids: list[int]) -> list[asyncpg.Record]:
    """What is left of the rows: done ones are gone."""
    return await read.fetch(
        "select id, stream, job, args, accounts, times, seqs, attempts from ledger.outbox"
        " where id = any($1::bigint[]) and not dead order by id",
        ids,
    )


async def done(work: UnitOfWork, ids: list[int]) -> None:
    """The rows' jobs are done; the next row of each stream is due."""
    await work.execute("delete from ledger.outbox where id = any($1::bigint[])", ids)


async def failed(work: UnitOfWork, row_id: int, error: str, attempts: int) -> None:
    """Keep why. After the last attempt the row is dead: kept, counted, out of its stream's way.

    Never at its first failure: while no worker is there, attempts are counted that nobody makes.
    """
    await work.execute(
        "update ledger.outbox set error = $2, dead = $3 and error is not null where id = $1",
        row_id,
        error[:500],
        attempts >= ATTEMPTS_MAX,
    )


async def release(work: UnitOfWork, ids: list[int]) -> None:
    """Nobody took these rows: let them be claimed again in two seconds, this attempt not counted.

    Counted, an outage of Valkey would use up the attempts of jobs that were never tried.
    """
    await work.execute(
        "update ledger.outbox set due_at = ledger.now() + interval '2 seconds',"
        " attempts = greatest(attempts - 1, 0) where id = any($1::bigint[])",
        ids,
    )
