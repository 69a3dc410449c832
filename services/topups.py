"""Top-ups: asked from a card, decided by the bank, credited by the ledger exactly once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import asyncpg
import msgspec

from domain import ledger, topups
from domain.ledger import BANK_CLEARING_ID, CITY_ACTOR_ID, Instruction, Operation
from domain.refusals import AccountNotActive, IdempotencyKeyReused
from domain.topups import State
from infra.bank import BankEvent
from infra.queue import Job
from services import notices
from services.unit_of_work import Snapshot, UnitOfWork

POLLED_AT_ONCE_MAX = 200
_COLUMNS = (
    "id, user_id, account_id, card_id, amount, currency, state, failure_code, created_at,"
    " finished_at"
)


@dataclass(frozen=True, slots=True)
class TopUp:
    """One top-up; its id is the reference at the bank and the key in the ledger."""

    id: UUID
    user_id: int
    account_id: int
    card_id: UUID
    amount_minor: int
    currency: str
    state: State
    failure_code: str | None
    created_at: datetime
    finished_at: datetime | None


async def request(
    work: UnitOfWork,
    *,
    user_id: int,
    account_id: int,
    card_id: UUID,
    amount_minor: int,
    key: str,
) -> TopUp:
    """Ask for a top-up: once per key.

    Raises IdempotencyKeyReused for another input, AccountNotActive once the account is closing.
    """
    # Held against a closing: it comes first and is seen here, or waits and sees this top-up.
    if await work.fetchval("select status from users where id = $1 for share", user_id) == "CLOSED":
        raise AccountNotActive
    digest = hashlib.sha256(f"{account_id}:{card_id}:{amount_minor}".encode()).hexdigest()
    row = await work.fetchrow(
        "insert into top_up(id, user_id, account_id, card_id, key, input_hash, amount, currency,"  # noqa: S608
        " created_at, ask_at) values ($1, $2, $3, $4, $5, $6, $7, 'CNY', $8, $9)"
        f" on conflict (user_id, key) do nothing returning {_COLUMNS}",
        uuid4(),
        user_id,
        account_id,
        card_id,
        key,
        digest,
        amount_minor,
        work.now,
        work.now + topups.ASK_FIRST,
    )
    if row is not None:
        work.enqueue(Job.START_TOP_UP, top_up_id=str(row["id"]))
        return _top_up(row)
    row = await by_key(work, user_id=user_id, key=key)
    if row is None or row["input_hash"] != digest:
        raise IdempotencyKeyReused(path=("input", "idempotencyKey"))
    return (await by_ids(work, user_id, [row["id"]]))[row["id"]]


async def by_key(read: Snapshot, *, user_id: int, key: str) -> asyncpg.Record | None:
    """Id and input hash of what was asked under a key before."""
    return await read.fetchrow(
        "select id, input_hash from top_up where user_id = $1 and key = $2", user_id, key
    )


async def load(read: Snapshot, top_up_id: UUID) -> TopUp | None:
    """A top-up whoever's it is: for jobs."""
    row = await read.fetchrow(
        f"select {_COLUMNS} from top_up where id = $1",  # noqa: S608
        top_up_id,
    )
    return _top_up(row) if row is not None else None


async def by_ids(read: Snapshot, user_id: int, ids: Sequence[UUID]) -> dict[UUID, TopUp]:
    """Those of the top-ups that are the user's."""
    rows = await read.fetch(
        f"select {_COLUMNS} from top_up where user_id = $1 and id = any($2::uuid[])",  # noqa: S608
        user_id,
        ids,
    )
    return {row["id"]: _top_up(row) for row in rows}


async def page(
    read: Snapshot,
    user_id: int,
    *,
    limit: int,
    after: tuple[datetime, UUID] | None,
    before: tuple[datetime, UUID] | None,
    backwards: bool,
) -> list[TopUp]:
    """The user's top-ups, newest first (oldest first if ``backwards``)."""
    clauses = ["user_id = $1"]
    values: list[object] = [user_id]
    for sign, key in (("<", after), (">", before)):
        if key is not None:
            values += key
            clauses.append(f"(created_at, id) {sign} (${len(values) - 1}, ${len(values)})")
    order = "created_at, id" if backwards else "created_at desc, id desc"
    rows = await read.fetch(
        f"select {_COLUMNS} from top_up where {' and '.join(clauses)}"  # noqa: S608
        f" order by {order} limit {int(limit)}",
        *values,
    )
    return [_top_up(row) for row in rows]


async def keep_event(work: UnitOfWork, event: BankEvent) -> bool:
    """Keep what the bank called back with, and have the top-up settled; False if it was known."""
    fresh = await work.fetchval(
        "insert into bank_event(event_id, reference, body) values ($1, $2, $3)"
        " on conflict (event_id) do nothing returning true",
        event.event_id,
        event.reference[:64],
        msgspec.json.encode(event).decode(),
    )
    if not fresh:
        return False
    top_up_id = _uuid(event.reference)
    if top_up_id is not None and await load(work, top_up_id) is not None:
        settle_soon(work, top_up_id)
    return True


async def ask_overdue(work: UnitOfWork) -> int:
    """Have the bank asked about every top-up it has been silent on for too long; how many."""
    rows = await work.fetch(
        "select id, asked_count from top_up where state = 'PROCESSING' and ask_at <= $1"  # noqa: S608
        f" order by ask_at limit {POLLED_AT_ONCE_MAX} for update skip locked",
        work.now,
    )
    await work.connection.executemany(
        "update top_up set asked_count = least(asked_count + 1, 1000), ask_at = $2 where id = $1",
        [(row["id"], work.now + topups.ask_again_in(row["asked_count"])) for row in rows],
    )
    for row in rows:
        settle_soon(work, row["id"])
    return len(rows)


def settle_soon(work: UnitOfWork, top_up_id: UUID) -> None:
    work.enqueue(Job.SETTLE_TOP_UP, stream=f"topup:{top_up_id}", top_up_id=str(top_up_id))


def credit(top_up: TopUp) -> Instruction:
    """The bank has paid: the same instruction each time, so the ledger posts it once."""
    return ledger.instruct(
        actor_id=CITY_ACTOR_ID,
        operation=Operation.TOP_UP,
        key=str(top_up.id),
        legs=ledger.move(BANK_CLEARING_ID, top_up.account_id, top_up.amount_minor),
    )


async def succeed(work: UnitOfWork, top_up: TopUp, *, posted_at: datetime) -> None:
    """The ledger has posted it; its owner learns it from the posting."""
    await work.execute(
        "update top_up set state = 'SUCCEEDED', finished_at = $2"
        " where id = $1 and state = 'PROCESSING'",
        top_up.id,
        posted_at,
    )


async def fail(work: UnitOfWork, top_up: TopUp, *, failure_code: str) -> None:
    """The bank said no: nothing moved, and the owner is told."""
    changed = await work.fetchval(
        "update top_up set state = 'FAILED', failure_code = $2, finished_at = $3"
        " where id = $1 and state = 'PROCESSING' returning true",
        top_up.id,
        failure_code[:40],
        work.now,
    )
    if changed:
        await notices.tell(
            work,
            user_id=top_up.user_id,
            kind="TOP_UP_FAILED",
            params={
                "amount_minor": top_up.amount_minor,
                "currency": top_up.currency,
                "top_up_id": str(top_up.id),
                "failure_code": failure_code[:40],
            },
            source=f"topup:{top_up.id}",
        )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _top_up(row: asyncpg.Record) -> TopUp:
    id_, user_id, account_id, card_id, amount, currency, state, code, created, finished = row
    return TopUp(
        id_, user_id, account_id, card_id, amount, currency, State(state), code, created, finished
    )
