"""A fresh database has everything that was declared."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
from tortoise import Tortoise
from tortoise.indexes import Index
from tortoise.migrations import api

from infra import database as db
from infra import embedded, migrate


async def test_migrating_twice_at_once_and_again_changes_nothing(database) -> None:
    """The lock lets one in; a later release finds nothing to do."""
    await migrate.migrate(database.owner_url)


async def test_the_logins_cannot_create_anything(api: asyncpg.Connection) -> None:
    for statement in ("create table mine(a int)", "create temp table mine(a int)"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.execute(statement)


# --- one schema, whichever way a database came to it --------------------------------------------

_CATALOG = {
    "relations": """
        select n.nspname, c.relname, c.relkind::text, c.relpersistence::text, c.relowner::regrole,
               (select array_agg(g::text order by g::text) from unnest(c.relacl) g),
               (select array_agg(o order by o) from unnest(c.reloptions) o),
               pg_get_expr(c.relpartbound, c.oid), c.relrowsecurity,
               obj_description(c.oid, 'pg_class')
          from pg_class c join pg_namespace n on n.oid = c.relnamespace""",
    "columns": """
        select n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               a.attidentity::text, a.attgenerated::text, pg_get_expr(d.adbin, d.adrelid),
               (select array_agg(g::text order by g::text) from unnest(a.attacl) g),
               col_description(c.oid, a.attnum)
          from pg_attribute a join pg_class c on c.oid = a.attrelid
          join pg_namespace n on n.oid = c.relnamespace
          left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
         where a.attnum > 0 and not a.attisdropped and c.relkind <> 'i' and c.relkind <> 'I'""",
    "constraints": """
        select n.nspname, t.conrelid::regclass::text, t.conname, pg_get_constraintdef(t.oid),
               t.convalidated, t.conenforced
          from pg_constraint t join pg_namespace n on n.oid = t.connamespace""",
    "indexes": """
        select n.nspname, i.tablename, i.indexname, i.indexdef
          from pg_indexes i join pg_namespace n on n.nspname = i.schemaname""",
    "triggers": """
        select n.nspname, t.tgrelid::regclass::text, t.tgname, pg_get_triggerdef(t.oid),
               t.tgenabled::text
          from pg_trigger t join pg_class c on c.oid = t.tgrelid
          join pg_namespace n on n.oid = c.relnamespace where not t.tgisinternal""",
    "functions": """
        select n.nspname, f.oid::regprocedure::text, pg_get_functiondef(f.oid),
               f.proowner::regrole, f.prosecdef,
               (select array_agg(g::text order by g::text) from unnest(f.proacl) g)
          from pg_proc f join pg_namespace n on n.oid = f.pronamespace where f.prokind <> 'a'""",
    "schemas": """
        select n.nspname, n.nspowner::regrole,
               (select array_agg(g::text order by g::text) from unnest(n.nspacl) g)
          from pg_namespace n""",
    "default rights": """
        select n.nspname, d.defaclrole::regrole, d.defaclobjtype::text,
               (select array_agg(g::text order by g::text) from unnest(d.defaclacl) g)
          from pg_default_acl d join pg_namespace n on n.oid = d.defaclnamespace""",
}
OURS = ["public", "ledger"]


@pytest.fixture
async def empty(servers: embedded.Servers) -> AsyncIterator[list[str]]:
    """Two databases without anything in them."""
    names = [f"m_{uuid.uuid4().hex[:12]}" for _ in range(2)]
    admin = await asyncpg.connect(servers.superuser_url())
    for name in names:
        await admin.execute(f"create database {name} owner wallet_owner")
    yield names
    for name in names:
        await admin.execute(f"drop database {name} with (force)")
    await admin.close()


async def _catalog(url: str) -> dict[str, set[tuple[str, ...]]]:
    connection = await asyncpg.connect(url)
    found = {}
    for what, question in _CATALOG.items():
        rows = await connection.fetch(f"select * from ({question}) q where nspname = any($1)", OURS)
        assert rows, what
        found[what] = {tuple(str(value) for value in row) for row in rows}
    await connection.close()
    return found


async def _step(url: str, name: str) -> None:
    """Migrate up to one migration, as a release that ended there did; nothing stays open."""
    try:
        await api.migrate(config=db.tortoise_config(url, pool_size=2), target=f"models.{name}")
    finally:
        await db.close_database()
        await Tortoise._reset_apps()


async def _live(connection: asyncpg.Connection, number: int) -> None:
    """Rows that a release in between has left, as far as its tables go."""
    await connection.fetchval("select ledger.open_account_v1($1, 1::smallint, 'CNY')", number)
    if await connection.fetchval("select to_regclass('public.users') is not null"):
        await connection.execute(
            "insert into users(role, status, phone, phone_index, name, password_hash, created_at)"
            " values ('RESIDENT', 'ACTIVE', '', $1, '', '-', now())",
            f"index-{number}",
        )


async def test_a_fresh_database_and_an_upgraded_one_end_in_the_same_schema(servers, empty) -> None:
    fresh, upgraded = empty
    await migrate.migrate(servers.postgres_url("wallet_owner", database=fresh))
    for number, name in enumerate(migrate.release(), start=1):
        await _step(servers.postgres_url("wallet_owner", database=upgraded), name)
        connection = await asyncpg.connect(servers.superuser_url(upgraded))
        await _live(connection, number)
        missing = await migrate.pending(connection)
        await connection.close()
        assert missing == migrate.release()[number:]

    at_once = await _catalog(servers.superuser_url(fresh))
    by_steps = await _catalog(servers.superuser_url(upgraded))
    for what in _CATALOG:
        print(f"{what}: {len(at_once[what])}")
        assert at_once[what] ^ by_steps[what] == set(), what


async def test_every_declared_constraint_and_index_exists(
    database, superuser: asyncpg.Connection
) -> None:
    named = {
        match
        for path in migrate.SQL.glob("*.sql")
        for match in re.findall(
            r"\b(?:constraint|create (?:unique )?index|create trigger) ([a-z_0-9]+)",
            path.read_text("utf-8"),
        )
    }
    rows = await superuser.fetch(
        "select conname::text as name from pg_constraint union select indexname from pg_indexes"
        " union select tgname from pg_trigger"
    )
    assert len(named) > 30
    assert named - {row["name"] for row in rows} == set()

    await db.open_database(database.owner_url, pool_size=2)
    models = list(Tortoise.apps["models"].values())
    await db.close_database()
    declared = {one for model in models for one in _declared(model)}
    rows = await superuser.fetch(
        "select i.indrelid::regclass::text as t, i.indisunique as u,"
        " array_agg(a.attname::text order by k.o) as c"
        " from pg_index i, unnest(i.indkey) with ordinality k(n, o)"
        " join pg_attribute a on a.attnum = k.n where a.attrelid = i.indrelid"
        " and i.indpred is null group by i.indexrelid, i.indrelid, i.indisunique"
    )
    existing = {(row["t"], tuple(row["c"]), row["u"]) for row in rows}
    print(f"{len(named)} named in SQL, {len(declared)} declared by models")
    assert declared - existing == set()


def _declared(model) -> list[tuple[str, tuple[str, ...], bool]]:
    """Table, columns and uniqueness of what a model declares."""
    meta = model._meta
    assert not getattr(meta, "constraints", ()), "say here how these are found"
    found = [(meta.db_table, tuple(columns), True) for columns in meta.unique_together]
    for field in meta.fields_map.values():
        if field.unique or field.index:
            column = field.source_field or field.model_field_name
            found.append((meta.db_table, (column,), field.unique))
    for index in meta.indexes:
        columns = index.fields if isinstance(index, Index) else index
        found.append((meta.db_table, tuple(columns), False))
    return found
