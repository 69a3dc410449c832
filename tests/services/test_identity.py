"""Sessions, reviews and people against real PostgreSQL, with races staged by a barrier."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from domain import refusals
from domain.identity import Role, Status
from services import people
from services.identity import first_admin, registration
from services.unit_of_work import snapshot, unit_of_work
from tests import people as make
from tests.conftest import Database

pytestmark = pytest.mark.usefixtures("app")


async def at_once(count: int, call: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """`count` calls let go together; their answers, or what they raised."""
    barrier = asyncio.Barrier(count)

    async def one(number: int) -> Any:
        await barrier.wait()
        return await call(number)

    return await asyncio.gather(*(one(n) for n in range(count)), return_exceptions=True)


async def test_neither_code_nor_phone_nor_name_is_readable_in_the_database(
    superuser: asyncpg.Connection,
) -> None:
    phone = make.phone()
    signed_in = await make.registered(superuser, phone, name="欧阳明月")
    code = await make.code_of(superuser, phone)

    dump = ""
    for table in ("users", "verification_code", "session", "ledger.outbox", "login_throttle"):
        rows = await superuser.fetch(f"select * from {table}")
        dump += "".join(str(value) for row in rows for value in row.values())
    for secret in (phone[1:], phone[3:], "欧阳明月", make.PASSWORD, f"'{code}'"):
        assert secret not in dump
    assert "欧阳明月".encode().hex() not in dump
    assert signed_in.session.access_token not in dump
    assert signed_in.session.refresh_token not in dump


async def test_the_reviewed_resident_has_one_account_and_one_notice(
    superuser: asyncpg.Connection,
) -> None:
    signed_in = await make.registered(superuser, make.phone())
    user_id = signed_in.viewer.user_id
    assert signed_in.viewer.status is Status.PENDING_REVIEW
    assert signed_in.viewer.account_id is None

    answers = await at_once(10, lambda _: make.reviewed(user_id))

    assert sorted(map(str, answers)) == ["ACTIVE", *["None"] * 9]
    viewer = await make.again(signed_in.viewer)
    assert (viewer.status, viewer.account_status) == (Status.ACTIVE, 1)
    assert viewer.account_id is not None
    assert (
        await superuser.fetchval("select count(*) from ledger.account where owner_id = $1", user_id)
        == 1
    )
    kinds = await superuser.fetch("select kind from notice where user_id = $1", user_id)
    assert [row["kind"] for row in kinds] == ["REGISTRATION_APPROVED"]


async def test_a_made_up_name_is_rejected_and_gets_no_account(
    superuser: asyncpg.Connection,
) -> None:
    signed_in = await make.registered(superuser, make.phone(), name="测试")
    assert await make.reviewed(signed_in.viewer.user_id) is Status.REJECTED

    viewer = await make.again(signed_in.viewer)
    assert (viewer.review_reason, viewer.account_id) == ("NAME_MADE_UP", None)
    assert (
        await superuser.fetchval("select count(*) from ledger.account where owner_id is not null")
        == 0
    )


async def test_the_viewer_carries_a_frozen_wallet(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    await superuser.execute(
        "update ledger.account set status = 3 where owner_id = $1", viewer.user_id
    )
    assert (await make.again(viewer)).account_status == 3


async def test_a_phone_belongs_to_one_person_also_when_two_register_at_once(
    superuser: asyncpg.Connection,
) -> None:
    phone = make.phone()
    code_ids = []
    for _ in range(2):
        await make.ask_code(phone)
        code_ids.append((await make.verification_of(superuser, phone))[0])
        await make.pass_time(superuser, 61)

    async def register(number: int) -> int:
        async with unit_of_work() as work:
            return await registration.register(
                work,
                name="王小明",
                phone=phone,
                code_id=code_ids[number],
                password_hash="v1",
                language="en",
            )

    answers = await at_once(2, register)
    assert sum(isinstance(answer, int) for answer in answers) == 1
    assert sum(isinstance(answer, refusals.PhoneTaken) for answer in answers) == 1


async def test_people_are_found_by_phone_and_id_only_as_themselves(
    superuser: asyncpg.Connection,
) -> None:
    phone = make.phone()
    viewer = await make.resident(superuser, phone)
    async with snapshot() as read:
        person = await people.find_by_phone(read, phone)
        assert person is not None
        assert (person.user_id, person.phone, person.name) == (viewer.user_id, phone, "王小明")
        assert phone not in repr(person)
        assert await people.find_by_phone(read, make.phone()) is None
        assert list(await people.find(read, [viewer.user_id, 1])) == [viewer.user_id]


async def test_there_is_one_first_admin_and_it_is_on_record(superuser: asyncpg.Connection) -> None:
    async def make_admin(_: int) -> int:
        async with unit_of_work() as work:
            return await first_admin.make(
                work, name="陈思远", phone=make.phone(), password_hash="v1"
            )

    answers = await at_once(5, make_admin)
    assert sum(isinstance(answer, int) for answer in answers) == 1
    assert sum(isinstance(answer, first_admin.AdminExists) for answer in answers) == 4
    assert (
        await superuser.fetchval(
            "select count(*) from audit_entry where action = 'MAKE_FIRST_ADMIN'"
        )
        == 1
    )
    assert await superuser.fetchval("select role from users") == Role.ADMIN


async def test_the_first_admin_is_made_by_one_command_that_repeats_nothing_secret(
    app: Database,
) -> None:
    async def command(password: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.identity.first_admin",
            "--phone=13800138001",
            "--name=陈思远",
            env=os.environ | {"WALLET_DATABASE_URL": app.api_url},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate(f"{password}\n".encode())
        return process.returncode, said.decode()

    weak = await command("password123")
    made = await command(make.PASSWORD)
    again = await command(make.PASSWORD)

    assert (weak[0], made[0], again[0]) == (1, 0, 1)
    assert made[1].startswith("The first admin is user ")
    assert again[1] == "There is an admin already. Nothing was changed.\n"
    assert not any(secret in weak[1] + made[1] for secret in (make.PASSWORD, "13800138001", "陈"))
    async with snapshot() as read:
        admin = await people.find_by_phone(read, "+8613800138001")
    assert admin is not None
    assert (admin.role, admin.status) == (Role.ADMIN, Status.ACTIVE)
