"""The jobs about people, against the real SMS gateway of the sandbox."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
import structlog

from domain import refusals
from domain.identity import Status
from domain.proofs import Action
from infra import database as pool
from infra import sms
from infra.sms import HttpSms
from resolvers import devices, proof_challenges
from resolvers import passwords as resolvers_passwords
from services.identity import passwords
from tests import people as make
from tests import recovery
from tests.conftest import Database
from tests.infra import sandboxes
from workers import identity

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[sandboxes.Server]:
    with sandboxes.running("sms", tmp_path) as server:
        async with HttpSms(url=server.url, secret=sandboxes.SECRET) as adapter:
            sms.use(adapter)
            yield server
            sms.use(None)


async def job(superuser: asyncpg.Connection, name: str) -> dict[str, Any]:
    """The arguments of the only outbox row of this job."""
    [row] = await superuser.fetch("select args from ledger.outbox where job = $1", name)
    return msgspec.json.decode(row["args"])


def messages(server: sandboxes.Server, phone: str) -> list[dict[str, Any]]:
    return server.ask("GET", f"/messages?to=%2B{phone[1:]}").json()["messages"]


async def test_a_code_is_sent_once_and_then_blank(
    superuser: asyncpg.Connection, gateway: sandboxes.Server
) -> None:
    phone = make.phone()
    await make.ask_code(phone)
    code, args = await make.code_of(superuser, phone), await job(superuser, "send_code")
    with structlog.testing.capture_logs() as logs:
        await identity.send_code(args)
        await identity.send_code(args)

    [message] = messages(gateway, phone)
    assert re.findall(r"\d{6}", message["text"]) == [code]
    row = await superuser.fetchrow("select * from verification_code")
    assert row is not None
    assert row["code"] == b""
    assert row["sent_at"] is not None
    assert code not in repr(logs)
    assert code not in str(args)


async def test_a_gateway_that_does_not_answer_has_the_job_run_again(
    superuser: asyncpg.Connection, tmp_path: Path
) -> None:
    phone = make.phone()
    await make.ask_code(phone)
    args = await job(superuser, "send_code")
    with sandboxes.running("sms", tmp_path) as server:
        address = server.url
    async with HttpSms(url=address, secret=sandboxes.SECRET) as adapter:
        sms.use(adapter)
        with pytest.raises(sms.SmsUnavailable) as caught:
            await identity.send_code(args)
    assert phone not in repr(caught.value)
    assert await make.code_of(superuser, phone), "still there for the next run"

    with sandboxes.running("sms", tmp_path) as server:
        async with HttpSms(url=server.url, secret=sandboxes.SECRET) as adapter:
            sms.use(adapter)
            await identity.send_code(args)
        assert len(messages(server, phone)) == 1
    sms.use(None)


async def test_a_code_that_is_too_old_is_blanked_and_not_sent(
    superuser: asyncpg.Connection, gateway: sandboxes.Server
) -> None:
    phone = make.phone()
    await make.ask_code(phone)
    await make.pass_time(superuser, 301)
    await identity.send_code(await job(superuser, "send_code"))

    assert messages(gateway, phone) == []
    row = await superuser.fetchrow("select * from verification_code")
    assert row is not None
    assert (row["code"], row["sent_at"]) == (b"", None)


async def test_a_code_to_reset_a_password_goes_to_known_phones_only(
    superuser: asyncpg.Connection, gateway: sandboxes.Server
) -> None:
    known, unknown = make.phone(), make.phone()
    await make.resident(superuser, known)
    await superuser.execute("delete from ledger.outbox")
    for phone in (known, unknown):
        await recovery.asked(phone)
    rows = await superuser.fetch("select args from ledger.outbox where job = 'send_code'")
    assert len(rows) == 2
    for row in rows:
        await identity.send_code(msgspec.json.decode(row["args"]))

    [message] = messages(gateway, known)
    assert "重置密码" in message["text"]
    assert messages(gateway, unknown) == []
    left = await superuser.fetch("select code from verification_code where purpose <> 'REGISTER'")
    assert [row["code"] for row in left] == [b"", b""]


async def test_a_review_run_twice_decides_once(superuser: asyncpg.Connection) -> None:
    signed_in = await make.registered(superuser, make.phone())
    args = await job(superuser, "review_registration")
    await identity.review_registration(args)
    await identity.review_registration(args)

    assert (await make.again(signed_in.viewer)).status is Status.ACTIVE
    assert await superuser.fetchval("select count(*) from notice") == 1


@pytest.fixture
async def forget(app: Database) -> Callable[[], Awaitable[None]]:
    """The job on the worker's login: the API's deletes neither devices nor challenges."""

    async def run() -> None:
        await pool.close_database()
        await pool.open_database(app.worker_url)
        await identity.forget_identity()

    return run


async def test_what_has_served_its_purpose_is_forgotten_and_the_rest_is_kept(
    superuser: asyncpg.Connection, forget: Callable[[], Awaitable[None]]
) -> None:
    async def rows() -> list[int]:
        tables = ("verification_code", "code_total", "login_throttle", "login_challenge")
        tables += ("session", "device")
        return [await superuser.fetchval(f"select count(*) from {name}") for name in tables]

    async def proofs() -> list[int]:
        tables = ("proof_challenge", "step_up")
        return [await superuser.fetchval(f"select count(*) from {name}") for name in tables]

    phone = make.phone()
    signed_in = await make.registered(superuser, phone)
    await proof_challenges.request_step_up_challenge(
        signed_in.viewer, action=Action.EXPORT_DATA, subject=""
    )
    await superuser.execute(
        "insert into step_up(user_id, action, subject_hash, method, expires_at)"
        " values (1, 'EXPORT_DATA', '', 'PASSKEY', now())"
    )
    for address in ("192.0.2.1", "192.0.2.2"):
        with pytest.raises(refusals.WrongCredentials):
            await make.challenged(phone, password="a guess", address=address)
    await make.challenged(phone)
    await devices.revoke_device(signed_in.viewer, device_id=signed_in.device.id)
    await forget()
    assert await rows() == [1, 2, 3, 1, 1, 1]
    await make.pass_time(superuser, 3 * 86_400)
    await forget()
    assert await rows() == [0, 0, 3, 0, 1, 1]
    await make.pass_time(superuser, 40 * 86_400)
    await forget()
    assert await rows() == [0, 0, 0, 0, 1, 1]
    await make.pass_time(superuser, 90 * 86_400)
    await forget()
    assert await rows() == [0, 0, 0, 0, 0, 1]
    await make.pass_time(superuser, 90 * 86_400)
    await forget()
    assert await rows() == [0, 0, 0, 0, 0, 0]


async def test_whoever_has_had_a_password_for_a_year_is_reminded_once_a_year(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "REMINDED_AT_ONCE", 2)
    people = [await make.resident(superuser) for _ in range(5)]
    applicant = (await make.registered(superuser, make.phone(), name="测试")).viewer

    async def reminded() -> list[int]:
        await identity.remind_of_passwords()
        question = "select count(*) from notice where kind = 'PASSWORD_REMINDER' and user_id = $1"
        return [await superuser.fetchval(question, one.user_id) for one in (*people, applicant)]

    await make.pass_time(superuser, 20 * 86_400)
    await resolvers_passwords.change_password(
        people[0], password=make.PASSWORD, new_password="Futian-9-lighthouse", address="192.0.2.1"
    )
    await make.pass_time(superuser, 344 * 86_400)
    assert await reminded() == [0, 0, 0, 0, 0, 0]
    await make.pass_time(superuser, 86_400)
    assert await reminded() == [0, 1, 1, 1, 1, 0]
    assert await reminded() == [0, 1, 1, 1, 1, 0]
    await make.pass_time(superuser, 20 * 86_400)
    assert await reminded() == [1, 1, 1, 1, 1, 0]
    await make.pass_time(superuser, 345 * 86_400)
    assert await reminded() == [1, 2, 2, 2, 2, 0]
    left = await superuser.fetchval("select count(*) from users where status = 'ACTIVE'")
    assert left == 5, "nobody has to change anything"
