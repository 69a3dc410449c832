"""Crashes while keys are rotated and the audit log is read and sealed, and the same call again."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import asyncpg
import pytest

from domain.identity import Role
from infra import database as db
from infra import encryption
from resolvers import audit as audit_face
from resolvers import key_rotations
from services import audit
from services.audit import Filter
from services.unit_of_work import unit_of_work
from tests import keys, people
from tests import movement as town
from tests.money.crashes import Case, Verbs, leaves
from workers import audit as sealing
from workers import key_rotations as jobs

VERBS = Verbs()
_numbers = itertools.count(1)


@VERBS.covering("resolvers.audit.audit_log")
async def looking_at_the_log(superuser: asyncpg.Connection) -> Case:
    auditor = await people.staff(Role.AUDITOR)

    async def run() -> None:
        await audit_face.audit_log(
            auditor, wanted=Filter(), limit=2, after=None, before=None, backwards=False
        )

    return Case(
        run,
        # Each look is recorded, also the one whose answer was lost.
        leaves(
            superuser,
            "select distinct action from audit_entry where actor_id = $1",
            auditor.user_id,
        ),
    )


@VERBS.covering("workers.audit.seal_audit")
async def sealing_the_log(superuser: asyncpg.Connection) -> Case:
    action = f"DEED_{next(_numbers)}"
    async with unit_of_work() as work:
        await audit.record(work, actor_id=7, action=action, object="user:1")
    return Case(
        sealing.seal_audit,
        leaves(
            superuser,
            "select (select count(*) from audit_leaf l join audit_entry e on e.id = l.entry_id"
            "         where e.action = $1),"
            " (select count(*) = max(seq) and count(*) = (select sum(count) from audit_seal)"
            "    from audit_leaf)",
            action,
        ),
    )


_ROTATIONS = """
select state, done = total, resealed > 0, broken from key_rotation"""


async def _forget_rotations(superuser: asyncpg.Connection) -> None:
    await superuser.execute("delete from key_rotation")
    await superuser.execute("delete from ledger.outbox where job = 'rotate_keys'")


@VERBS.covering("resolvers.key_rotations.rotate_keys")
async def starting_a_rotation(superuser: asyncpg.Connection) -> Case:
    admin = await people.staff(Role.ADMIN)

    async def run() -> None:
        await key_rotations.rotate_keys(admin, key=2)

    async def effect() -> object:
        question = "select count(*) >= 1 from ledger.outbox where job = 'rotate_keys'"
        left = [
            await leaves(superuser, "select key, state, started_by = $1 from key_rotation",
                         admin.user_id)(),
            await leaves(superuser, question)(),
        ]  # fmt: skip
        await _forget_rotations(superuser)
        return left

    return Case(run, effect)


@VERBS.covering("workers.key_rotations.rotate_keys")
async def rotating(superuser: asyncpg.Connection) -> Case:
    with keys.ring(f"{keys.development()},{keys.key(2)}", sealing=1):
        user_id = (await town.resident()).user_id
    admin = await people.staff(Role.ADMIN)
    rotation = await key_rotations.rotate_keys(admin, key=2)

    async def run() -> None:
        await jobs.rotate_keys({"rotation_id": str(rotation.id)})

    async def effect() -> object:
        unfinished = "select exists (select from key_rotation where state = 'RUNNING')"
        while await superuser.fetchval(unfinished):
            await run()
        left = await leaves(superuser, _ROTATIONS)()
        await _forget_rotations(superuser)
        row = await superuser.fetchrow("select phone, name from users where id = $1", user_id)
        assert row is not None
        name = encryption.decrypt("users.name", user_id, row["name"])
        return left, name, [encryption.key_number(sealed) for sealed in row]

    return Case(run, effect)


@pytest.fixture
def two_keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A new key is there, and a job takes few steps: each of them is a place to crash at."""
    monkeypatch.setattr(jobs, "STEPS_AT_ONCE_MAX", 5)
    with keys.ring(f"{keys.development()},{keys.key(2)}"):
        yield


@pytest.mark.usefixtures("two_keys")
async def test_keys_and_the_log_survive_a_crash_at_every_point(
    database, counter, superuser
) -> None:
    await db.close_database()
    await db.open_database(database.worker_url)
    await VERBS.survive(superuser)
