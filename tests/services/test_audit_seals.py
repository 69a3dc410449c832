"""The chain over the audit log: whatever is changed behind its back is named, by code and entry."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from infra import database as pool
from infra import settings
from services import audit, audit_seals
from services.unit_of_work import snapshot, unit_of_work
from tests import people
from tests.conftest import Database
from tests.money import checking
from workers.audit import seal_audit


@pytest.fixture(autouse=True)
async def workers_town(database: Database, app: Database) -> None:
    """The worker's own login, the only one that may seal."""
    await pool.close_database()
    await pool.open_database(database.worker_url)


async def deed(action: str = "LOOK", **options: Any) -> None:
    async with unit_of_work() as work:
        await audit.record(work, actor_id=7, action=action, object="user:42", **options)


async def faults() -> list[tuple[str, UUID | None]]:
    async with snapshot(consistent=True) as read:
        return [(one.code, one.entry_id) async for one in audit_seals.faults(read)]


async def entry(superuser: asyncpg.Connection, action: str) -> UUID:
    return await superuser.fetchval("select id from audit_entry where action = $1", action)


async def sealed_days(superuser: asyncpg.Connection) -> None:
    """Three seals, an hour and more apart, of two, one and no entries."""
    await deed("FIRST", detail={"b": 1, "a": [2.5, None]}, reason="证件照片不清晰")
    await deed("SECOND")
    await seal_audit()
    await people.pass_time(superuser, 7_200)
    await deed("THIRD")
    await seal_audit()
    await people.pass_time(superuser, 7_200)
    await seal_audit()


async def test_each_entry_gets_one_number_and_the_chain_holds(superuser) -> None:
    await sealed_days(superuser)
    assert await faults() == []
    leaves = await superuser.fetch(
        "select seq, action from audit_leaf l join audit_entry e on e.id = l.entry_id order by seq"
    )
    assert [tuple(row) for row in leaves] == [(1, "FIRST"), (2, "SECOND"), (3, "THIRD")]
    seals = await superuser.fetch("select id, count, complete from audit_seal order by id")
    assert [tuple(row) for row in seals] == [(1, 2, True), (2, 1, True), (3, 0, True)]


async def test_the_worker_keeps_every_seal_in_its_log_and_verify_says_the_last(superuser) -> None:
    await deed()
    with capture_logs() as lines:
        await seal_audit()
        await seal_audit()
    [line] = [one for one in lines if one["event"] == "audit_sealed"]
    report = await checking.verified(superuser)
    assert report.faults == []
    assert report.head is not None
    assert (line["seal"], line["hash"]) == (report.head.number, report.head.hash)


CORRUPTIONS = [
    *(
        ("AUDIT_ENTRY_CHANGED", "FIRST", f"update audit_entry set {change} where action = 'FIRST'")
        for change in (
            "actor_id = 8",
            "role = 'AUDITOR'",
            "session_id = gen_random_uuid()",
            "address_hash = 'x'",
            "request_id = 'x'",
            "object = 'user:43'",
            "detail = '{}'",
            "reason = null",
            "created_at = created_at + interval '1 microsecond'",
        )
    ),
    ("AUDIT_ENTRY_MISSING", "SECOND", "delete from audit_entry where action = 'SECOND'"),
    (
        "AUDIT_ENTRY_INSERTED",
        "FORGED",
        "insert into audit_entry(actor_id, action, object, created_at)"
        " select 7, 'FORGED', 'user:1', created_at + interval '1 second' from audit_entry"
        " where action = 'FIRST'",
    ),
    ("AUDIT_CHAIN_BROKEN", None, "delete from audit_seal where id = 2"),
    ("AUDIT_CHAIN_BROKEN", None, "update audit_seal set previous_hash = hash where id = 3"),
    ("AUDIT_CHAIN_BROKEN", None, "update audit_seal set sealed_at = now() where id = 1"),
    ("AUDIT_CHAIN_BROKEN", None, "update audit_seal set hash = repeat('0', 64) where id = 2"),
    ("AUDIT_CHAIN_BROKEN", None, "delete from audit_leaf where seq = 2"),
    ("AUDIT_CHAIN_BROKEN", "THIRD", "delete from audit_seal where id > 1"),
    # A leaf is cut away, and its seal is made to fit.
    (
        "AUDIT_CHAIN_BROKEN",
        None,
        "delete from audit_leaf where seq = 3; update audit_seal set count = 0 where id = 2",
    ),
]


@pytest.mark.parametrize(("code", "action", "sql"), CORRUPTIONS)
async def test_what_a_superuser_changes_is_named(
    superuser: asyncpg.Connection, code: str, action: str | None, sql: str
) -> None:
    await sealed_days(superuser)
    known = {row["action"]: row["id"] for row in await superuser.fetch("table audit_entry")}
    await superuser.execute("set session_replication_role = replica")
    await superuser.execute(sql)
    found = await faults()
    about = await entry(superuser, "FORGED") if action == "FORGED" else known.get(action)
    assert (code, about) in found
    report = await checking.verified(superuser)
    assert code in {fault.code for fault in report.faults}


async def test_without_the_key_no_seal_can_be_forged(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole chain, made anew by somebody who has the database and this program only."""
    monkeypatch.setenv("WALLET_AUDIT_KEY", "guessed")
    settings.get_settings.cache_clear()
    await sealed_days(superuser)
    monkeypatch.undo()
    settings.get_settings.cache_clear()
    codes = [code for code, _ in await faults()]
    assert codes.count("AUDIT_ENTRY_CHANGED") == 3
    assert codes.count("AUDIT_CHAIN_BROKEN") == 3


async def test_an_entry_that_commits_late_is_in_the_next_seal(superuser) -> None:
    late = superuser.transaction()
    await late.start()
    await superuser.execute(
        "insert into audit_entry(actor_id, action, object) values (7, 'LATE', 'user:1')"
    )
    await deed("PROMPT")
    await seal_audit()
    await late.commit()
    await seal_audit()
    rows = await superuser.fetch(
        "select seq, action from audit_leaf l join audit_entry e on e.id = l.entry_id order by seq"
    )
    assert [tuple(row) for row in rows] == [(1, "PROMPT"), (2, "LATE")]
    assert await faults() == []


async def test_sealers_at_once_number_each_entry_once(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_seals, "BATCH_MAX", 4)
    for number in range(15):
        await deed(f"DEED_{number}")
    writing = [deed(f"MEANWHILE_{number}") for number in range(10)]
    await asyncio.gather(*(seal_audit() for _ in range(6)), *writing)
    await seal_audit()
    seqs = [row["seq"] for row in await superuser.fetch("select seq from audit_leaf order by 1")]
    assert seqs == list(range(1, 26))
    assert await faults() == []


async def test_what_nobody_has_sealed_for_long_is_late_not_wrong(superuser) -> None:
    await deed()
    await people.pass_time(superuser, 3_000)
    report = await checking.verified(superuser)
    assert [one.code for one in report.warnings] == ["AUDIT_SEAL_OVERDUE"]
    assert report.faults == []
    await seal_audit()
    assert (await checking.verified(superuser)).warnings == []


async def test_the_chain_is_the_workers_to_write_and_nobodys_to_rewrite(
    superuser, api: asyncpg.Connection, worker: asyncpg.Connection
) -> None:
    await deed()
    await seal_audit()
    before = await superuser.fetch("table audit_seal"), await superuser.fetch("table audit_leaf")
    for connection, statement in (
        (api, "insert into audit_seal select id + 1, 1, 0, true, '', '', now() from audit_seal"),
        (api, "insert into audit_leaf values (9, gen_random_uuid(), '')"),
        (worker, "update audit_seal set hash = ''"),
        (worker, "delete from audit_leaf"),
        (superuser, "update audit_seal set hash = ''"),
        (superuser, "delete from audit_leaf"),
        (superuser, "truncate audit_leaf"),
    ):
        with pytest.raises(asyncpg.PostgresError) as caught:
            await connection.execute(statement)
        assert caught.value.sqlstate in ("42501", "WL001"), statement
    assert before == (
        await superuser.fetch("table audit_seal"),
        await superuser.fetch("table audit_leaf"),
    )
