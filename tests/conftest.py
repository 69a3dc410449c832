"""Real PostgreSQL and Valkey for every test; a database per test, from a migrated template."""

from __future__ import annotations

import asyncio
import gc
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import hypothesis
import pytest
from redis.asyncio import Redis
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from infra import database as pool
from infra import embedded, hashing, hints, migrate, settings
from services.ledger import desk
from tests import present

# Before any test module is imported: `workers` reads its settings when it is.
os.environ.setdefault("WALLET_ENVIRONMENT", "development")
# How long an example takes says nothing on a busy machine; the first one also loads tables.
hypothesis.settings.register_profile("wallet", deadline=None)
hypothesis.settings.load_profile("wallet")


class _ByWhatTheyShare(LoadScopeScheduling):
    """A file's tests go to one process; those of tests/e2e all to one, for they share a stack."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/e2e" if file.startswith("tests/e2e/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return _ByWhatTheyShare(config, log)


def pytest_collection_finish() -> None:
    """All modules are loaded and stay: the collector need not walk them every second."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session", autouse=True)
def development() -> Iterator[None]:
    """Settings of a development installation, without touching a developer's own .env."""
    patch = pytest.MonkeyPatch()
    patch.setenv("WALLET_ENVIRONMENT", "development")
    patch.setenv("WALLET_PASSWORD_COST", "4")
    patch.setenv("WALLET_PIN_COST", "4")
    settings.get_settings.cache_clear()
    yield
    patch.undo()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Servers]:
    with embedded.start(Path(tmp_path_factory.mktemp("servers")), durable=False) as running:
        yield running


@pytest.fixture(scope="session")
def template(servers: embedded.Servers) -> str:
    """A database migrated once, whose clock tests can move."""
    asyncio.run(_make_template(servers))
    servers.grant_logins()
    return "wallet"


async def _make_template(servers: embedded.Servers) -> None:
    await migrate.migrate(servers.postgres_url("wallet_owner"))
    connection = await asyncpg.connect(servers.superuser_url("wallet"))
    try:
        await connection.execute(TEST_CLOCK)
    finally:
        await connection.close()


TEST_CLOCK = """
create table ledger.clock_offset(
  only_row boolean primary key default true, value interval not null);
insert into ledger.clock_offset(value) values ('0');
grant select, update on ledger.clock_offset to public;
create or replace function ledger.now() returns timestamptz language sql volatile
  set search_path = pg_catalog, pg_temp
  return clock_timestamp() + (select value from ledger.clock_offset);
"""


@dataclass(frozen=True)
class Database:
    """One test's own database, by the logins that may use it."""

    api_url: str
    worker_url: str
    owner_url: str
    superuser_url: str


@pytest.fixture
async def database(servers: embedded.Servers, template: str) -> AsyncIterator[Database]:
    name = f"t_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(servers.superuser_url())
    # Copying files takes half the time of copying through the log.
    await admin.execute(
        f"create database {name} template {template} owner wallet_owner strategy file_copy"
    )
    await admin.execute(f"revoke temporary on database {name} from public")  # not copied
    yield Database(
        api_url=servers.postgres_url("wallet_api", database=name),
        worker_url=servers.postgres_url("wallet_worker", database=name),
        owner_url=servers.postgres_url("wallet_owner", database=name),
        superuser_url=servers.superuser_url(name),
    )
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


@pytest.fixture
async def superuser(database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.superuser_url)
    yield connection
    await connection.close()


@pytest.fixture
async def api(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """What somebody holds who stole the API's login."""
    connection = await asyncpg.connect(database.api_url)
    yield connection
    await connection.close()


@pytest.fixture
async def worker(database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.worker_url)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def hasher(development: None) -> AsyncIterator[None]:
    """The hasher processes, once for all tests."""
    await hashing.open_hasher(waiting_max=500)
    yield
    await hashing.close_hasher()


@pytest.fixture
async def app(
    database: Database, servers: embedded.Servers, hasher: None
) -> AsyncIterator[Database]:
    """What an API process has open: its pool, its hasher, and hints."""
    await pool.open_database(database.api_url)
    present.superuser_url = database.superuser_url
    redis = Redis.from_url(servers.redis_url)
    running = hints.Hints(redis)
    running.start(listen=True)
    hints.use(running)
    yield database
    hints.use(None)
    await running.stop()
    await redis.aclose()
    await pool.close_database()


# --- money: the desk of a worker, which may post everything -----------------------------------


@pytest.fixture
async def counter(app: Database) -> AsyncIterator[desk.Desk]:
    """A desk on the worker's login beside what an API process has open."""
    opened = desk.Desk(app.worker_url, lanes=1, queue_max=4096, relay=lambda: None)
    opened.start()
    desk.use(opened)
    yield opened
    desk.use(None)
    await opened.stop()


@pytest.fixture
async def workers_town(database: Database, counter: desk.Desk) -> None:
    """The worker's own login: only it closes accounts, writes copies and erases."""
    await pool.close_database()
    await pool.open_database(database.worker_url)
