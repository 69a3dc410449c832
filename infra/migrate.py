"""``python -m infra.migrate``: bring the database to this release, one process at a time.

Tortoise's migrate takes no lock, so we hold an advisory one. It is polled: a blocked
``pg_advisory_lock()`` would hold a snapshot that CREATE INDEX CONCURRENTLY waits for.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import asyncpg
from tortoise import Tortoise
from tortoise.migrations.api import migrate as tortoise_migrate

from infra import transit
from infra.database import close_database, connect, tortoise_config
from infra.settings import get_settings

LOCK = 0x77616C6C6574
SQL = Path(__file__).resolve().parent.parent / "migrations" / "sql"


def sql(name: str) -> str:
    """The text of ``migrations/sql/<name>.sql``."""
    return (SQL / f"{name}.sql").read_text(encoding="utf-8")


async def migrate(url: str, *, lock_timeout_seconds: float = 120) -> None:
    """Migrate the database at ``url`` (the owner's login). TimeoutError if another holds on."""
    connection = await connect(url)
    try:
        async with asyncio.timeout(lock_timeout_seconds):
            while not await connection.fetchval(  # noqa: ASYNC110 - the lock is in PostgreSQL
                "select pg_try_advisory_lock($1)", LOCK
            ):
                await asyncio.sleep(0.2)
        try:
            await tortoise_migrate(config=tortoise_config(url, pool_size=2))
        finally:
            await close_database()
            await Tortoise._reset_apps()
    finally:
        await connection.close()


def release() -> list[str]:
    """The names of this release's migrations, in order."""
    return sorted(path.stem for path in SQL.parent.glob("[0-9]*.py"))


async def pending(connection: asyncpg.Connection) -> list[str]:
    """Which migrations of this release the database lacks."""
    rows = await connection.fetch("select name from tortoise_migrations where app = 'models'")
    return sorted(set(release()) - {row["name"] for row in rows})


async def main() -> None:
    settings = get_settings()
    url = settings.migration_database_url or settings.database_url
    if not url.get_secret_value():
        sys.exit("WALLET_MIGRATION_DATABASE_URL (the owner's login) is not set")
    transit.ensure_database(settings, "migration_database_url")
    await migrate(url.get_secret_value())


if __name__ == "__main__":
    asyncio.run(main())
