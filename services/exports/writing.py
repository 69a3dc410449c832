"""Writing a copy: one page of one part at a time, each a file of the archive and a transaction.

Wherever the job is interrupted, it goes on behind the newest page that was committed. Two jobs at
the same copy take turns at its row, so no page is written twice.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from domain import exports as rules
from infra import archives, encryption
from infra.archives import Entry
from services import notices
from services.exports import orders, parts
from services.exports.pages import Page
from services.unit_of_work import UnitOfWork


async def write_page(work: UnitOfWork, export_id: UUID) -> bool:
    """Write the next page, or end the archive after the last; whether there is more to do."""
    row = await work.fetchrow(
        "select * from data_export where id = $1 and state in ('WAITING', 'RUNNING') for update",
        export_id,
    )
    if row is None:
        return False
    owner = await parts.owner(work, row["user_id"])
    if owner is None:
        return False
    password = encryption.decrypt(orders.PASSWORD, export_id, row["password"])
    if row["part"] == len(parts.PARTS):
        await _finish(work, row, password)
        return False
    part = parts.PARTS[row["part"]]
    place = msgspec.json.decode(row["place"]) if row["place"] is not None else None
    page = await part.read(work, owner, place, rules.PAGE_ROWS)
    if page.rows or place is None:
        await _keep(work, row, f"{part.name}-{row['pieces'] + 1:05d}.json", page, password)
    await work.execute(
        "update data_export set state = 'RUNNING', part = $2, place = $3::jsonb where id = $1",
        export_id,
        row["part"] + (page.place is None),
        None if page.place is None else msgspec.json.encode(page.place).decode(),
    )
    return True


async def _keep(
    work: UnitOfWork, row: asyncpg.Record, name: str, page: Page, password: str
) -> None:
    content = msgspec.json.format(msgspec.json.encode(page.rows), indent=2)
    await _add(work, row, name, archives.entry(name, content, password), len(content), page.rows)


async def _add(
    work: UnitOfWork,
    row: asyncpg.Record,
    name: str,
    stored: bytes,
    plain_bytes: int,
    rows: list[dict[str, Any]],
) -> None:
    await work.execute(
        "insert into data_export_piece(export_id, number, name, plain_bytes, rows, content)"
        " select id, pieces, $2, $3, $4, $5 from data_export where id = $1",
        row["id"],
        name,
        plain_bytes,
        len(rows),
        stored,
    )
    await work.execute(
        "update data_export set pieces = pieces + 1, rows = rows + $2, size_bytes = size_bytes + $3"
        " where id = $1",
        row["id"],
        len(rows),
        len(stored),
    )


async def _finish(work: UnitOfWork, row: asyncpg.Record, password: str) -> None:
    """The index, the archive's directory, and the news; from here on the password is nowhere."""
    files = await work.fetch(
        "select name, rows from data_export_piece where export_id = $1 order by number", row["id"]
    )
    listed = [
        {"name": one["name"], "rows": one["rows"], "part": one["name"].rsplit("-", 1)[0]}
        for one in files
    ]
    readme = parts.index(listed).encode()
    stored = archives.entry("README.txt", readme, password)
    await _add(work, row, "README.txt", stored, len(readme), [])
    pieces = await work.fetch(
        "select name, plain_bytes, length(content) as stored_bytes from data_export_piece"
        " where export_id = $1 order by number",
        row["id"],
    )
    await _add(work, row, "", archives.directory(Entry(*one) for one in pieces), 0, [])
    await work.execute(
        "update data_export set state = 'READY', password = ''::bytea, ready_at = $2,"
        " expires_at = $3 where id = $1",
        row["id"],
        work.now,
        work.now + rules.LINK_LIFE,
    )
    await notices.tell(
        work,
        user_id=row["user_id"],
        kind="DATA_EXPORT_READY",
        params={},
        source=f"export:{row['id']}",
    )
