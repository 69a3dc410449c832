"""Sealing everything anew: all of it, once, beside live writes, and from wherever it was killed."""

from __future__ import annotations

import ast
import asyncio
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from domain import refusals, sealing
from domain.identity import Role
from infra import database as pool
from infra import encryption
from resolvers import key_rotations as face
from services import key_rotations as rotations
from services import people as services_people
from services.key_rotations import KeyUse, Rotation, State, WrongKey
from services.unit_of_work import snapshot, unit_of_work
from tests import keys, people
from tests import movement as town
from tests.conftest import Database
from workers.key_rotations import rotate_keys

ROOT = Path(__file__).resolve().parents[2]
WORDS = "龙岗区坂田街道"


@pytest.fixture
async def workers_town(database: Database, counter: object) -> Database:
    """The worker's own login, which alone may go on with a rotation."""
    await pool.close_database()
    await pool.open_database(database.worker_url)
    return database


@pytest.fixture
async def admin(workers_town: Database) -> Any:
    return await people.staff(Role.ADMIN)


@pytest.fixture
def new_key() -> Iterator[None]:
    """Every process has the second key now, and seals with it."""
    with keys.ring(f"{keys.development()},{keys.key(2)}"):
        yield


def _value(column: sealing.Sealed, row: object) -> bytes:
    return encryption.encrypt(column.place, row, WORDS)


async def furnish(superuser: asyncpg.Connection, count: int) -> None:
    """``count`` rows with something in every column that rotates, under the key that seals."""
    viewer = await town.resident()
    for _ in range(count):
        await people.ask_code(people.phone(), address=f"100.66.{_}.1")
        card: Any = await superuser.fetchval(
            "insert into bank_card(user_id, token, number_index, bank_name, last4)"
            " values ($1, '', gen_random_uuid()::text, 'B', '1234') returning id",
            viewer.user_id,
        )
        case: Any = await superuser.fetchval(
            "insert into risk_case(user_id, account_id, rule, evidence, entry_id)"
            " values ($1, $2, 'MANUAL', '{}', gen_random_uuid()) returning id",
            viewer.user_id,
            viewer.account_id,
        )
        person = (await town.resident()).user_id
        token: Any = await superuser.fetchval(
            "insert into push_token(user_id, session_id, token_index, token, platform)"
            " select user_id, id, id::text, '', 'IOS' from session where user_id = $1 returning id",
            person,
        )
        passkey: Any = await superuser.fetchval(
            "insert into passkey(user_id, credential_id, credential_hash, public_key, user_handle,"
            " sign_count, name, transports, aaguid, synced) values ($1, 'c',"
            " gen_random_uuid()::text, 'k', 'h', 0, '', '[]', gen_random_uuid(), false)"
            " returning id",
            person,
        )
        check: Any = await superuser.fetchval(
            "insert into identity_check(user_id, state, name, id_number)"
            " values ($1, 'REFERRED', '', '') returning id",
            person,
        )
        change: Any = await superuser.fetchval(
            "insert into phone_change(user_id, old_phone_index, new_phone_index, new_phone,"
            " old_verification_id, new_verification_id, expires_at) values ($1, 'a', 'b', 'x',"
            " gen_random_uuid(), gen_random_uuid(), ledger.now() + interval '5 minutes')"
            " returning id",
            person,
        )
        await superuser.execute(
            "insert into totp(user_id, secret, confirmed_at) values ($1, '', now())", person
        )
        await _gone_and_copied(superuser, person)
        recovery: Any = await superuser.fetchval(
            "insert into recovery_case(user_id, kind, new_phone, statement, usable_from,"
            " expires_at) values ($1, 'PHONE', 'x', 'x', ledger.now() + interval '13 h',"
            " ledger.now() + interval '2 days')"
            " returning id",
            person,
        )
        rows = {
            "bank_card": card,
            "totp": person,
            "identity_check": check,
            "recovery_case": recovery,
            "passkey": passkey,
            "phone_change": change,
            "phone_replacement": await _phone_replacement(superuser),
            "push_token": token,
            "risk_case": case,
            "users": person,
        }
        for column in sealing.ROTATING:
            if column.place in ("users.phone", "users.name") or column.table not in rows:
                continue
            if column.place == "users.id_number":
                await superuser.execute(  # a number without its index could not be found again
                    "update users set id_number = $2, id_number_index = $3 where id = $1",
                    person,
                    _value(column, person),
                    services_people.id_number_index(WORDS),
                )
                continue
            key = "user_id" if column.table == "totp" else "id"
            await superuser.execute(
                f"update {column.table} set {column.column} = $2 where {key} = $1",
                rows[column.table],
                _value(column, rows[column.table]),
            )


async def _phone_replacement(superuser: asyncpg.Connection) -> UUID:
    return await superuser.fetchval(
        "insert into phone_replacement(old_phone_index, new_phone_index, new_phone, secret_hash,"
        " verification_id, expires_at) values ('a', 'b', 'x', gen_random_uuid()::text,"
        " gen_random_uuid(), ledger.now() + interval '5 minutes') returning id"
    )


async def _gone_and_copied(superuser: asyncpg.Connection, person: int) -> None:
    """What is kept of somebody who left, and the password of a copy that is being written."""
    await superuser.execute(
        "insert into retained_identity(user_id, sealed) values ($1, $2)",
        person,
        encryption.encrypt("retained_identity.sealed", person, WORDS),
    )
    export_id = uuid4()
    await superuser.execute(
        "insert into data_export(id, user_id, password, token_hash, parts) values ($1, $2, $3, $4,"
        " 1)",
        export_id,
        person,
        encryption.encrypt("data_export.password", export_id, WORDS),
        str(export_id),
    )


async def opened(superuser: asyncpg.Connection) -> dict[str, tuple[int, set[int]]]:
    """By place: how many texts of columns that rotate there are, all opened, and their keys."""
    found: dict[str, tuple[int, set[int]]] = {}
    for column in sealing.ROTATING:
        rows = await superuser.fetch(
            f"select {column.row} as row, {column.column} as sealed from {column.table}"
            f" where length({column.column}) > 0 and {column.where}"
        )
        for row in rows:
            assert encryption.decrypt(column.place, row["row"], row["sealed"])
        found[column.place] = (len(rows), {encryption.key_number(row["sealed"]) for row in rows})
    return found


async def _under_the_old_key(superuser: asyncpg.Connection) -> int:
    count = 0
    for column in sealing.ROTATING:
        count += await superuser.fetchval(
            f"select count(*) from {column.table} where length({column.column}) > 2"
            f" and get_byte({column.column}, 2) = 1"
        )
    return count


async def start(admin: Any, key: int = 2) -> Rotation:
    return await face.rotate_keys(admin, key=key)


async def latest() -> Rotation:
    async with snapshot() as read:
        found = await rotations.latest(read)
    assert found is not None
    return found


async def run(rotation: Rotation) -> Rotation:
    """What the jobs do, one after the other."""
    while (await latest()).state is State.RUNNING:
        await rotate_keys({"rotation_id": str(rotation.id)})
    return await latest()


async def test_every_text_is_sealed_anew_and_the_old_key_is_said_to_be_unused(
    admin: Any, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotations, "WINDOW_ROWS", 3)
    await furnish(superuser, 4)
    before = await opened(superuser)
    assert {place for place, (count, _) in before.items() if count < 4} == set()

    with keys.ring(f"{keys.development()},{keys.key(2)}"):
        done = await run(await start(admin))
        after = await opened(superuser)
    assert after == {place: (count, {2}) for place, (count, _) in before.items()}
    assert (done.done, done.broken) == (done.total, 0)
    assert done.resealed == sum(count for count, _ in before.values())
    assert done.uses == (KeyUse(1, 0, 0), KeyUse(2, done.resealed, 0))
    assert [use.unused for use in done.uses] == [True, False]

    with keys.ring(keys.key(2)):  # the old key has left
        assert await opened(superuser) == after


@pytest.mark.usefixtures("new_key")
async def test_texts_of_the_ledger_keep_their_key_and_are_counted(
    admin: Any, superuser: asyncpg.Connection
) -> None:
    with keys.ring(f"{keys.development()},{keys.key(2)}", sealing=1):
        payer = await town.resident(balance=9_000, allowance=(20_000, 10))
        _, shop = await town.shop()
        await town.pay(payer, shop, 1_000, note="三号桌")

    done = await run(await start(admin))

    assert done.uses[0] == KeyUse(1, 0, 1)
    assert not done.uses[0].unused
    memo = await superuser.fetchval("select memo from ledger.instruction where memo is not null")
    assert encryption.key_number(memo) == 1


@pytest.mark.usefixtures("new_key")
async def test_killed_anywhere_it_goes_on_and_ends_with_everything_sealed_anew(
    admin: Any, superuser: asyncpg.Connection, workers_town: Database
) -> None:
    with keys.ring(f"{keys.development()},{keys.key(2)}", sealing=1):
        await furnish(superuser, 12)
    before, old = await opened(superuser), await _under_the_old_key(superuser)
    rotation = await start(admin)
    environment = {
        **os.environ,
        "WALLET_DATABASE_URL": workers_town.worker_url,
    }
    killed_at = []
    for goal in (7, 40):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _CHILD, str(rotation.id), env=environment
        )
        async with asyncio.timeout(60):
            while (await latest()).done < goal:  # noqa: ASYNC110 - the child tells by the database
                await asyncio.sleep(0.002)
        child.kill()
        await child.wait()
        killed_at.append((await latest()).done)
    print(f"killed at {killed_at} of {(await latest()).total}")
    assert (await latest()).state is State.RUNNING
    done = await run(rotation)
    assert await opened(superuser) == {place: (n, {2}) for place, (n, _) in before.items()}
    assert (done.done, done.resealed) == (done.total, old)


_CHILD = """
import asyncio, os, sys
from infra import database
from services import key_rotations
from workers.key_rotations import rotate_keys
key_rotations.WINDOW_ROWS = 1
async def main():
    await database.open_database(os.environ["WALLET_DATABASE_URL"], pool_size=1)
    while True:
        await rotate_keys({"rotation_id": sys.argv[1]})
asyncio.run(main())
"""


@pytest.mark.usefixtures("new_key")
async def test_two_workers_at_once_do_each_row_once(
    admin: Any, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotations, "WINDOW_ROWS", 2)
    with keys.ring(f"{keys.development()},{keys.key(2)}", sealing=1):
        await furnish(superuser, 5)
    old = await _under_the_old_key(superuser)
    rotation = await start(admin)
    await asyncio.gather(*(run(rotation) for _ in range(3)))
    done = await latest()
    assert (done.done, done.resealed) == (done.total, old)


@pytest.mark.usefixtures("new_key")
async def test_a_value_written_meanwhile_is_not_overwritten(
    admin: Any, superuser: asyncpg.Connection
) -> None:
    with keys.ring(f"{keys.development()},{keys.key(2)}", sealing=1):
        user_id = (await town.resident(number="+8613800001111")).user_id
    rotation = await start(admin)
    async with unit_of_work() as work:
        await rotations.advance(work, rotation.id)  # measures
    live = superuser.transaction()
    await live.start()
    fresh = encryption.encrypt("users.phone", user_id, "+8613800002222")
    await superuser.execute("update users set phone = $2 where id = $1", user_id, fresh)
    going_on = asyncio.create_task(run(rotation))
    waits = "select exists (select from pg_stat_activity where wait_event_type = 'Lock')"
    async with asyncio.timeout(20), snapshot() as read:
        while not await read.fetchval(waits):  # noqa: ASYNC110 - PostgreSQL is asked
            await asyncio.sleep(0.005)
    await live.commit()
    await going_on
    kept = await superuser.fetchval("select phone from users where id = $1", user_id)
    assert services_people.open_phone(user_id, kept) == "+8613800002222"
    assert kept == fresh


@pytest.mark.usefixtures("new_key")
async def test_what_an_older_process_wrote_behind_the_walk_is_walked_again(
    admin: Any, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotation = await start(admin)
    plain = rotations._count
    wrote: list[int] = []

    async def late(work: Any, row: Any) -> bool:
        if not wrote:
            with keys.ring(keys.development()):
                sealed = encryption.encrypt("users.name", admin.user_id, "陈思远")
            await work.execute("update users set name = $2 where id = $1", admin.user_id, sealed)
            wrote.append(admin.user_id)
        return await plain(work, row)

    monkeypatch.setattr(rotations, "_count", late)
    done = await run(rotation)
    assert wrote
    assert done.uses[0].rows == 0
    assert await superuser.fetchval("select round from key_rotation") == 2
    assert (await opened(superuser))["users.name"][1] == {2}


async def test_a_key_that_does_not_seal_starts_nothing(
    admin: Any, superuser: asyncpg.Connection
) -> None:
    with pytest.raises(refusals.InvalidInput):
        await start(admin, key=2)
    assert await superuser.fetchval("select count(*) from key_rotation") == 0
    assert await superuser.fetchval("select count(*) from ledger.outbox") == 0
    assert await face.key_rotation(admin) is None


async def test_a_worker_with_older_settings_waits_instead_of_sealing_backwards(
    admin: Any, superuser: asyncpg.Connection
) -> None:
    with keys.ring(f"{keys.development()},{keys.key(2)}"):
        rotation = await start(admin)
    with pytest.raises(WrongKey):
        await rotate_keys({"rotation_id": str(rotation.id)})
    assert (await latest()).done == 0
    assert {number for _, used in (await opened(superuser)).values() for number in used} == {1}


@pytest.mark.usefixtures("new_key")
async def test_starting_again_goes_on_with_the_one_that_runs_and_is_recorded(
    admin: Any, superuser: asyncpg.Connection
) -> None:
    first, second = await start(admin), await start(admin)
    assert first.id == second.id
    jobs = await superuser.fetch("select job, args ->> 'rotation_id' as id from ledger.outbox")
    assert {(row["job"], row["id"]) for row in jobs} == {("rotate_keys", str(first.id))}
    deeds = await superuser.fetch("select action, object from audit_entry")
    assert [tuple(deed) for deed in deeds] == [("ROTATE_KEYS", "key:2")] * 2


@pytest.mark.usefixtures("new_key")
async def test_a_text_that_does_not_open_stays_and_is_told(
    admin: Any, superuser: asyncpg.Connection
) -> None:
    with keys.ring(f"{keys.development()},{keys.key(2)}", sealing=1):
        ann, ben = (await town.resident()).user_id, (await town.resident()).user_id
    swap = "update users u set name = (select name from users where id = $2) where id = $1"
    await superuser.execute(swap, ann, ben)
    with capture_logs() as lines:
        done = await run(await start(admin))
    told = {(one["place"], one["row"]) for one in lines if one["event"] == "sealed_text_broken"}
    assert told == {("users.name", str(ann))}
    assert (done.broken, done.uses[0].rows) == (1, 1)
    assert not done.uses[0].unused


# --- the registry ------------------------------------------------------------------------------

NOT_SEALED = {
    ("data_export_piece", "content"): "encrypted with a password that only its reader has",
    ("ledger.instruction", "input_hash"): "a hash of what was asked",
    ("ledger.proof", "input_hash"): "a hash of what was asked",
    ("device", "public_key"): "public",
    ("passkey", "public_key"): "public",
    ("passkey", "credential_id"): "a random name",
    ("passkey", "user_handle"): "a random name",
    ("proof_challenge", "nonce_hash"): "a hash",
    ("proof_challenge", "terms_hash"): "a hash",
    ("proof_challenge", "answer_hash"): "a hash",
    ("step_up", "subject_hash"): "a hash",
}


async def test_every_binary_column_of_the_database_is_registered_or_says_why_not(
    superuser: asyncpg.Connection,
) -> None:
    rows = await superuser.fetch(
        "select case n.nspname when 'public' then '' else n.nspname || '.' end || c.relname as t,"
        " a.attname as c from pg_attribute a join pg_class c on c.oid = a.attrelid"
        " join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('public', 'ledger')"
        " and c.relkind in ('r', 'p') and not c.relispartition and a.atttypid = 'bytea'::regtype"
    )
    registered = {(column.table, column.column) for column in sealing.COLUMNS}
    existing = {(row["t"], row["c"]) for row in rows}
    assert existing - registered - NOT_SEALED.keys() == set(), "add them to domain/sealing.py"
    assert registered - existing == set(), "there are no such columns"


def _sealed_for() -> Iterator[tuple[str, str]]:
    """The places that calls of encrypt and decrypt name, by a text or a constant of the module."""
    for path in sorted((ROOT / "services").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "encryption.encrypt",
                "encryption.decrypt",
            ):
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    yield module, str(first.value)
                elif isinstance(first, ast.Name) and first.id.isupper():
                    yield module, getattr(importlib.import_module(module), first.id)


def test_whatever_is_sealed_is_sealed_for_a_registered_place() -> None:
    named = set(_sealed_for())
    assert len({place for _, place in named}) >= 6
    assert {one for one in named if one[1] not in sealing.PLACES | sealing.IN_JOBS} == set()
