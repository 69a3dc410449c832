"""Sessions: issued on a device, refreshed with its signature, ended at once and everywhere."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest

from domain.identity import REFRESH_GRACE_SECONDS, Role, Viewer
from infra import encryption, settings
from services.identity import sessions
from services.identity.arrivals import SignedIn
from services.identity.sessions import Issued
from services.unit_of_work import snapshot, unit_of_work
from tests import people as make
from tests import races
from tests.demo.device import DeviceKey

pytestmark = pytest.mark.usefixtures("app")
AT_ONCE = 60
TOO_LATE = REFRESH_GRACE_SECONDS + 1


async def arrived(superuser: asyncpg.Connection, key: DeviceKey) -> SignedIn:
    return await make.registered(superuser, make.phone(), key=key)


async def another(user_id: int, key: DeviceKey) -> Issued:
    """One more session of a user, on a device of its own."""
    async with unit_of_work() as work:
        return (await make.arrived(work, user_id, key)).session


async def refreshed(token: str, key: DeviceKey, *, signature: str | None = None) -> Issued | None:
    signed = key.refresh_signature(token) if signature is None else signature
    async with unit_of_work() as work:
        return await sessions.refresh(work, token, signature=signed, address="203.0.113.77")


async def caller_of(token: str) -> Viewer | None:
    async with snapshot() as read:
        return await sessions.viewer_of(read, token)


async def reason(superuser: asyncpg.Connection, issued: Issued) -> str | None:
    return await superuser.fetchval(
        "select revoked_reason from session where id = $1", issued.session_id
    )


async def test_a_refresh_gives_new_tokens_and_ends_the_old(superuser: asyncpg.Connection) -> None:
    key = DeviceKey()
    first = (await arrived(superuser, key)).session
    second = await refreshed(first.refresh_token, key)

    assert second is not None
    assert second.session_id == first.session_id
    assert await caller_of(first.access_token) is None
    caller = await caller_of(second.access_token)
    assert caller is not None
    assert caller.device_id is not None


async def test_the_device_that_lost_the_answer_gets_the_same_one_again(
    superuser: asyncpg.Connection,
) -> None:
    key = DeviceKey()
    first = (await arrived(superuser, key)).session
    second = await refreshed(first.refresh_token, key)
    await make.pass_time(superuser, REFRESH_GRACE_SECONDS - 2)

    assert await refreshed(first.refresh_token, key) == second
    assert second is not None
    third = await refreshed(second.refresh_token, key)
    assert third is not None
    assert third != second, "the successor is as good as if nothing had been lost"


async def test_of_one_refresh_token_used_many_times_at_once_there_is_one_successor(
    superuser: asyncpg.Connection,
) -> None:
    [successor] = await races.refreshes_of_one_token(superuser, count=AT_ONCE)
    assert successor is not None
    assert await caller_of(successor.access_token) is not None
    assert await reason(superuser, successor) is None
    assert await superuser.fetchval("select count(*) from session") == 1
    assert await superuser.fetchval("select count(*) from notice") == 0


async def test_a_refresh_token_used_again_later_ends_its_session_only_and_its_owner_is_told(
    superuser: asyncpg.Connection,
) -> None:
    key = DeviceKey()
    signed_in = await arrived(superuser, key)
    first, other = signed_in.session, await another(signed_in.viewer.user_id, DeviceKey())
    second = await refreshed(first.refresh_token, key)
    assert second is not None
    await make.pass_time(superuser, TOO_LATE)

    assert await refreshed(first.refresh_token, key) is None
    assert await caller_of(second.access_token) is None
    assert await refreshed(second.refresh_token, key) is None
    assert await caller_of(other.access_token) is not None
    assert await reason(superuser, first) == "REFRESH_REUSED"
    kinds = await superuser.fetch("select kind from notice")
    assert [row["kind"] for row in kinds] == ["SESSION_MISUSED"]


async def test_a_token_before_the_last_one_has_no_grace(superuser: asyncpg.Connection) -> None:
    key = DeviceKey()
    first = (await arrived(superuser, key)).session
    second = await refreshed(first.refresh_token, key)
    assert second is not None
    assert await refreshed(second.refresh_token, key) is not None

    assert await refreshed(first.refresh_token, key) is None
    assert await reason(superuser, first) == "REFRESH_REUSED"


@pytest.mark.parametrize("forged", ["nothing", "another device", "another token", "a login"])
async def test_a_token_without_its_devices_signature_is_worth_nothing_and_changes_nothing(
    superuser: asyncpg.Connection, forged: str
) -> None:
    key = DeviceKey()
    first = (await arrived(superuser, key)).session
    signature = {
        "nothing": "",
        "another device": DeviceKey().refresh_signature(first.refresh_token),
        "another token": key.refresh_signature(first.refresh_token[::-1]),
        "a login": key.sign(f"pengcheng-wallet login v1\n{first.refresh_token}"),
    }[forged]

    before = await superuser.fetchrow("select * from session")
    assert await refreshed(first.refresh_token, key, signature=signature) is None
    assert await superuser.fetchrow("select * from session") == before
    assert await refreshed(first.refresh_token, key) is not None, "its owner goes on"


async def test_within_the_grace_a_thief_without_the_devices_key_ends_the_session(
    superuser: asyncpg.Connection,
) -> None:
    key = DeviceKey()
    first = (await arrived(superuser, key)).session
    second = await refreshed(first.refresh_token, key)
    assert second is not None

    assert await refreshed(first.refresh_token, DeviceKey()) is None
    assert await caller_of(second.access_token) is None
    assert await reason(superuser, first) == "REFRESH_REUSED"


async def test_a_session_from_before_there_were_devices_ends_with_its_access_token(
    superuser: asyncpg.Connection,
) -> None:
    key = DeviceKey()
    first = (await arrived(superuser, key)).session
    await superuser.execute("update session set device_id = null, ends_at = null, network = null")
    caller = await caller_of(first.access_token)
    assert caller is not None
    assert caller.device_id is None
    async with snapshot() as read:
        [shown] = await sessions.page(read, first.user_id, limit=5)
    assert (shown.network, shown.device_id) == ("", None)
    assert await refreshed(first.refresh_token, key) is None


@pytest.mark.parametrize(
    "token", ["", "x", "." * 87, "a" * 43, "ａ" * 43, f"{'a' * 43}.{'b' * 43}"]
)
async def test_tokens_that_are_not_ours_are_nobody(token: str) -> None:
    assert await caller_of(token) is None
    assert await refreshed(token, DeviceKey()) is None
    async with unit_of_work() as work:
        await sessions.end_family(work, token)


async def test_tokens_expire(superuser: asyncpg.Connection) -> None:
    key = DeviceKey()
    tokens = (await arrived(superuser, key)).session
    await make.pass_time(superuser, settings.get_settings().access_token_seconds + 1)
    assert await caller_of(tokens.access_token) is None
    renewed = await refreshed(tokens.refresh_token, key)
    assert renewed is not None
    await make.pass_time(superuser, settings.get_settings().refresh_token_seconds + 1)
    assert await refreshed(renewed.refresh_token, key) is None


@pytest.mark.parametrize("role", [Role.RESIDENT, Role.FINANCE])
async def test_a_session_ends_at_last_however_often_it_is_used(
    superuser: asyncpg.Connection, role: Role
) -> None:
    key, lives = DeviceKey(), settings.get_settings()
    issued = (await arrived(superuser, key)).session
    await superuser.execute("update users set role = $1", role)
    issued = await another(issued.user_id, key)
    most = lives.session_seconds if role is Role.RESIDENT else lives.staff_session_seconds
    step, passed = min(lives.refresh_token_seconds, most) - 60, 0
    while passed + step < most:
        await make.pass_time(superuser, step)
        passed += step
        going_on = await refreshed(issued.refresh_token, key)
        assert going_on is not None, passed
        issued = going_on
    await make.pass_time(superuser, most - passed + 1)
    assert await caller_of(issued.access_token) is None
    assert await refreshed(issued.refresh_token, key) is None
    async with snapshot() as read:
        assert await sessions.viewer_by_session(read, issued.session_id) is None


async def test_logout_and_closing_end_a_session_at_once(superuser: asyncpg.Connection) -> None:
    keys = DeviceKey(), DeviceKey()
    signed_in = await arrived(superuser, keys[0])
    one, two = signed_in.session, await another(signed_in.viewer.user_id, keys[1])
    async with unit_of_work() as work:
        await sessions.end_family(work, one.refresh_token)
    assert await caller_of(one.access_token) is None
    assert await caller_of(two.access_token) is not None

    await superuser.execute("update users set status = 'CLOSED'")
    assert await caller_of(two.access_token) is None
    assert await refreshed(two.refresh_token, keys[1]) is None
    async with snapshot() as read:
        assert await sessions.viewer_by_session(read, two.session_id) is None


async def test_ending_all_sessions_reaches_one_that_is_being_refreshed(
    superuser: asyncpg.Connection,
) -> None:
    key, locked = DeviceKey(), asyncio.Event()
    first = (await arrived(superuser, key)).session

    async def end_all() -> int:
        await locked.wait()
        async with unit_of_work() as work:
            return await sessions.end_all(work, first.user_id, reason="LOGOUT_EVERYWHERE")

    ending = asyncio.create_task(end_all())  # before a session is open: tasks inherit that
    async with unit_of_work() as work:
        signature = key.refresh_signature(first.refresh_token)
        made = await sessions.refresh(work, first.refresh_token, signature=signature, address="")
        assert made is not None
        locked.set()
        await races.blocked(superuser)
    assert await ending == 1
    assert await caller_of(made.access_token) is None
    assert await refreshed(made.refresh_token, key) is None


async def test_ending_all_sessions_many_times_at_once_ends_each_once(
    superuser: asyncpg.Connection,
) -> None:
    first = (await arrived(superuser, DeviceKey())).session
    for _ in range(5):
        await another(first.user_id, DeviceKey())

    async def end_all(_: int) -> int:
        async with unit_of_work() as work:
            return await sessions.end_all(work, first.user_id, reason="LOGOUT_EVERYWHERE")

    assert sorted(await races.at_once(12, end_all)) == [*[0] * 11, 6]


async def test_a_session_can_be_ended_by_its_owner_only(superuser: asyncpg.Connection) -> None:
    mine, stranger = (await arrived(superuser, DeviceKey())), await arrived(superuser, DeviceKey())
    async with unit_of_work() as work:
        user_id = stranger.viewer.user_id
        for session_id in (mine.session.session_id, uuid4()):
            assert not await sessions.end(work, user_id=user_id, session_id=session_id)
    assert await caller_of(mine.session.access_token) is not None
    for _ in range(2):
        async with unit_of_work() as work:
            assert await sessions.end(
                work, user_id=mine.viewer.user_id, session_id=mine.session.session_id
            )
    assert await caller_of(mine.session.access_token) is None


async def test_where_a_session_is_used_is_kept_roughly_and_sealed(
    superuser: asyncpg.Connection,
) -> None:
    key = DeviceKey()
    first = (await arrived(superuser, key)).session
    assert await refreshed(first.refresh_token, key) is not None
    sealed = await superuser.fetchval("select network from session")
    assert encryption.decrypt("session.network", first.session_id, sealed) == "203.0.*.*"
    async with snapshot() as read:
        [shown] = await sessions.page(read, first.user_id, limit=5)
    assert shown.network == "203.0.*.*"
    assert "203." not in repr(shown)


async def test_neither_tokens_nor_what_they_come_from_are_in_the_database(
    superuser: asyncpg.Connection,
) -> None:
    key = DeviceKey()
    first = (await arrived(superuser, key)).session
    second = await refreshed(first.refresh_token, key)
    assert second is not None
    row = await superuser.fetchrow("select * from session")
    assert row is not None
    kept = "".join(str(value) for value in row.values())
    for issued in (first, second):
        for secret in (issued.access_token, *issued.refresh_token.split(".")):
            assert secret not in kept


async def test_the_caller_is_one_query(superuser: asyncpg.Connection) -> None:
    tokens = (await arrived(superuser, DeviceKey())).session
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


async def test_two_sessions_with_one_refresh_each_do_not_share_a_successor(
    superuser: asyncpg.Connection,
) -> None:
    keys = DeviceKey(), DeviceKey()
    signed_in = await arrived(superuser, keys[0])
    issued = signed_in.session, await another(signed_in.viewer.user_id, keys[1])
    made = [await refreshed(one.refresh_token, key) for one, key in zip(issued, keys, strict=True)]
    assert made[0] is not None
    assert made[1] is not None
    assert made[0] != replace(made[1], session_id=made[0].session_id)
    assert made[0].access_token != made[1].access_token
