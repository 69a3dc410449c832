"""Authenticator apps: set up once, each code good once, tries bounded."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg
import pyotp
import pytest

from domain import refusals
from domain import totp as rules
from domain.identity import Role, Viewer
from resolvers import sessions, totp
from services.identity import totp as service
from services.unit_of_work import unit_of_work
from tests import people
from tests.races import at_once

pytestmark = pytest.mark.usefixtures("app")
# RFC 6238, appendix B: the secret is "12345678901234567890"; eight digits there, six here.
RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


@pytest.mark.parametrize(
    ("at", "code"),
    [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_the_rfc(at: int, code: str) -> None:
    now = datetime.fromtimestamp(at, UTC)
    assert rules.matching_step(RFC_SECRET, code, now=now, after_step=0) == at // 30


def test_a_clock_may_be_one_step_off_and_no_more() -> None:
    now = datetime.fromtimestamp(1_800_000_000, UTC)
    step = rules.step_at(now)
    for off in range(-3, 4):
        code = pyotp.TOTP(RFC_SECRET).generate_otp(step + off)
        found = rules.matching_step(RFC_SECRET, code, now=now, after_step=0)
        assert found == (step + off if abs(off) <= 1 else None)
    current = pyotp.TOTP(RFC_SECRET).generate_otp(step)
    assert rules.matching_step(RFC_SECRET, current, now=now, after_step=step) is None
    for wrong in ("", "12345", "1234567", "１２３４５６", "abcdef", current + "\n"):
        assert rules.matching_step(RFC_SECRET, wrong, now=now, after_step=0) is None


async def code_at(superuser: asyncpg.Connection, secret: str, *, steps: int = 0) -> str:
    now = await superuser.fetchval("select ledger.now()")
    return pyotp.TOTP(secret).generate_otp(rules.step_at(now) + steps)


async def enrolled(superuser: asyncpg.Connection, viewer: Viewer) -> str:
    """The secret of an authenticator that works, its newest code used."""
    made = await totp.enrol_totp(viewer, password=people.PASSWORD, address="192.0.2.1")
    await totp.confirm_totp(viewer, code=await code_at(superuser, made.secret))
    await people.pass_time(superuser, 60)
    return made.secret


async def check(viewer: Viewer, code: str) -> refusals.Refusal | None:
    async with unit_of_work() as work:
        return await service.check(work, viewer.user_id, code)


async def test_a_secret_is_shown_once_sealed_and_works_after_a_first_code(
    superuser: asyncpg.Connection,
) -> None:
    support = await people.staff(Role.SUPPORT)
    made = await totp.enrol_totp(support, password=people.PASSWORD, address="192.0.2.1")
    assert made.uri.startswith("otpauth://totp/Pengcheng%20Wallet:")
    assert f"secret={made.secret}" in made.uri
    assert made.secret not in repr(made)
    kept = await superuser.fetchval("select secret from totp")
    assert made.secret.encode() not in kept
    code = await code_at(superuser, made.secret)
    assert isinstance(await check(support, code), refusals.TotpNotSet), "not confirmed yet"
    assert not await totp.has_totp(support)
    await totp.confirm_totp(support, code=code)
    assert await totp.has_totp(support)
    kinds = await superuser.fetch("select kind from notice where user_id = $1", support.user_id)
    assert [row["kind"] for row in kinds] == ["AUTHENTICATOR_ADDED"]
    with pytest.raises(refusals.TotpAlreadySet):
        await totp.enrol_totp(support, password=people.PASSWORD, address="192.0.2.1")
    assert await superuser.fetchval("select secret from totp") == kept


async def test_until_it_is_confirmed_a_later_secret_replaces_it(
    superuser: asyncpg.Connection,
) -> None:
    support = await people.staff(Role.SUPPORT)
    old = await totp.enrol_totp(support, password=people.PASSWORD, address="192.0.2.1")
    new = await totp.enrol_totp(support, password=people.PASSWORD, address="192.0.2.1")
    with pytest.raises(refusals.TotpInvalid):
        await totp.confirm_totp(support, code=await code_at(superuser, old.secret))
    await totp.confirm_totp(support, code=await code_at(superuser, new.secret))


async def test_a_wrong_password_and_a_resident_get_no_secret(
    superuser: asyncpg.Connection,
) -> None:
    support = await people.staff(Role.SUPPORT)
    with pytest.raises(refusals.WrongCredentials):
        await totp.enrol_totp(support, password="not the password", address="192.0.2.1")
    resident = await people.resident(superuser)
    with pytest.raises(refusals.NotPermitted):
        await totp.enrol_totp(resident, password=people.PASSWORD, address="192.0.2.1")
    assert await superuser.fetchval("select count(*) from totp") == 0


async def test_of_many_uses_of_one_code_at_once_one_is_right(
    superuser: asyncpg.Connection,
) -> None:
    support = await people.staff(Role.SUPPORT)
    code = await code_at(superuser, await enrolled(superuser, support))

    async def use(_: int) -> refusals.Refusal | None:
        return await check(support, code)

    answers = await at_once(4, use)
    assert answers.count(None) == 1
    assert sum(isinstance(one, refusals.TotpInvalid) for one in answers) == 3


async def test_an_older_code_does_not_work_after_a_newer_one(
    superuser: asyncpg.Connection,
) -> None:
    support = await people.staff(Role.SUPPORT)
    secret = await enrolled(superuser, support)
    assert await check(support, await code_at(superuser, secret, steps=1)) is None
    assert isinstance(await check(support, await code_at(superuser, secret)), refusals.TotpInvalid)


async def test_five_wrong_codes_block_for_a_while_also_the_right_one(
    superuser: asyncpg.Connection,
) -> None:
    support = await people.staff(Role.SUPPORT)
    secret = await enrolled(superuser, support)
    wrong = await code_at(superuser, secret, steps=50)
    for _ in range(rules.TRIES):
        assert isinstance(await check(support, wrong), refusals.TotpInvalid)
    assert isinstance(await check(support, await code_at(superuser, secret)), refusals.RateLimited)
    await people.pass_time(superuser, rules.BLOCK_SECONDS + 1)
    assert await check(support, await code_at(superuser, secret)) is None


async def test_only_another_admin_removes_it_and_the_sessions_end(
    superuser: asyncpg.Connection,
) -> None:
    support, admin = await people.staff(Role.SUPPORT), await people.staff(Role.ADMIN)
    await enrolled(superuser, support)
    await enrolled(superuser, admin)
    plain = await people.staff(Role.ADMIN, elevated=False)
    for viewer, refusal in (
        (support, refusals.NotPermitted),
        (plain, refusals.ElevationRequired),
    ):
        with pytest.raises(refusal):
            await totp.remove_totp(viewer, user_id=support.user_id, reason="手机丢失")
    with pytest.raises(refusals.ReviewerIsParty):
        await totp.remove_totp(admin, user_id=admin.user_id, reason="手机丢失")
    assert await superuser.fetchval("select count(*) from totp") == 2

    member = await totp.remove_totp(admin, user_id=support.user_id, reason="手机丢失")
    assert not member.has_totp
    assert (await sessions.current(support))[0] == "OVER"
    entry = await superuser.fetchrow(
        "select actor_id, object from audit_entry where action = 'REMOVE_AUTHENTICATOR'"
    )
    assert tuple(entry) == (admin.user_id, f"user:{support.user_id}")
    with pytest.raises(refusals.TotpNotSet):
        await totp.remove_totp(admin, user_id=support.user_id, reason="手机丢失")


async def test_a_login_cannot_take_a_used_code_back(
    superuser: asyncpg.Connection, api: asyncpg.Connection
) -> None:
    await enrolled(superuser, await people.staff(Role.SUPPORT))
    for statement in (
        "update totp set last_step = 0",
        "update totp set confirmed_at = null",
        "update totp set user_id = 7",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.execute(statement)
