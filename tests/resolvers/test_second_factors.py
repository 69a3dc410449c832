"""Staff sign in by passkey or authenticator; whoever has none yet may set one up, and no more."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from domain import refusals
from domain.identity import ANONYMOUS, LoginMethod, Role, Viewer
from domain.staffing import StaffRole
from resolvers import identity, logins, notices, passkeys, passwords, sessions, staffing, totp
from resolvers.logins import Challenged
from services import people as services_people
from services.identity import totp as totp_service
from services.identity.arrivals import SignedIn
from services.identity.second_factors import PasskeyProof, TotpProof
from services.unit_of_work import unit_of_work
from tests import movement as town
from tests import passkeys as keys
from tests import people
from tests.authenticator import Authenticator
from tests.demo.device import DeviceKey
from tests.people import ADDRESS
from tests.races import at_once
from tests.services.test_totp import code_at, enrolled

pytestmark = pytest.mark.usefixtures("counter")


def number_of(viewer: Viewer) -> str:
    return services_people.phone_of(viewer)


async def complete(
    challenge: Challenged, method: LoginMethod, proof: Any, *, key: DeviceKey | None = None
) -> SignedIn:
    """The second step on a new device."""
    return await logins.complete_login(
        ANONYMOUS,
        secret=challenge.secret,
        method=method,
        proof=proof,
        device=people.described(key or DeviceKey()),
        address=ADDRESS,
    )


async def by_code(superuser: asyncpg.Connection, number: str) -> SignedIn:
    """The second step by a code, a minute after any other code."""
    await people.pass_time(superuser, 61)
    challenge = await people.challenged(number)
    proof = await people.login_code(superuser, challenge, number)
    return await complete(challenge, LoginMethod.CODE, proof)


async def sessions_of(superuser: asyncpg.Connection, viewer: Viewer) -> int:
    return await superuser.fetchval(
        "select count(*) from session where user_id = $1 and revoked_at is null", viewer.user_id
    )


async def test_staff_sign_in_by_their_authenticator_and_a_code_signs_in_once(
    superuser: asyncpg.Connection,
) -> None:
    officer = await people.staff(Role.RISK)
    secret = await enrolled(superuser, officer)
    challenge = await people.challenged(number_of(officer))
    assert (challenge.methods, challenge.passkey_options) == ([LoginMethod.TOTP], None)
    code = await code_at(superuser, secret)
    signed_in = await complete(challenge, LoginMethod.TOTP, TotpProof(code))
    assert signed_in.viewer.second_factor
    assert not signed_in.viewer.must_enrol
    await notices.unread_count(signed_in.viewer)

    with pytest.raises(refusals.TotpInvalid) as refused:
        await complete(
            await people.challenged(number_of(officer)), LoginMethod.TOTP, TotpProof(code)
        )
    assert refused.value.path == ("input", "proof", "totp")


async def test_of_many_logins_with_one_code_of_an_authenticator_one_signs_in(
    superuser: asyncpg.Connection,
) -> None:
    officer = await people.staff(Role.RISK)
    code = await code_at(superuser, await enrolled(superuser, officer))
    before = await sessions_of(superuser, officer)
    opened = [await people.challenged(number_of(officer)) for _ in range(4)]

    async def enter(number: int) -> str:
        try:
            await complete(opened[number], LoginMethod.TOTP, TotpProof(code))
        except refusals.TotpInvalid:
            return "refused"
        return "in"

    assert sorted(await at_once(4, enter)) == ["in", "refused", "refused", "refused"]
    assert await sessions_of(superuser, officer) == before + 1


async def test_staff_sign_in_by_a_passkeys_answer_to_this_challenge(
    superuser: asyncpg.Connection,
) -> None:
    officer = await people.staff(Role.RISK)
    device, _ = await keys.added(officer)
    other = await people.challenged(number_of(officer))
    challenge = await people.challenged(number_of(officer))
    assert challenge.methods == [LoginMethod.PASSKEY]
    assert challenge.passkey_options is not None
    assert other.passkey_options is not None
    for wrong in (
        device.get(other.passkey_options),  # of another challenge
        device.get(challenge.passkey_options, origin="https://wallet.example"),
        Authenticator().get(challenge.passkey_options),
        "no credential",
    ):
        with pytest.raises(refusals.PasskeyInvalid):
            await complete(challenge, LoginMethod.PASSKEY, PasskeyProof(wrong))
    answer = PasskeyProof(device.get(challenge.passkey_options))
    signed_in = await complete(challenge, LoginMethod.PASSKEY, answer)
    assert signed_in.viewer.second_factor
    with pytest.raises(refusals.LoginChallengeInvalid):
        await complete(challenge, LoginMethod.PASSKEY, answer)


async def test_a_copied_passkey_signs_nobody_in_and_its_owner_is_told(
    superuser: asyncpg.Connection,
) -> None:
    officer = await people.staff(Role.RISK)
    device, _ = await keys.added(officer)
    challenge = await people.challenged(number_of(officer))
    assert challenge.passkey_options is not None
    before = await sessions_of(superuser, officer)
    copy = PasskeyProof(device.get(challenge.passkey_options, count=1))
    with pytest.raises(refusals.PasskeyInvalid):
        await complete(challenge, LoginMethod.PASSKEY, copy)
    assert await sessions_of(superuser, officer) == before
    told = "select count(*) from notice where user_id = $1 and kind = 'PASSKEY_REFUSED'"
    assert await superuser.fetchval(told, officer.user_id) == 1


async def test_a_residents_passkey_is_a_second_factor_too_and_a_code_goes_on_to_do(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await people.resident(superuser)
    device, _ = await keys.added(viewer)
    challenge = await people.challenged(number_of(viewer))
    assert challenge.methods == [
        LoginMethod.DEVICE_KEY,
        LoginMethod.CODE,
        LoginMethod.PASSKEY,
    ]
    assert challenge.passkey_options is not None
    answer = PasskeyProof(device.get(challenge.passkey_options))
    await complete(challenge, LoginMethod.PASSKEY, answer)
    await by_code(superuser, number_of(viewer))
    with pytest.raises(refusals.TotpNotSet):
        await complete(
            await people.challenged(number_of(viewer)), LoginMethod.TOTP, TotpProof("123456")
        )


async def test_a_code_or_a_known_device_is_not_enough_for_staff_and_no_code_is_sent(
    superuser: asyncpg.Connection,
) -> None:
    officer, key = await people.staff(Role.RISK), DeviceKey()
    async with unit_of_work() as work:
        await people.arrived(work, officer.user_id, key)
    early = await people.challenged(number_of(officer))
    code = await people.login_code(superuser, early, number_of(officer))
    await enrolled(superuser, officer)
    before = await sessions_of(superuser, officer)
    asked = "select count(*) from verification_code"
    codes = await superuser.fetchval(asked)

    challenge = await people.challenged(number_of(officer))
    with pytest.raises(refusals.SecondFactorTooWeak):
        await logins.send_login_code(
            ANONYMOUS, secret=challenge.secret, address=ADDRESS, language="zh-CN"
        )
    with pytest.raises(refusals.SecondFactorTooWeak):
        await people.complete(challenge, key)
    with pytest.raises(refusals.SecondFactorTooWeak):  # sent before there was an authenticator
        await complete(early, LoginMethod.CODE, code)
    assert await superuser.fetchval(asked) == codes
    assert await superuser.fetchval("select used_at from verification_code") is None
    assert await sessions_of(superuser, officer) == before


async def fresh(superuser: asyncpg.Connection) -> Viewer:
    """A member of staff without any second factor, signed in by code."""
    officer = await people.staff(Role.RISK)
    return (await by_code(superuser, number_of(officer))).viewer


async def test_the_first_sign_in_opens_nothing_but_setting_a_second_factor_up(
    superuser: asyncpg.Connection,
) -> None:
    officer = await fresh(superuser)
    assert officer.must_enrol
    assert identity.me(officer).role is Role.RISK
    for shut in (
        notices.unread_count(officer),
        passwords.change_password(
            officer,
            current_password=people.PASSWORD,
            new_password="Another-harbour-9",
            address=ADDRESS,
        ),
        staffing.members(officer, limit=1, after=None, before=None, backwards=False),
    ):
        with pytest.raises(refusals.SecondFactorRequired):
            await shut

    await enrolled(superuser, officer)
    opened = await people.again(officer)
    assert not opened.must_enrol
    recorded = await superuser.fetch(
        "select action from audit_entry where actor_id = $1 order by created_at", officer.user_id
    )
    assert [row["action"] for row in recorded] == ["ENROL_AUTHENTICATOR", "ADD_AUTHENTICATOR"]
    await notices.unread_count(opened)


async def test_a_passkey_is_a_first_second_factor_too(superuser: asyncpg.Connection) -> None:
    officer = await fresh(superuser)
    await keys.added(officer)
    assert not (await people.again(officer)).must_enrol


async def test_with_the_first_second_factor_all_other_sessions_and_logins_end(
    superuser: asyncpg.Connection,
) -> None:
    officer = await fresh(superuser)
    thief = (await by_code(superuser, number_of(officer))).viewer
    early = await people.challenged(number_of(officer))
    await enrolled(superuser, officer)
    assert (await sessions.current(thief))[0] == "OVER"
    with pytest.raises(refusals.LoginChallengeInvalid):
        await complete(early, LoginMethod.TOTP, TotpProof("123456"))


async def test_whoever_signed_in_by_less_adds_no_second_factor_beside_one(
    superuser: asyncpg.Connection,
) -> None:
    """A login by code that comes through while the owner sets an authenticator up."""
    officer = await fresh(superuser)
    await enrolled(superuser, officer)
    thief = await people.signed_in(officer.user_id, second_factor=False)
    assert thief.must_enrol
    asked = await keys.begun(thief)
    with pytest.raises(refusals.SecondFactorRequired):
        await passkeys.register_passkey(
            thief,
            challenge_id=asked.id,
            credential=Authenticator().create(asked.options),
            name="手机",
        )
    with pytest.raises(refusals.TotpAlreadySet):
        await totp.enrol_totp(thief, password=people.PASSWORD, address=ADDRESS)
    assert await superuser.fetchval("select count(*) from passkey") == 0
    assert (await people.again(thief)).must_enrol


async def test_of_two_first_second_factors_at_once_one_is_set_up(
    superuser: asyncpg.Connection,
) -> None:
    officer = await fresh(superuser)
    other = (await by_code(superuser, number_of(officer))).viewer
    async with unit_of_work() as work:
        made = await totp_service.enrol(work, officer.user_id, label="")
    code = await code_at(superuser, made.secret)
    asked = await keys.begun(other)
    credential = Authenticator().create(asked.options)

    async def set_up(number: int) -> str:
        try:
            if number:
                await totp.confirm_totp(officer, code=code)
            else:
                await passkeys.register_passkey(
                    other, challenge_id=asked.id, credential=credential, name="手机"
                )
        except refusals.SecondFactorRequired:
            return "refused"
        return "set up"

    assert sorted(await at_once(2, set_up)) == ["refused", "set up"]
    assert await sessions_of(superuser, officer) == 1


async def test_staff_keep_a_second_factor(superuser: asyncpg.Connection) -> None:
    officer = await people.staff(Role.RISK)
    _, row = await keys.added(officer)
    remove = {
        "passkey_id": row.id,
        "password": people.PASSWORD,
        "accept_remaining": True,
        "address": ADDRESS,
    }
    with pytest.raises(refusals.LastSecondFactor):
        await passkeys.remove_passkey(officer, **remove)
    assert len(await passkeys.mine(officer)) == 1
    await enrolled(superuser, officer)
    await passkeys.remove_passkey(officer, **remove)
    assert await passkeys.mine(officer) == []


async def test_an_admin_lets_somebody_who_lost_everything_begin_anew(
    superuser: asyncpg.Connection,
) -> None:
    officer, admin = await people.staff(Role.RISK), await people.staff(Role.ADMIN)
    await keys.added(officer)
    await enrolled(superuser, officer)
    admin = await people.signed_in(admin.user_id, elevated=True)
    member = await totp.remove_totp(
        admin, user_id=officer.user_id, reason="手机丢失", passkeys_too=True
    )
    assert (member.has_totp, member.has_passkey) == (False, False)
    assert await sessions_of(superuser, officer) == 0
    assert (await by_code(superuser, number_of(officer))).viewer.must_enrol


async def test_who_is_appointed_signs_in_anew_and_who_leaves_needs_no_authenticator(
    superuser: asyncpg.Connection,
) -> None:
    number = people.phone()
    newcomer = await town.resident(number=number)
    admin = await people.staff(Role.ADMIN)
    await staffing.appoint_staff(admin, phone=number, role=StaffRole.RISK, reason="入职")
    assert (await sessions.current(newcomer))[0] == "OVER"
    async with unit_of_work() as work:
        officer = (await people.arrived(work, newcomer.user_id, second_factor=False)).viewer
    assert officer.must_enrol
    await enrolled(superuser, officer)
    admin = await people.signed_in(admin.user_id, elevated=True)
    await staffing.dismiss_staff(admin, user_id=officer.user_id, reason="离职")
    assert await superuser.fetchval("select count(*) from totp") == 0
    async with unit_of_work() as work:
        left = (await people.arrived(work, officer.user_id, second_factor=False)).viewer
    assert left.role is Role.RESIDENT
    await notices.unread_count(left)


async def test_five_wrong_codes_end_the_challenge_and_block_the_authenticator(
    superuser: asyncpg.Connection,
) -> None:
    officer = await people.staff(Role.RISK)
    secret = await enrolled(superuser, officer)
    challenge = await people.challenged(number_of(officer))
    code = await code_at(superuser, secret)
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    for _ in range(5):
        with pytest.raises(refusals.TotpInvalid):
            await complete(challenge, LoginMethod.TOTP, TotpProof(wrong))
    with pytest.raises(refusals.LoginChallengeInvalid):
        await complete(challenge, LoginMethod.TOTP, TotpProof(code))
    with pytest.raises(refusals.RateLimited):
        await complete(
            await people.challenged(number_of(officer)), LoginMethod.TOTP, TotpProof(code)
        )
