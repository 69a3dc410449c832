"""People for tests, made through the same doors as in the product."""

from __future__ import annotations

import itertools
import random
from uuid import UUID

import asyncpg

from domain.identity import ANONYMOUS, CodePurpose, Role, Status, Viewer
from infra import encryption, hashing
from resolvers import identity
from services import people
from services.identity import codes, registration, sessions
from services.unit_of_work import unit_of_work

PASSWORD = "Nanshan-7-harbour"
PIN = "820461"
_numbers = itertools.count(random.randrange(10_000_000, 90_000_000))


def phone() -> str:
    """A mainland mobile number that no other test of this run has."""
    return f"+86138{next(_numbers):08d}"


async def code_of(
    connection: asyncpg.Connection, number: str, purpose: CodePurpose = CodePurpose.REGISTER
) -> str:
    """The newest code on its way to a phone, read as the sending job reads it."""
    return (await verification_of(connection, number, purpose))[1]


async def verification_of(
    connection: asyncpg.Connection, number: str, purpose: CodePurpose = CodePurpose.REGISTER
) -> tuple[UUID, str]:
    """The newest request for a code to a phone: its id and the code."""
    row = await connection.fetchrow(
        "select id, code from verification_code where phone_index = $1 and purpose = $2"
        " order by created_at desc, id desc limit 1",
        people.phone_index(number),
        purpose,
    )
    code = encryption.decrypt("verification_code.code", row["id"], row["code"]).split(" ")[1]
    return row["id"], code


async def ask_code(
    number: str,
    *,
    address: str = "192.0.2.1",
    purpose: CodePurpose = CodePurpose.REGISTER,
    viewer: Viewer = ANONYMOUS,
) -> codes.Requested:
    return await identity.request_verification_code(
        viewer,
        phone=number,
        purpose=purpose,
        address=address,
        language="zh-CN",
    )


async def registered(
    superuser: asyncpg.Connection, number: str, *, name: str = "王小明"
) -> identity.SignedIn:
    """Somebody who has just applied."""
    await ask_code(number)
    verification_id, code = await verification_of(superuser, number)
    return await identity.register(
        ANONYMOUS,
        name=name,
        phone=number,
        verification_id=verification_id,
        code=code,
        password=PASSWORD,
        language="zh-CN",
    )


async def reviewed(user_id: int) -> Status | None:
    async with unit_of_work() as work:
        return await registration.review(work, user_id)


async def resident(superuser: asyncpg.Connection, number: str | None = None) -> Viewer:
    """An approved resident, signed in."""
    signed_in = await registered(superuser, number or phone())
    assert await reviewed(signed_in.viewer.user_id) is Status.ACTIVE
    return await again(signed_in.viewer)


async def staff(role: Role) -> Viewer:
    """An active member of staff, signed in."""
    password_hash = await hashing.hash_password(PASSWORD)
    async with unit_of_work() as work:
        user_id = await people.create(
            work,
            role=role,
            status=Status.ACTIVE,
            name="陈思远",
            phone=phone(),
            password_hash=password_hash,
            language="zh-CN",
        )
        issued = await sessions.issue(work, user_id)
        viewer = await sessions.viewer_of(work, issued.access_token)
    assert viewer is not None
    return viewer


async def again(viewer: Viewer) -> Viewer:
    """The caller as a new request would find them."""
    assert viewer.session_id is not None
    async with unit_of_work() as work:
        current = await sessions.viewer_by_session(work, viewer.session_id)
    assert current is not None
    return current


async def pass_time(connection: asyncpg.Connection, seconds: int) -> None:
    """Move the database's clock; the superuser's connection may."""
    await connection.execute(
        "update ledger.clock_offset set value = value + make_interval(secs => $1)", seconds
    )
