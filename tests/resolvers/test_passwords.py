"""Changing a password: who may, what ends, what is told, and what a refusal leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from domain import refusals
from domain.identity import ANONYMOUS, Role, Viewer
from domain.ledger import Operation
from domain.proofs import Pin
from infra import hashing, settings
from resolvers import passwords, pins, proofs, registrations
from resolvers import sessions as doors
from services.identity import arrivals, challenges, sessions
from services.identity import passwords as stored_passwords
from services.unit_of_work import snapshot, unit_of_work
from tests import people as make
from tests import races
from tests.demo.device import DeviceKey

pytestmark = pytest.mark.usefixtures("app")
NEW = "Futian-9-lighthouse"
ADDRESS = "192.0.2.7"


async def change(viewer: Viewer, new_password: str = NEW, password: str = make.PASSWORD) -> Viewer:
    return await passwords.change_password(
        viewer, password=password, new_password=new_password, address=ADDRESS
    )


async def alive(viewer: Viewer) -> bool:
    assert viewer.session_id is not None
    async with snapshot() as read:
        return await sessions.viewer_by_session(read, viewer.session_id) is not None


async def kinds(superuser: asyncpg.Connection, viewer: Viewer) -> list[str]:
    rows = await superuser.fetch(
        "select kind from notice where user_id = $1 order by seq", viewer.user_id
    )
    return [row["kind"] for row in rows]


async def is_password(superuser: asyncpg.Connection, viewer: Viewer, password: str) -> bool:
    stored = await superuser.fetchval(
        "select password_hash from users where id = $1", viewer.user_id
    )
    return (await hashing.check_password(password, stored)).right


async def test_a_new_password_works_ends_all_other_sessions_and_is_told(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    other, stranger = await make.another_session(viewer), await make.resident(superuser)

    changed = await change(viewer)

    assert changed.session_id == viewer.session_id
    assert await is_password(superuser, viewer, NEW)
    assert not await is_password(superuser, viewer, make.PASSWORD)
    assert [await alive(one) for one in (viewer, other, stranger)] == [True, False, True]
    assert (await kinds(superuser, viewer))[-1] == "PASSWORD_CHANGED"
    assert await is_password(superuser, stranger, make.PASSWORD)


async def test_a_login_that_waits_for_its_second_factor_ends_with_the_old_password(
    superuser: asyncpg.Connection,
) -> None:
    number, key = make.phone(), DeviceKey()
    viewer = await make.resident(superuser, number, key=key)
    challenge = await make.challenged(number)
    await change(viewer)
    with pytest.raises(refusals.LoginChallengeInvalid):
        await make.complete(challenge, key)
    with pytest.raises(refusals.WrongCredentials):
        await make.challenged(number)
    again = await make.complete(await make.challenged(number, password=NEW), key)
    assert again.viewer.user_id == viewer.user_id


async def reset(viewer: Viewer) -> None:
    async with unit_of_work() as work:
        assert await stored_passwords.replace(work, user_id=viewer.user_id, new_hash="$2b$x")


async def sign_out(viewer: Viewer) -> None:
    boss = await make.staff(Role.RISK)
    assert await doors.end_sessions(boss, user_id=viewer.user_id, reason="异常登录")


@pytest.mark.parametrize(
    ("shut", "keeps"), [(change, True), (reset, False), (sign_out, False)],
    ids=["changed", "reset", "signed out by staff"],
)  # fmt: skip
async def test_a_login_that_completes_meanwhile_ends_too(
    superuser: asyncpg.Connection, shut: Callable[[Viewer], Awaitable[object]], keeps: bool
) -> None:
    number, key, admitted = make.phone(), DeviceKey(), asyncio.Event()
    viewer = await make.resident(superuser, number, key=key)
    challenge = await make.challenged(number)

    async def shut_then() -> None:
        await admitted.wait()
        await shut(viewer)

    shutting = asyncio.create_task(shut_then())  # before a session is open: tasks inherit that
    async with unit_of_work() as work:
        pending = await challenges.spend_try(work, challenge.secret)
        assert pending is not None
        await challenges.use(work, pending.id)
        device_id = viewer.device_id
        assert device_id is not None
        late = await arrivals.admit(work, viewer.user_id, device_id=device_id, address=ADDRESS)
        admitted.set()
        await races.blocked(superuser)
    await shutting
    assert [await alive(one) for one in (viewer, late.viewer)] == [keeps, False]


async def test_an_old_password_that_is_still_being_compared_opens_nothing_after_the_change(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = make.phone()
    viewer = await make.resident(superuser, number)
    check, let_go = hashing.check_password, iter([True])

    async def slow(password: str, stored: str | None) -> hashing.Checked:
        checked = await check(password, stored)
        if next(let_go, False):
            await change(viewer)
        return checked

    monkeypatch.setattr(hashing, "check_password", slow)
    with pytest.raises(refusals.WrongCredentials):
        await make.challenged(number)
    assert await superuser.fetchval("select count(*) from login_challenge") == 0


async def refused(
    superuser: asyncpg.Connection, viewer: Viewer, refusal: type[refusals.Refusal], **given: Any
) -> refusals.Refusal:
    """The refusal, after which everything is as before."""
    other = await make.another_session(viewer)
    with pytest.raises(refusal) as caught:
        await change(viewer, **given)
    assert await is_password(superuser, viewer, make.PASSWORD)
    assert await alive(other)
    assert "PASSWORD_CHANGED" not in await kinds(superuser, viewer)
    return caught.value


async def test_a_wrong_old_password_changes_nothing(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    no = await refused(superuser, viewer, refusals.WrongCredentials, password="not the password")
    assert no.path == ("input", "password")


@pytest.mark.parametrize("password", ["short-1", "password123", "王小明王小明!!"])
async def test_an_easy_new_password_is_refused_before_the_old_one_is_tried(
    superuser: asyncpg.Connection, password: str
) -> None:
    viewer = await make.resident(superuser)
    no = await refused(superuser, viewer, refusals.PasswordUnacceptable, new_password=password)
    assert no.path == ("input", "newPassword")
    assert await superuser.fetchval("select count(*) from login_throttle") == 0


async def test_neither_phone_nor_id_number_may_be_part_of_it(
    superuser: asyncpg.Connection,
) -> None:
    phone, number = make.phone(), make.id_number()
    signed_in = await make.registered(superuser, phone, told=registrations.Told(number))
    for password in (f"x{phone[3:]}", f"{number}-x", f"{number[6:14]}-x"):
        await refused(
            superuser, signed_in.viewer, refusals.PasswordUnacceptable, new_password=password
        )


async def test_the_old_password_in_another_form_is_no_new_one(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    for same in (make.PASSWORD, make.PASSWORD.replace("N", "Ｎ")):
        await refused(superuser, viewer, refusals.PasswordUnchanged, new_password=same)


async def test_of_many_changes_at_once_one_wins(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    answers = await races.at_once(5, lambda n: change(viewer, f"{NEW}-{n}"))
    won = [number for number, answer in enumerate(answers) if isinstance(answer, Viewer)]
    assert len(won) == 1
    assert all(
        isinstance(answer, refusals.WrongCredentials | refusals.RateLimited)
        for number, answer in enumerate(answers)
        if number not in won
    )
    assert await is_password(superuser, viewer, f"{NEW}-{won[0]}")
    assert (await kinds(superuser, viewer)).count("PASSWORD_CHANGED") == 1


async def test_guessing_the_old_password_is_slowed_down(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    answers = await races.at_once(20, lambda n: change(viewer, password=f"guess number {n}"))
    assert sum(isinstance(answer, refusals.WrongCredentials) for answer in answers) == 5
    assert sum(isinstance(answer, refusals.RateLimited) for answer in answers) == 15


async def test_a_busy_hasher_costs_no_try_and_changes_nothing(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = await make.resident(superuser)

    async def busy(*_: object) -> bytes:
        raise hashing.HasherBusy

    for name in ("hash_password", "check_password"):
        for _ in range(8):
            with monkeypatch.context() as patch:
                patch.setattr(hashing, name, busy)
                with pytest.raises(refusals.Overloaded):
                    await change(viewer)
    await change(viewer)


async def test_an_applicant_may_change_the_password_and_nobody_else_may(
    superuser: asyncpg.Connection,
) -> None:
    signed_in = await make.registered(superuser, make.phone())
    await change(signed_in.viewer)
    with pytest.raises(refusals.NotSignedIn):
        await change(ANONYMOUS)


async def test_a_pin_is_hashed_anew_when_its_pepper_or_cost_has_changed(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = await make.resident(superuser)
    await pins.set_payment_pin(viewer, password=make.PASSWORD, pin=make.PIN, address=ADDRESS)
    monkeypatch.setattr(settings.get_settings(), "pin_cost", 5)
    for _ in range(2):
        await proofs.prove(
            viewer,
            Pin(make.PIN),
            operation=Operation.TRANSFER,
            key="k",
            input_hash=b"\x01" * 32,
            amount_minor=100,
        )
        stored = await superuser.fetchval(
            "select pin_hash from users where id = $1", viewer.user_id
        )
        assert "$2b$05$" in stored
    assert await superuser.fetchval("select count(*) from ledger.proof") == 2
