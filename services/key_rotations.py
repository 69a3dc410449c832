"""Sealing everything anew with another key: row by row, beside live writes, from where it stopped.

A rotation walks the columns of `domain.sealing` in windows of rows, each in a transaction of its
own that also keeps how far it came. A row is replaced only while it still is what was read. Then it
counts under which keys texts still lie: a process that had not heard of the new key yet may have
written behind the walk, so what is left over is walked again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import asyncpg
import msgspec
import structlog

from domain import refusals, sealing
from domain.sealing import Sealed
from infra import encryption
from infra.queue import Job
from services import audit
from services.unit_of_work import Snapshot, UnitOfWork

WINDOW_ROWS = 500
ROUNDS_MAX = 3
_STREAM = "key_rotation"
_STEP_TIMEOUT = "50s"  # an arq job has 60
_COLUMNS = (
    "id, key, state, started_by, started_at, finished_at, round, phase, step, position,"
    " total, done, resealed, broken, keys"
)
log = structlog.get_logger()


class State(StrEnum):
    """Whether there is anything left to do."""

    RUNNING = "RUNNING"
    DONE = "DONE"


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How many texts lie under a key: ``rows`` rotate, ``kept`` are append-only and never will.

    ``unused``: neither, so that the key may leave the settings.
    """

    number: int
    rows: int
    kept: int

    @property
    def unused(self) -> bool:
        return self.rows == 0 and self.kept == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """How far one has come: ``done`` of ``total`` rows looked at in this round, ``resealed`` of
    them in all. ``broken`` texts did not open and stay as they are. ``uses`` once it is DONE."""

    id: UUID
    key: int
    state: State
    started_by: int
    started_at: datetime
    finished_at: datetime | None
    total: int
    done: int
    resealed: int
    broken: int
    uses: tuple[KeyUse, ...]


class WrongKey(Exception):
    """This process seals with another key than the rotation asks for: its settings are older."""


async def start(work: UnitOfWork, *, actor_id: int, key: int) -> Rotation:
    """Have everything sealed with ``key``, which must be the one that seals; recorded.

    One that runs already goes on instead (also if its job had been given up). Raises InvalidInput.
    """
    if key != encryption.current_ring().sealing:
        raise refusals.InvalidInput(
            path=("input", "key"),
            en="This is not the key that seals new texts. Nothing was started.",
            zh="该密钥不是当前加密所用的密钥，未作任何更改。",
        )
    row = await work.fetchrow(
        "insert into key_rotation(key, started_by, started_at) values ($1, $2, $3)"  # noqa: S608
        f" on conflict (state) where state = 'RUNNING' do nothing returning {_COLUMNS}",
        key,
        actor_id,
        work.now,
    )
    if row is None:
        row = await work.fetchrow(
            f"select {_COLUMNS} from key_rotation where state = 'RUNNING'"  # noqa: S608
        )
    assert row is not None
    await audit.record(work, actor_id=actor_id, action="ROTATE_KEYS", object=f"key:{row['key']}")
    go_on(work, row["id"])
    return _rotation(row)


def go_on(work: UnitOfWork, rotation_id: UUID) -> None:
    """Ask for the job that takes the next steps."""
    work.enqueue(Job.ROTATE_KEYS, stream=_STREAM, rotation_id=str(rotation_id))


async def latest(read: Snapshot) -> Rotation | None:
    """The newest rotation, running or done."""
    row = await read.fetchrow(
        f"select {_COLUMNS} from key_rotation order by started_at desc, id desc limit 1"  # noqa: S608
    )
    return None if row is None else _rotation(row)


async def advance(work: UnitOfWork, rotation_id: UUID) -> bool:
    """One step of a rotation; whether there are more. Of two at once, the second waits and goes on.

    Raises WrongKey.
    """
    row = await work.fetchrow(
        f"select {_COLUMNS} from key_rotation"  # noqa: S608 - constants only
        " where id = $1 and state = 'RUNNING' for update",
        rotation_id,
    )
    if row is None:
        return False
    if encryption.current_ring().sealing != row["key"]:
        raise WrongKey
    # Columns are counted whole, which may take longer than a request may.
    await work.execute(f"set local statement_timeout = '{_STEP_TIMEOUT}'")
    if row["phase"] == "COUNT":
        return await _count(work, row)
    if row["phase"] == "START":
        await _measure(work, row["id"])
    else:
        await _reseal(work, row)
    return True


async def _measure(work: UnitOfWork, rotation_id: UUID) -> None:
    """How much there is to look at."""
    counts = [
        await work.fetchval(
            f"select count(*) from {column.table}"  # noqa: S608 - constants only
            f" where {column.column} is not null and {column.where}"
        )
        for column in sealing.ROTATING
    ]
    await work.execute("update key_rotation set total = $2 where id = $1", rotation_id, sum(counts))
    await _move(work, rotation_id, phase="RESEAL", step=0)


async def _reseal(work: UnitOfWork, row: asyncpg.Record) -> None:
    """The next window of the column at work; behind its last one, the next column."""
    if row["step"] >= len(sealing.ROTATING):
        await _move(work, row["id"], phase="COUNT", step=0)
        return
    column = sealing.ROTATING[row["step"]]
    window = await _window(work, column, row["position"])
    if not window:
        await _move(work, row["id"], phase="RESEAL", step=row["step"] + 1)
        return
    fresh, broken = _fresh(column, window, row["key"])
    await work.execute(
        "update key_rotation set position = $2, done = done + $3, resealed = resealed + $4,"
        " broken = broken + $5 where id = $1",
        row["id"],
        window[-1]["position"],
        len(window),
        await _replace(work, column, fresh),
        broken,
    )


async def _move(work: UnitOfWork, rotation_id: UUID, *, phase: str, step: int) -> None:
    await work.execute(
        "update key_rotation set phase = $2, step = $3, position = null where id = $1",
        rotation_id,
        phase,
        step,
    )


async def _window(work: UnitOfWork, column: Sealed, position: str | None) -> list[asyncpg.Record]:
    # Two texts: with "is null or" in one, a generic plan would read the table from its start.
    behind = "" if position is None else f" and {column.key} > ($2::text)::{column.key_type}"
    return await work.fetch(
        f"select {column.key}::text as position, {column.key} as key, {column.row} as row,"  # noqa: S608
        f" {column.column} as sealed from {column.table}"
        f" where {column.column} is not null and {column.where}{behind}"
        f" order by {column.key} limit $1",
        WINDOW_ROWS,
        *([] if position is None else [position]),
    )


def _fresh(
    column: Sealed, window: list[asyncpg.Record], key: int
) -> tuple[list[tuple[object, bytes, bytes]], int]:
    """(key, old, new) of the texts that another key sealed, and how many did not open."""
    found: list[tuple[object, bytes, bytes]] = []
    broken = 0
    for row in window:
        old = row["sealed"]
        if not old:
            continue  # blanked
        try:
            if encryption.key_number(old) != key:
                text = encryption.decrypt(column.place, row["row"], old)
                found.append((row["key"], old, encryption.encrypt(column.place, row["row"], text)))
        except encryption.DecryptionFailed:
            broken += 1
            log.critical("sealed_text_broken", place=column.place, row=row["position"])
    return found, broken


async def _replace(
    work: UnitOfWork, column: Sealed, fresh: list[tuple[object, bytes, bytes]]
) -> int:
    """How many were still what was read."""
    if not fresh:
        return 0
    keys, old, new = (list(values) for values in zip(*fresh, strict=True))
    status = await work.execute(
        f"update {column.table} t set {column.column} = u.new"  # noqa: S608 - constants only
        f" from unnest($1::{column.key_type}[], $2::bytea[], $3::bytea[]) as u(key, old, new)"
        f" where t.{column.key} = u.key and t.{column.column} = u.old",
        keys,
        old,
        new,
    )
    return int(status.split()[-1])


async def _count(work: UnitOfWork, row: asyncpg.Record) -> bool:
    """Under which keys the texts of the next column lie; behind the last one, the end."""
    keys: dict[str, dict[str, int]] = msgspec.json.decode(row["keys"])
    if row["step"] == len(sealing.COLUMNS):
        return await _end(work, row, keys)
    column = sealing.COLUMNS[row["step"]]
    counted = await work.fetch(
        f"select get_byte({column.column}, 1) << 8 | get_byte({column.column}, 2) as number,"  # noqa: S608
        f" count(*) as count from {column.table}"
        f" where length({column.column}) > 2 and {column.where} group by 1"
    )
    for number, count in counted:
        use = keys.setdefault(str(number), {"rows": 0, "kept": 0})
        use["kept" if column.append_only else "rows"] += count
    await work.execute(
        "update key_rotation set step = step + 1, keys = $2::jsonb where id = $1",
        row["id"],
        msgspec.json.encode(keys).decode(),
    )
    return True


async def _end(work: UnitOfWork, row: asyncpg.Record, keys: dict[str, dict[str, int]]) -> bool:
    left = sum(use["rows"] for number, use in keys.items() if int(number) != row["key"])
    if left > 0 and row["round"] < ROUNDS_MAX:
        await work.execute(
            "update key_rotation set phase = 'START', step = 0, position = null, keys = '{}',"
            " round = round + 1, done = 0, broken = 0 where id = $1",
            row["id"],
        )
        return True
    for number in encryption.current_ring().numbers:
        keys.setdefault(str(number), {"rows": 0, "kept": 0})
    await work.execute(
        "update key_rotation set state = 'DONE', finished_at = $2, keys = $3::jsonb where id = $1",
        row["id"],
        work.now,
        msgspec.json.encode(keys).decode(),
    )
    log.info("keys_rotated", key=row["key"], resealed=row["resealed"], left=left)
    return False


def _rotation(row: asyncpg.Record) -> Rotation:
    state = State(row["state"])
    keys = msgspec.json.decode(row["keys"]) if state is State.DONE else {}
    uses = [KeyUse(int(number), use["rows"], use["kept"]) for number, use in keys.items()]
    return Rotation(
        id=row["id"],
        key=row["key"],
        state=state,
        started_by=row["started_by"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        total=row["total"],
        done=row["done"],
        resealed=row["resealed"],
        broken=row["broken"],
        uses=tuple(sorted(uses, key=lambda use: use.number)),
    )
