"""Open sockets when something changes; looking at one's sessions and devices, and ending them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from domain import refusals
from domain.identity import ANONYMOUS, Role, Status, Viewer
from domain.proofs import Action
from infra import encryption
from resolvers import devices, proof_challenges, proofs, sessions
from services.identity import proofs as proof_verbs
from services.identity.arrivals import SignedIn
from services.unit_of_work import unit_of_work
from tests import passkeys as keys
from tests import people as make
from tests import recovery
from tests.demo.device import DeviceKey

pytestmark = pytest.mark.usefixtures("app")
WINDOW: dict[str, Any] = {"limit": 10, "after": None, "before": None, "backwards": False}


async def test_a_stranger_stays_and_a_caller_stays_with_what_is_new() -> None:
    assert await sessions.current(ANONYMOUS) == ("STAYS", ANONYMOUS)


async def test_an_approval_is_known_to_the_open_socket(superuser: asyncpg.Connection) -> None:
    applicant = (await make.registered(superuser, make.phone())).viewer
    assert applicant.status is Status.PENDING_REVIEW
    await make.reviewed(applicant.user_id)
    standing, current = await sessions.current(applicant)
    assert standing == "STAYS"
    assert (current.status, current.account_id is not None) == (Status.ACTIVE, True)


@pytest.mark.parametrize("change", ["role = 'SUPPORT'", "role = 'RESIDENT'", "status = 'REJECTED'"])
async def test_whoever_lost_a_role_or_the_approval_loses_the_socket(
    superuser: asyncpg.Connection, change: str
) -> None:
    finance = await make.staff(Role.FINANCE)
    assert (await sessions.current(finance))[0] == "STAYS"
    await superuser.execute(f"update users set {change} where id = $1", finance.user_id)
    assert (await sessions.current(finance))[0] == "OVER"


@pytest.mark.parametrize("status", [2, 3])
async def test_a_freeze_has_the_socket_come_back_and_its_end_does_not(
    superuser: asyncpg.Connection, status: int
) -> None:
    viewer = await make.resident(superuser)
    await superuser.execute("update ledger.account set status = $1", status)
    standing, frozen = await sessions.current(viewer)
    assert (standing, frozen.account_status) == ("COMES_BACK", status)
    assert (await sessions.current(frozen))[0] == "STAYS", "who came back is met as frozen"
    await superuser.execute("update ledger.account set status = 1")
    assert (await sessions.current(frozen))[0] == "STAYS"


async def test_a_session_that_is_over_ends_the_socket(superuser: asyncpg.Connection) -> None:
    signed_in = await make.registered(superuser, make.phone())
    await sessions.logout(ANONYMOUS, refresh_token=signed_in.session.refresh_token)
    assert (await sessions.current(signed_in.viewer))[0] == "OVER"


async def test_a_closed_account_ends_the_socket_and_the_next_request(
    superuser: asyncpg.Connection,
) -> None:
    signed_in = await make.registered(superuser, make.phone())
    await superuser.execute("update users set status = 'CLOSED'")
    assert (await sessions.current(signed_in.viewer))[0] == "OVER"
    assert await lives(signed_in) is False


async def lives(signed_in: SignedIn) -> bool:
    viewer, state = await sessions.caller(f"Bearer {signed_in.session.access_token}")
    return state == "valid" and viewer.signed_in


async def second(viewer: Viewer, key: DeviceKey | None = None) -> SignedIn:
    """The same person on one more device."""
    async with unit_of_work() as work:
        return await make.arrived(work, viewer.user_id, key)


async def test_sessions_and_devices_are_listed_newest_first_to_their_owner_only(
    superuser: asyncpg.Connection,
) -> None:
    first = await make.registered(superuser, make.phone())
    other = await second(first.viewer)
    stranger = await make.registered(superuser, make.phone())

    shown = await sessions.session_page(first.viewer, **WINDOW)
    assert [one.id for one in shown] == [other.session.session_id, first.session.session_id]
    assert {one.network for one in shown} == {"192.0.*.*"}
    known = await devices.device_page(first.viewer, **WINDOW)
    assert [one.id for one in known] == [other.device.id, first.device.id]
    assert await sessions.sessions_by_ids(stranger.viewer, [shown[0].id]) == {}
    assert await devices.devices_by_ids(stranger.viewer, [known[0].id]) == {}

    page = await sessions.session_page(first.viewer, **WINDOW | {"limit": 1})
    key = (page[0].created_at, page[0].id)
    rest = await sessions.session_page(first.viewer, **WINDOW | {"after": key})
    assert [one.id for one in rest] == [first.session.session_id]
    back = await devices.device_page(first.viewer, **WINDOW | {"backwards": True})
    assert [one.id for one in back] == [first.device.id, other.device.id]
    key = (known[0].created_at, known[0].id)
    rest_known = await devices.device_page(first.viewer, **WINDOW | {"after": key})
    assert [one.id for one in rest_known] == [first.device.id]


async def test_one_session_is_revoked_and_the_other_goes_on(
    superuser: asyncpg.Connection,
) -> None:
    first = await make.registered(superuser, make.phone())
    other = await second(first.viewer)
    await sessions.revoke_session(first.viewer, session_id=other.session.session_id)
    assert (await lives(first), await lives(other)) == (True, False)
    assert (await sessions.current(other.viewer))[0] == "OVER"
    await sessions.revoke_session(first.viewer, session_id=other.session.session_id)
    assert [one.id for one in await sessions.session_page(first.viewer, **WINDOW)] == [
        first.session.session_id
    ]
    assert await superuser.fetchval("select count(*) from device where revoked_at is null") == 2


async def test_strangers_sessions_and_devices_are_not_found_and_go_on(
    superuser: asyncpg.Connection,
) -> None:
    mine = await make.registered(superuser, make.phone())
    stranger = await make.registered(superuser, make.phone())
    for session_id in (mine.session.session_id, uuid4(), None):
        with pytest.raises(refusals.NotFound):
            await sessions.revoke_session(stranger.viewer, session_id=session_id)
    for device_id in (mine.device.id, uuid4(), None):
        with pytest.raises(refusals.NotFound):
            await devices.revoke_device(stranger.viewer, device_id=device_id)
    assert await lives(mine)
    assert await superuser.fetchval("select count(*) from device where revoked_at is null") == 2
    assert await superuser.fetchval("select count(*) from notice") == 0


@pytest.mark.parametrize("except_this", [True, False])
async def test_logging_out_everywhere_ends_all_sessions_and_logins_under_way(
    superuser: asyncpg.Connection, except_this: bool
) -> None:
    number, key = make.phone(), DeviceKey()
    first = await make.registered(superuser, number, key=key)
    others = [await second(first.viewer) for _ in range(3)]
    stranger = await make.registered(superuser, make.phone())
    challenge = await make.challenged(number)

    ended = await sessions.logout_everywhere(first.viewer, except_this=except_this)

    assert ended == 3 + (not except_this)
    assert not any([await lives(one) for one in others])
    assert await lives(first) is except_this
    assert await lives(stranger)
    with pytest.raises(refusals.LoginChallengeInvalid):
        await make.complete(challenge, key)
    await make.signed_in_again(number, key)


async def test_staff_end_all_sessions_of_somebody_who_is_told(
    superuser: asyncpg.Connection,
) -> None:
    number, key = make.phone(), DeviceKey()
    viewer = await make.resident(superuser, number, key=key)
    first, other = await make.signed_in_again(number, key), await second(viewer)
    stranger = await make.registered(superuser, make.phone())
    challenge = await make.challenged(number)
    proof = await proof_challenges.request_step_up_challenge(
        other.viewer, action=Action.CLOSE_ACCOUNT, subject=""
    )
    member = await make.staff(Role.RISK)
    await superuser.execute("delete from ledger.outbox")

    ended = await sessions.end_sessions(member, user_id=viewer.user_id, reason="手机被盗")

    assert ended == 3
    assert [await lives(one) for one in (first, other, stranger)] == [False, False, True]
    assert (await sessions.current(other.viewer))[0] == "OVER"
    assert await refresh(first, key) is None
    with pytest.raises(refusals.LoginChallengeInvalid):
        await make.complete(challenge, key)
    open_ = "select count(*) from proof_challenge where id = $1 and used_at is null"
    assert await superuser.fetchval(open_, proof.id) == 0
    kinds = await superuser.fetch("select kind from notice where user_id = $1", viewer.user_id)
    assert [row["kind"] for row in kinds].count("SIGNED_OUT_BY_STAFF") == 1
    assert [one.phone for one in await recovery.sms_to_send(superuser)] == [number]
    row = await superuser.fetchrow(
        "select actor_id, action, object, detail, reason, id from audit_entry"
        " where action = 'END_SESSIONS'"
    )
    assert row is not None
    assert tuple(row)[:3] == (member.user_id, "END_SESSIONS", f"user:{viewer.user_id}")
    assert encryption.decrypt("audit_entry.reason", row["id"], row["reason"]) == "手机被盗"
    await make.signed_in_again(number, key)  # devices stay known


async def test_staff_end_neither_their_own_sessions_nor_nobodys_and_others_none_at_all(
    superuser: asyncpg.Connection,
) -> None:
    signed_in = await make.registered(superuser, make.phone())
    admin = await make.staff(Role.ADMIN)

    async def end(viewer: Viewer, user_id: int, reason: str = "异常登录") -> int:
        return await sessions.end_sessions(viewer, user_id=user_id, reason=reason)

    with pytest.raises(refusals.ReviewerIsParty):
        await end(admin, admin.user_id)
    with pytest.raises(refusals.NotFound):
        await end(admin, 2**40)
    with pytest.raises(refusals.InvalidInput):
        await end(admin, signed_in.viewer.user_id, " ")
    with pytest.raises(refusals.ElevationRequired):
        await end(await make.staff(Role.RISK, elevated=False), signed_in.viewer.user_id)
    for role in (Role.SUPPORT, Role.FINANCE, Role.COMPLIANCE, Role.AUDITOR):
        with pytest.raises(refusals.NotPermitted):
            await end(await make.staff(role), signed_in.viewer.user_id)
    with pytest.raises(refusals.NotPermitted):
        await end(signed_in.viewer, admin.user_id)
    assert await lives(signed_in)
    assert await superuser.fetchval("select count(*) from audit_entry") == 0
    assert await superuser.fetchval("select count(*) from notice") == 0

    assert await end(admin, signed_in.viewer.user_id) == 1
    assert await end(admin, signed_in.viewer.user_id) == 0
    assert await superuser.fetchval("select count(*) from notice") == 1, "told once"
    await superuser.execute(
        "update users set status = 'CLOSED' where id = $1", signed_in.viewer.user_id
    )
    with pytest.raises(refusals.NotFound):
        await end(admin, signed_in.viewer.user_id)


async def test_whatever_was_proved_before_is_worth_nothing_after_staff_ended_the_sessions(
    superuser: asyncpg.Connection,
) -> None:
    owner = await recovery.owner(superuser)
    device = await recovery.with_device(owner)
    proof = await keys.stepping(owner.viewer, device, Action.CLOSE_ACCOUNT)
    proof_id = await proofs.step_up(owner.viewer, proof, action=Action.CLOSE_ACCOUNT)
    admin = await make.staff(Role.ADMIN)
    await sessions.end_sessions(admin, user_id=owner.viewer.user_id, reason="异常登录")
    async with unit_of_work() as work:
        with pytest.raises(refusals.ProofRequired):
            await proof_verbs.use_step_up(
                work, proof_id, user_id=owner.viewer.user_id, action=Action.CLOSE_ACCOUNT
            )


async def test_revoking_a_device_ends_its_sessions_and_no_others(
    superuser: asyncpg.Connection,
) -> None:
    number, key = make.phone(), DeviceKey()
    first = await make.registered(superuser, number, key=key)
    same, other = await make.signed_in_again(number, key), await second(first.viewer)

    for _ in range(2):
        device, ended = await devices.revoke_device(other.viewer, device_id=first.device.id)
        assert device.revoked_at is not None
    assert ended == 0, "the second time there is nothing left"
    assert [await lives(one) for one in (first, same, other)] == [False, False, True]
    issued = await refresh(first, key)
    assert issued is None
    kinds = await superuser.fetch("select kind from notice")
    assert [row["kind"] for row in kinds] == ["DEVICE_REVOKED"]
    assert len(await devices.device_page(other.viewer, **WINDOW)) == 1


async def refresh(signed_in: SignedIn, key: DeviceKey) -> object:
    token = signed_in.session.refresh_token
    try:
        return await sessions.refresh_session(
            ANONYMOUS,
            refresh_token=token,
            device_signature=key.refresh_signature(token),
            address=make.ADDRESS,
        )
    except refusals.SessionInvalid:
        return None


async def test_a_device_is_seen_last_when_its_session_was_refreshed(
    superuser: asyncpg.Connection,
) -> None:
    key = DeviceKey()
    first = await make.registered(superuser, make.phone(), key=key)
    await make.pass_time(superuser, 300)
    assert await refresh(first, key) is not None
    [device] = await devices.device_page(first.viewer, **WINDOW)
    [session] = await sessions.session_page(first.viewer, **WINDOW)
    assert device.last_seen_at == session.last_seen_at
    assert (device.last_seen_at - device.created_at).total_seconds() >= 300


async def test_a_device_keeps_its_key_and_stays_revoked_also_for_the_apps_own_login(
    superuser: asyncpg.Connection, api: asyncpg.Connection
) -> None:
    first = await make.registered(superuser, make.phone())
    await devices.revoke_device(first.viewer, device_id=first.device.id)
    for change in (
        "update device set revoked_at = null",
        "update device set public_key = ''",
        "update device set user_id = user_id + 1",
        "delete from device",
        "delete from login_challenge",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.execute(change)
