"""Crashes inside signing in, going on and ending it, and the same call again."""

from __future__ import annotations

import asyncpg

from domain import refusals
from domain.identity import ANONYMOUS, Role
from resolvers import devices, logins, sessions
from services import people as services_people
from services.identity.arrivals import SignedIn
from services.unit_of_work import unit_of_work
from tests import movement as town
from tests import people
from tests.demo.device import DeviceKey
from tests.money.crashes import Case, Verbs, leaves

VERBS = Verbs()


async def _arrived(key: DeviceKey, number: str) -> SignedIn:
    user_id = (await town.resident(number=number)).user_id
    async with unit_of_work() as work:
        return await people.arrived(work, user_id, key)


@VERBS.covering("resolvers.logins.login")
async def opening_a_challenge(superuser: asyncpg.Connection) -> Case:
    number = people.phone()
    viewer = await town.resident(number=number)

    async def run() -> None:
        await people.challenged(number)

    return Case(
        run,
        leaves(
            superuser,
            # Whoever never got the challenge asks for another one: no try is counted.
            "select (select count(*) from login_challenge where user_id = $1) > 0,"
            " (select count(*) from session where user_id = $1)",
            viewer.user_id,
        ),
    )


@VERBS.covering("resolvers.logins.send_login_code")
async def asking_for_a_login_code(superuser: asyncpg.Connection) -> Case:
    number = people.phone()
    await town.resident(number=number)
    challenge = await people.challenged(number)

    async def run() -> None:
        try:
            await logins.send_login_code(
                ANONYMOUS, secret=challenge.secret, address=number, language="zh-CN"
            )
        except refusals.RateLimited:
            return  # one is on its way

    return Case(
        run,
        leaves(
            superuser,
            "select v.tries_left, (select count(*) from ledger.outbox"
            " where job = 'send_code' and args ->> 'code_id' = v.id::text)"
            " from verification_code v where phone_index = $1",
            services_people.phone_index(number),
        ),
    )


@VERBS.covering("resolvers.logins.complete_login")
async def completing_a_login_on_a_new_device(superuser: asyncpg.Connection) -> Case:
    number, key = people.phone(), DeviceKey()
    viewer = await town.resident(number=number)
    challenge = await people.challenged(number)
    proof = await people.login_code(superuser, challenge, number)

    async def run() -> None:
        try:
            await people.complete_by_code(challenge, proof, key)
        except refusals.LoginChallengeInvalid:
            return  # it was used: by the call whose answer was lost; the device is known since

    return Case(
        run,
        leaves(
            superuser,
            "select (select count(*) from session where user_id = $1),"
            " (select count(*) from device where user_id = $1),"
            " (select count(*) from notice where user_id = $1 and kind = 'NEW_DEVICE'),"
            " (select count(*) from login_challenge where user_id = $1 and used_at is not null),"
            " (select count(*) from verification_code where phone_index = $2"
            "   and used_at is not null)",
            viewer.user_id,
            services_people.phone_index(number),
        ),
    )


@VERBS.covering("resolvers.sessions.refresh_session")
async def refreshing(superuser: asyncpg.Connection) -> Case:
    key = DeviceKey()
    issued = (await _arrived(key, people.phone())).session
    token = issued.refresh_token
    answered: list[str] = []

    async def run() -> None:
        made = await sessions.refresh_session(
            ANONYMOUS,
            refresh_token=token,
            device_signature=key.refresh_signature(token),
            address=people.ADDRESS,
        )
        answered.append(made.access_token)

    async def effect() -> object:
        """The answer that came at last works: a lost one costs nobody the session."""
        viewer, state = await sessions.caller(f"Bearer {answered[-1]}")
        return state, viewer.session_id == issued.session_id

    return Case(run, effect)


@VERBS.covering("resolvers.sessions.logout")
async def signing_out(superuser: asyncpg.Connection) -> Case:
    issued = (await _arrived(DeviceKey(), people.phone())).session

    async def run() -> None:
        await sessions.logout(ANONYMOUS, refresh_token=issued.refresh_token)

    return Case(
        run,
        leaves(superuser, "select revoked_reason from session where id = $1", issued.session_id),
    )


@VERBS.covering("resolvers.sessions.revoke_session")
async def revoking_a_session(superuser: asyncpg.Connection) -> Case:
    signed_in = await _arrived(DeviceKey(), people.phone())
    issued = signed_in.session

    async def run() -> None:
        await sessions.revoke_session(signed_in.viewer, session_id=issued.session_id)

    return Case(
        run,
        leaves(superuser, "select revoked_reason from session where id = $1", issued.session_id),
    )


@VERBS.covering("resolvers.sessions.logout_everywhere")
async def logging_out_everywhere(superuser: asyncpg.Connection) -> Case:
    number = people.phone()
    signed_in = await _arrived(DeviceKey(), number)
    await people.challenged(number)

    async def run() -> None:
        await sessions.logout_everywhere(signed_in.viewer, except_this=False)

    return Case(
        run,
        leaves(
            superuser,
            "select (select count(*) from session where user_id = $1 and revoked_at is null),"
            " (select count(*) from login_challenge where user_id = $1 and used_at is null)",
            signed_in.viewer.user_id,
        ),
    )


@VERBS.covering("resolvers.sessions.end_sessions")
async def ending_anothers_sessions(superuser: asyncpg.Connection) -> Case:
    number, member = people.phone(), await people.staff(Role.RISK)
    signed_in = await _arrived(DeviceKey(), number)
    await people.challenged(number)

    async def run() -> None:
        await sessions.end_sessions(member, user_id=signed_in.viewer.user_id, reason="手机被盗")

    return Case(
        run,
        leaves(
            superuser,
            # Told once; each call is recorded, also the one whose answer was lost.
            "select (select count(*) from session where user_id = $1 and revoked_at is null),"
            " (select count(*) from login_challenge where user_id = $1 and used_at is null),"
            " (select count(*) from notice where user_id = $1 and kind = 'SIGNED_OUT_BY_STAFF'),"
            " (select count(*) from audit_entry where actor_id = $2) > 0",
            signed_in.viewer.user_id,
            member.user_id,
        ),
    )


@VERBS.covering("resolvers.devices.revoke_device")
async def revoking_a_device(superuser: asyncpg.Connection) -> Case:
    signed_in = await _arrived(DeviceKey(), people.phone())

    async def run() -> None:
        await devices.revoke_device(signed_in.viewer, device_id=signed_in.device.id)

    return Case(
        run,
        leaves(
            superuser,
            "select d.revoked_at is not null,"
            " (select count(*) from session where device_id = d.id and revoked_at is null),"
            " (select count(*) from notice where user_id = d.user_id and kind = 'DEVICE_REVOKED')"
            " from device d where id = $1",
            signed_in.device.id,
        ),
    )


async def test_signing_in_and_out_survives_a_crash_at_every_point(counter, superuser) -> None:
    await VERBS.survive(superuser)
