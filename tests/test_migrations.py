"""A fresh database has everything that was declared."""

from __future__ import annotations

import asyncpg
import pytest
from tortoise import Tortoise

from infra import database as db
from infra import migrate


async def test_migrating_twice_at_once_and_again_changes_nothing(database) -> None:
    """The lock lets one in; a later release finds nothing to do."""
    await migrate.migrate(database.owner_url)


async def test_every_unique_and_index_of_the_models_exists(
    database, superuser: asyncpg.Connection
) -> None:
    await db.open_database(database.owner_url, pool_size=2)
    declared = [
        (model._meta.db_table, columns)
        for model in Tortoise.apps["models"].values()
        for columns in model._meta.unique_together
    ]
    rows = await superuser.fetch(
        "select indrelid::regclass::text as t, array_agg(attname::text order by k.o) as c"
        " from pg_index i, unnest(i.indkey) with ordinality k(n, o)"
        " join pg_attribute a on a.attnum = k.n"
        " where a.attrelid = i.indrelid and indisunique group by indexrelid, indrelid"
    )
    await db.close_database()

    existing = {(row["t"], tuple(row["c"])) for row in rows}
    assert [d for d in declared if (d[0], tuple(d[1])) not in existing] == []


async def test_the_logins_cannot_create_anything(api: asyncpg.Connection) -> None:
    for statement in ("create table mine(a int)", "create temp table mine(a int)"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.execute(statement)
