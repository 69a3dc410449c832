"""The demo city: the same each time, made through the services, alarming nobody."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from infra import database as pool
from infra import device_keys, embedded
from schema import ids
from services.demo import city, clock
from services.demo.city import Payment, TopUp, Transfer
from services.ledger import desk
from tests.authenticator import decode
from tests.conftest import Database
from tests.demo.device import DeviceKey
from tests.infra import sandboxes
from workers import risk

CLOCK_OFF_MAX = timedelta(seconds=1)


def test_the_history_is_the_same_for_a_seed_and_another_for_another() -> None:
    assert city.two_weeks() == city.two_weeks()
    assert city.two_weeks() != city.two_weeks(seed=city.SEED + 1)


def test_time_only_goes_forward_within_thirteen_days() -> None:
    times = [moment.after for moment in city.two_weeks()]
    assert times == sorted(set(times))
    assert times[0] > timedelta(0)
    assert times[-1] < timedelta(days=city.DAYS)


@pytest.mark.parametrize("seed", range(20))
def test_nobody_spends_what_they_do_not_have_or_pays_twice_at_once(seed: int) -> None:
    balances = [0] * len(city.RESIDENT_NAMES)
    for moment in city.two_weeks(seed=seed):
        payers = [deed.resident for deed in moment.deeds if isinstance(deed, Payment | Transfer)]
        assert len(payers) == len(set(payers))
        for deed in moment.deeds:
            if isinstance(deed, TopUp):
                balances[deed.resident] += deed.amount_minor
            elif isinstance(deed, Payment | Transfer):
                balances[deed.resident] -= deed.amount_minor
        assert min(balances) >= 0


@dataclass(frozen=True)
class Loaded:
    """A database with the demo city, and what the command said."""

    env: dict[str, str]
    superuser_url: str
    said: str
    welcome: dict[str, list[dict[str, str]]]


def load(env: dict[str, str]) -> str:
    """What ``python -m services.demo`` says."""
    ended = subprocess.run(
        [sys.executable, "-m", "services.demo"],
        cwd=sandboxes.ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sandboxes.Server]:
    with sandboxes.running("bank", tmp_path_factory.mktemp("bank")) as server:
        server.behave(lose_callbacks_next=1_000)
        yield server


@pytest.fixture(scope="module")
async def loaded(
    servers: embedded.Servers,
    template: str,
    bank: sandboxes.Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Loaded]:
    """Loaded once for all tests of this file, which only look at it."""
    name = "demo_city"
    admin = await asyncpg.connect(servers.superuser_url())
    await admin.execute(f"create database {name} template {template} owner wallet_owner")
    file = tmp_path_factory.mktemp("demo") / "demo.json"
    env = {
        "WALLET_ENVIRONMENT": "development",
        "WALLET_DATABASE_URL": servers.postgres_url("wallet_api", database=name),
        "WALLET_WORKER_DATABASE_URL": servers.postgres_url("wallet_worker", database=name),
        "WALLET_MIGRATION_DATABASE_URL": servers.postgres_url("wallet_owner", database=name),
        "WALLET_BANK_URL": bank.url,
        "WALLET_BANK_SECRET": sandboxes.SECRET,
        "WALLET_DEMO_FILE": str(file),
    }
    said = await asyncio.to_thread(load, env)
    yield Loaded(env, servers.superuser_url(name), said, json.loads(file.read_text()))
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


@pytest.fixture
async def look(loaded: Loaded) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(loaded.superuser_url)
    yield connection
    await connection.close()


async def test_everybody_lives_there(look: asyncpg.Connection, loaded: Loaded) -> None:
    rows = await look.fetch(
        "select role, count(*) as n from users where status = 'ACTIVE' group by 1"
    )
    count = {row["role"]: row["n"] for row in rows}
    assert count == {
        "RESIDENT": 20, "MERCHANT": 5, "FINANCE": 2, "SUPPORT": 1, "RISK": 1, "COMPLIANCE": 1,
        "AUDITOR": 1, "ADMIN": 1,
    }  # fmt: skip
    assert {login["role"] for login in loaded.welcome["logins"]} == set(count)
    assert len(loaded.welcome["merchants"]) == 5
    assert "20 residents" in loaded.said


async def test_everybody_has_a_device_whose_key_developers_get(
    look: asyncpg.Connection, loaded: Loaded
) -> None:
    rows = await look.fetch("select id, public_key from device")
    kept = {ids.encode("Device", row["id"]): row["public_key"] for row in rows}
    given = loaded.welcome["devices"]
    assert len(given) == len(kept) == 20 + len(city.SHOPS) + len(city.STAFF)
    for device in given.values():
        key = DeviceKey.from_pkcs8(device["key"], id=device["id"])
        assert device_keys.parse(key.public) == kept[device["id"]]
    assert {login["phone"] for login in loaded.welcome["logins"]} <= given.keys()


async def test_staff_have_an_authenticator_and_a_passkey_whose_secrets_developers_get(
    loaded: Loaded, look: asyncpg.Connection
) -> None:
    staff = "select count(*) from users where role not in ('RESIDENT', 'MERCHANT')"
    members = await look.fetchval(staff)
    shown = [login for login in loaded.welcome["logins"] if "totp" in login]
    assert len(shown) == len(loaded.welcome["passkeys"]) == members
    assert {len(login["totp"]) for login in shown} == {32}
    assert (
        await look.fetchval("select count(*) from totp where confirmed_at is not null") == members
    )
    kept = {row["credential_id"] for row in await look.fetch("select credential_id from passkey")}
    assert {decode(one["id"]) for one in loaded.welcome["passkeys"].values()} == kept


async def test_the_history_lies_in_the_past_fourteen_days(look: asyncpg.Connection) -> None:
    first, last, count = await look.fetchrow(
        "select min(at), max(at), count(distinct date(at)) from ledger.posting where amount <> 0"
    )
    now = datetime.now(UTC)
    assert now - timedelta(days=14) < first < now - timedelta(days=12)
    assert last < now
    assert count >= city.DAYS
    born = await look.fetchval("select max(created_at) from users")
    assert born < first


async def test_refunds_of_every_state_and_a_registration_wait_for_staff(
    look: asyncpg.Connection,
) -> None:
    states = await look.fetch("select state, count(*) from ledger.refund group by 1 order by 1")
    assert [tuple(row) for row in states] == [(1, 1), (2, 4), (3, 2)]
    assert await look.fetchval("select count(*) from refund_review") == 7
    assert await look.fetchval("select count(*) from users where status = 'REFERRED'") == 1


async def test_the_clock_is_right_again_and_nothing_is_left_to_do(
    look: asyncpg.Connection,
) -> None:
    assert await look.fetchval("select to_regclass('ledger.demo_clock') is null")
    off = await look.fetchval("select clock_timestamp() - ledger.now()")
    assert abs(off) < CLOCK_OFF_MAX
    assert await look.fetchval("select count(*) from ledger.outbox") == 0


async def test_every_derived_figure_is_right(loaded: Loaded) -> None:
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.ledger.verification"],
        cwd=sandboxes.ROOT,
        env={**os.environ, **loaded.env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout


async def test_the_anomaly_scan_of_all_of_it_freezes_nobody(
    look: asyncpg.Connection, loaded: Loaded
) -> None:
    await look.execute("update risk_scan set scanned_until = ledger.now() - interval '15 days'")
    url = loaded.env["WALLET_WORKER_DATABASE_URL"]
    await pool.open_database(url)
    counter = desk.Desk(url, lanes=1, queue_max=100, relay=lambda: None)
    counter.start()
    desk.use(counter)
    try:
        assert await risk.scan_anomalies() == 0
    finally:
        desk.use(None)
        await counter.stop()
        await pool.close_database()
    until, now = await look.fetchrow("select scanned_until, ledger.now() from risk_scan")
    assert now - until < timedelta(minutes=1)
    assert await look.fetchval("select count(*) from risk_case") == 0


async def test_a_city_with_people_stays_as_it_is(look: asyncpg.Connection, loaded: Loaded) -> None:
    before = await look.fetchval("select count(*) from ledger.posting")
    said = await asyncio.to_thread(load, loaded.env)
    assert said == "the city has people already; nothing was loaded\n"
    assert await look.fetchval("select count(*) from ledger.posting") == before


async def test_outside_development_nothing_is_loaded() -> None:
    secrets = {
        f"WALLET_{name}": "s" * 40
        for name in (
            "INDEX_KEY", "PASSWORD_PEPPER", "CURSOR_KEY", "AUDIT_KEY", "SMS_SECRET", "BANK_SECRET",
            "BANK_CALLBACK_SECRET", "PUSH_SECRET", "MAIL_SECRET", "ENCRYPTION_KEYS",
        )
    }  # fmt: skip
    said = await asyncio.to_thread(load, {"WALLET_ENVIRONMENT": "production", **secrets})
    assert said == "no demo city: WALLET_ENVIRONMENT is not development\n"


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.owner_url)
    yield connection
    await connection.close()


async def test_a_loading_that_fails_leaves_the_clock_right(owner: asyncpg.Connection) -> None:
    start = datetime.now(UTC) - timedelta(days=13)
    definition = await owner.fetchval("select pg_get_functiondef('ledger.now'::regproc)")

    async def fail_later() -> None:
        async with clock.turned_back(owner, start) as hands:
            assert await owner.fetchval("select ledger.now()") - start < CLOCK_OFF_MAX
            await hands.set(start + timedelta(hours=1))
            now = await owner.fetchval("select ledger.now()")
            assert now - start - timedelta(hours=1) < CLOCK_OFF_MAX
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_later()
    assert await owner.fetchval("select pg_get_functiondef('ledger.now'::regproc)") == definition


async def test_a_loading_that_was_killed_is_put_right_by_the_next_call(
    owner: asyncpg.Connection, database: Database
) -> None:
    dying = await asyncpg.connect(database.owner_url)
    manager = clock.turned_back(dying, datetime.now(UTC) - timedelta(days=13))
    await manager.__aenter__()
    dying.terminate()
    assert await clock.put_right(owner)
    assert not await clock.put_right(owner)
    off = await owner.fetchval("select clock_timestamp() - ledger.now()")
    assert abs(off) < CLOCK_OFF_MAX
    with pytest.raises(asyncpg.InterfaceError):
        await manager.__aexit__(None, None, None)
