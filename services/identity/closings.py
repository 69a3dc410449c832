"""Closing one's account: asked for, slept on for a week, then done for good.

A closing ends early when its owner changes their mind or signs in, and when money or unfinished
business has come up. The ledger decides last, under the account's lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from domain import ledger, refusals
from domain.closings import COOL_OFF, ClosingState, Obstacle
from domain.identity import Status
from domain.ledger import CITY_ACTOR_ID, AccountStatus, Instruction, Operation
from services import audit, notices
from services.identity import checks, retention, sessions
from services.unit_of_work import Snapshot, UnitOfWork

AT_ONCE_MAX = 100
_COLUMNS = "id, user_id, state, requested_at, due_at, ended_at"


@dataclass(frozen=True, slots=True)
class Closing:
    """One request to close an account; ``due_at`` is when it can't be cancelled any more."""

    id: UUID
    user_id: int
    state: ClosingState
    requested_at: datetime
    due_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Begun:
    """A closing that the ledger has to agree to; ``account_id`` None: there is no wallet."""

    id: UUID
    account_id: int | None

    def instruct(self) -> Instruction:
        """Close the wallet's account: the same instruction each time."""
        assert self.account_id is not None
        return ledger.instruct(
            actor_id=CITY_ACTOR_ID,
            operation=Operation.CLOSE_WALLET,
            key=str(self.id),
            legs=ledger.touch(self.account_id),
        )


_OBSTACLES = """
select coalesce(a.posted <> 0, false) as "MONEY_LEFT", coalesce(a.held <> 0, false) as "MONEY_HELD",
       exists (select from ledger.refund r where r.payer_id = a.id and r.state = 1)
         as "REFUND_OPEN",
       exists (select from ledger.payment p where p.payer_id = a.id and p.state = 1)
         as "PAYMENT_OPEN",
       exists (select from top_up t where t.user_id = u.id and t.state = 'PROCESSING')
         as "TOP_UP_PENDING",
       coalesce(a.status in ($2, $3), false) as "WALLET_FROZEN",
       exists (select from risk_case k where k.user_id = u.id and k.state in ('OPEN', 'APPEALED'))
         as "CASE_OPEN"
  from users u left join ledger.account a on a.owner_id = u.id where u.id = $1"""


async def obstacles(read: Snapshot, user_id: int) -> list[Obstacle]:
    """What stands in the way of closing the account now."""
    row = await read.fetchrow(
        _OBSTACLES, user_id, AccountStatus.DEBITS_BLOCKED.value, AccountStatus.FROZEN.value
    )
    assert row is not None
    return [one for one in Obstacle if row[one.value]]


async def newest(read: Snapshot, user_id: int) -> Closing | None:
    """The user's newest closing, in whatever state."""
    row = await read.fetchrow(
        f"select {_COLUMNS} from closing where user_id = $1"  # noqa: S608 - our own text
        " order by requested_at desc, id desc limit 1",
        user_id,
    )
    return _closing(row) if row is not None else None


async def request(work: UnitOfWork, *, user_id: int, session_id: UUID | None) -> Closing:
    """Have an account closed in a week; asked again it stays at the first time.

    Raises AccountNotActive (closed), ClosingNotPossible with all that stands in the way.
    """
    status = await work.fetchval("select status from users where id = $1 for update", user_id)
    if status == Status.CLOSED:
        raise refusals.AccountNotActive
    known = await newest(work, user_id)
    if known is not None and known.state is ClosingState.COOLING:
        return known
    found = await obstacles(work, user_id)
    if found:
        raise refusals.ClosingNotPossible(obstacles=found)
    row = await work.fetchrow(
        "insert into closing(user_id, session_id, requested_at, due_at)"  # noqa: S608
        f" values ($1, $2, $3, $4) returning {_COLUMNS}",
        user_id,
        session_id,
        work.now,
        work.now + COOL_OFF,
    )
    assert row is not None
    await _tell(work, row, "CLOSING_REQUESTED")
    return _closing(row)


async def cancel(work: UnitOfWork, user_id: int) -> Closing | None:
    """The owner stays: the closing that was cancelled, or None if there was nothing to cancel."""
    row = await work.fetchrow(
        "update closing set state = 'CANCELLED', ended_at = $2"  # noqa: S608
        f" where user_id = $1 and state = 'COOLING' returning {_COLUMNS}",
        user_id,
        work.now,
    )
    if row is None:
        return None
    await _tell(work, row, "CLOSING_CANCELLED")
    return _closing(row)


async def due(read: Snapshot) -> list[UUID]:
    """Closings whose week is over, and those that a crash left half done; the oldest 100."""
    rows = await read.fetch(
        "select id from closing where state in ('COOLING', 'CLOSING')"
        " and due_at <= (select ledger.now()) order by due_at limit $1",
        AT_ONCE_MAX,
    )
    return [row["id"] for row in rows]


async def begin(work: UnitOfWork, closing_id: UUID) -> Begun | None:
    """Shut the owner out, and have the ledger asked; None if there is nothing (more) to do.

    From here on nobody acts in the owner's name: no top-up, no card, no session begins.
    """
    user = await _lock_user(work, closing_id)
    row = await work.fetchrow(
        f"select {_COLUMNS} from closing where id = $1 and state in ('COOLING', 'CLOSING')"  # noqa: S608
        " and due_at <= $2 for update",
        closing_id,
        work.now,
    )
    if user is None or row is None:
        return None
    user_id = user["id"]
    if row["state"] == ClosingState.COOLING:
        if await obstacles(work, user_id):
            await _stop(work, row)
            return None
        await work.execute(
            "update closing set state = 'CLOSING', status_before = $2 where id = $1",
            closing_id,
            user["status"],
        )
        await work.execute(
            "update users set status = $2, version = version + 1 where id = $1",
            user_id,
            Status.CLOSED,
        )
        await sessions.end_all(work, user_id, reason="CLOSED")
        work.announce(f"user:{user_id}")
    account_id = await work.fetchval("select id from ledger.account where owner_id = $1", user_id)
    return Begun(closing_id, account_id)


async def call_off(work: UnitOfWork, closing_id: UUID) -> None:
    """The ledger said no: something came in at the last moment. Its owner is let in again."""
    row = await _lock_begun(work, closing_id)
    if row is None:
        return
    await work.execute(
        "update users set status = $2, version = version + 1 where id = $1 and status = $3",
        row["user_id"],
        row["status_before"],
        Status.CLOSED,
    )
    await checks.resume(work, row["user_id"])
    await _stop(work, row)


async def finish(work: UnitOfWork, closing_id: UUID) -> None:
    """The wallet is closed: erase what nothing asks us to keep. Again changes nothing."""
    row = await _lock_begun(work, closing_id)
    if row is None:
        return
    user_id = row["user_id"]
    await work.execute(
        "update closing set state = 'CLOSED', ended_at = $2 where id = $1", closing_id, work.now
    )
    await retention.pseudonymise(work, user_id)
    await audit.record(
        work, actor_id=CITY_ACTOR_ID, action="CLOSE_ACCOUNT", object=f"user:{user_id}"
    )
    work.announce(f"user:{user_id}")


async def _lock_begun(work: UnitOfWork, closing_id: UUID) -> asyncpg.Record | None:
    """A closing that was begun; None once it is over. Its user first, as everywhere."""
    await _lock_user(work, closing_id)
    return await work.fetchrow(
        "select id, user_id, status_before from closing where id = $1 and state = 'CLOSING'"
        " for update",
        closing_id,
    )


async def _lock_user(work: UnitOfWork, closing_id: UUID) -> asyncpg.Record | None:
    return await work.fetchrow(
        "select id, status from users where id = (select user_id from closing where id = $1)"
        " for update",
        closing_id,
    )


async def _stop(work: UnitOfWork, row: asyncpg.Record) -> None:
    await work.execute(
        "update closing set state = 'STOPPED', ended_at = $2 where id = $1", row["id"], work.now
    )
    await _tell(work, row, "CLOSING_STOPPED")


async def _tell(work: UnitOfWork, row: asyncpg.Record, kind: str) -> None:
    await notices.tell(
        work, user_id=row["user_id"], kind=kind, params={}, source=f"{kind}:{row['id']}"
    )


def _closing(row: asyncpg.Record) -> Closing:
    id_, user_id, state, requested_at, due_at, ended_at = row
    return Closing(id_, user_id, ClosingState(state), requested_at, due_at, ended_at)
