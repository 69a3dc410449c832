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
from infra import settings
from services import people
from services.identity import first_admin, registration, sessions
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


async def issued(user_id: int) -> sessions.Issued:
    async with unit_of_work() as work:
        return await sessions.issue(work, user_id)


async def refreshed(token: str) -> sessions.Issued | None:
    async with unit_of_work() as work:
        return await sessions.refresh(work, token)


async def caller_of(token: str) -> object:
    async with snapshot() as read:
        return await sessions.viewer_of(read, token)


async def test_a_refresh_gives_new_tokens_and_ends_the_old(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    first = await issued(viewer.user_id)
    second = await refreshed(first.refresh_token)

    assert second is not None
    assert second.session_id == first.session_id
    assert await caller_of(first.access_token) is None
    assert await caller_of(second.access_token) is not None


async def test_a_refresh_token_used_again_ends_its_session_only(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    first, other = await issued(viewer.user_id), await issued(viewer.user_id)
    second = await refreshed(first.refresh_token)
    assert second is not None

    assert await refreshed(first.refresh_token) is None
    assert await caller_of(second.access_token) is None
    assert await refreshed(second.refresh_token) is None
    assert await caller_of(other.access_token) is not None
    reason = "select revoked_reason from session where id = $1"
    assert await superuser.fetchval(reason, first.session_id) == "REFRESH_REUSED"


async def test_of_one_refresh_token_used_many_times_at_once_no_session_survives(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    first = await issued(viewer.user_id)
    answers = await at_once(20, lambda _: refreshed(first.refresh_token))

    [winner] = [answer for answer in answers if answer is not None]
    assert await caller_of(winner.access_token) is None


@pytest.mark.parametrize(
    "token", ["", "x", "." * 87, "a" * 43, "ａ" * 43, f"{'a' * 43}.{'b' * 43}"]
)
async def test_tokens_that_are_not_ours_are_nobody(token: str) -> None:
    assert await caller_of(token) is None
    assert await refreshed(token) is None
    async with unit_of_work() as work:
        await sessions.logout(work, token)


async def test_tokens_expire(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    tokens = await issued(viewer.user_id)
    await make.pass_time(superuser, settings.get_settings().access_token_seconds + 1)
    assert await caller_of(tokens.access_token) is None
    renewed = await refreshed(tokens.refresh_token)
    assert renewed is not None
    await make.pass_time(superuser, settings.get_settings().refresh_token_seconds + 1)
    assert await refreshed(renewed.refresh_token) is None


async def test_logout_and_closing_end_a_session_at_once(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    one, two = await issued(viewer.user_id), await issued(viewer.user_id)
    async with unit_of_work() as work:
        await sessions.logout(work, one.refresh_token)
    assert await caller_of(one.access_token) is None
    assert await caller_of(two.access_token) is not None

    await superuser.execute("update users set status = 'CLOSED' where id = $1", viewer.user_id)
    assert await caller_of(two.access_token) is None
    assert await refreshed(two.refresh_token) is None
    async with snapshot() as read:
        assert await sessions.viewer_by_session(read, two.session_id) is None


async def test_the_viewer_carries_a_frozen_wallet(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    await superuser.execute(
        "update ledger.account set status = 3 where owner_id = $1", viewer.user_id
    )
    assert (await make.again(viewer)).account_status == 3


async def test_the_caller_is_one_query(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    tokens = await issued(viewer.user_id)
    async with snapshot() as read:
        asked: list[str] = []
        plain = read.connection

        class Counting:
            async def fetchrow(self, sql: str, *values: object) -> object:
                asked.append(sql)
                return await plain.fetchrow(sql, *values)

        read.connection = Counting()  # type: ignore[assignment]
        assert await sessions.viewer_of(read, tokens.access_token) is not None
        assert len(asked) == 1


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
