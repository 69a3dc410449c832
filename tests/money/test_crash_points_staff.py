"""Crashes while staff are appointed, prove who they are, look people up; and the same again."""

from __future__ import annotations

import contextlib
import itertools

import asyncpg
import pyotp

from domain import refusals
from domain import totp as totp_rules
from domain.identity import Role, Viewer
from domain.ledger import FreezeLevel
from domain.proofs import Action, Passkey
from domain.staffing import ChangeDecision, Method, StaffRole
from resolvers import elevations, proof_challenges, residents, staffing, totp
from services.identity import elevations as elevation_service
from services.identity import totp as totp_service
from services.unit_of_work import unit_of_work
from tests import movement as town
from tests import passkeys as keys
from tests import people
from tests.authenticator import Authenticator
from tests.money.crashes import Case, Verbs, leaves

VERBS = Verbs()
WHY = "例行检查"
_addresses = itertools.count(1)
_PERSON = """
select u.role, u.version,
       (select array_agg(c.state::text) from role_change c where c.user_id = u.id),
       (select array_agg(e.action::text order by e.created_at) from audit_entry e
         where e.object = 'user:' || u.id),
       (select array_agg(n.kind::text) from notice n where n.user_id = u.id),
       (select count(*) from session s where s.user_id = u.id and s.revoked_at is null)
  from users u where u.id = $1"""
_SESSION = """
select s.elevated_until > ledger.now(),
       (select count(*) filter (where e.ended_at is null and e.until > ledger.now())
          from elevation e where e.session_id = s.id)
  from session s where s.id = $1"""
_DEEDS = "select distinct action, object from audit_entry where actor_id = $1"


def _address() -> str:
    """Where nobody has called from."""
    number = next(_addresses)
    return f"100.66.{number // 250}.{number % 250}"


async def _admin() -> Viewer:
    """An ADMIN; there are always more than two, so that another one needs two."""
    found = await people.staff(Role.ADMIN)
    await people.staff(Role.ADMIN)
    await people.staff(Role.ADMIN)
    return found


@VERBS.covering("resolvers.staffing.appoint_staff")
async def appointing(superuser: asyncpg.Connection) -> Case:
    admin, number = await _admin(), people.phone()
    newcomer = await town.resident(number=number)

    async def run() -> None:
        with contextlib.suppress(refusals.StaleVersion):  # done by the call whose answer was lost
            await staffing.appoint_staff(admin, phone=number, role=StaffRole.RISK, reason=WHY)

    return Case(run, leaves(superuser, _PERSON, newcomer.user_id))


@VERBS.covering("resolvers.staffing._move")
async def dismissing(superuser: asyncpg.Connection) -> Case:
    admin, member = await _admin(), await people.staff(Role.RISK)

    async def run() -> None:
        with contextlib.suppress(refusals.NotFound):  # is staff no longer
            await staffing.dismiss_staff(admin, user_id=member.user_id, reason=WHY)

    return Case(run, leaves(superuser, _PERSON, member.user_id))


@VERBS.covering("resolvers.staffing.decide_role_change")
async def confirming(superuser: asyncpg.Connection) -> Case:
    admin, other, number = await _admin(), await people.staff(Role.ADMIN), people.phone()
    newcomer = await town.resident(number=number)
    change = await staffing.appoint_staff(admin, phone=number, role=StaffRole.ADMIN, reason=WHY)

    async def run() -> None:
        with contextlib.suppress(refusals.StaleVersion):
            await staffing.decide_role_change(
                other, change_id=change.id, decision=ChangeDecision.CONFIRM
            )

    return Case(run, leaves(superuser, _PERSON, newcomer.user_id))


@VERBS.covering("resolvers.staffing.members", "resolvers.staffing.role_changes")
async def looking_at_staff(superuser: asyncpg.Connection) -> Case:
    admin = await _admin()

    async def run() -> None:
        page = {"limit": 2, "after": None, "before": None, "backwards": False}
        await staffing.members(admin, **page)
        await staffing.role_changes(admin, **page)

    return Case(run, leaves(superuser, _DEEDS, admin.user_id))


@VERBS.covering("resolvers.elevations._by_passkey")
async def elevating_by_passkey(superuser: asyncpg.Connection) -> Case:
    officer = await people.staff(Role.RISK, elevated=False)
    device, _ = await keys.added(officer, Authenticator(counts=False))

    async def run() -> None:
        asked = await proof_challenges.request_step_up_challenge(
            officer, action=Action.ELEVATE, subject=""
        )
        assert asked.options is not None
        given = Passkey(asked.id, device.get(asked.options))
        await elevations.elevate(officer, reason=WHY, given=given)

    return Case(run, leaves(superuser, _SESSION, officer.session_id))


async def _code(superuser: asyncpg.Connection, secret: str) -> str:
    step = totp_rules.step_at(await superuser.fetchval("select ledger.now()"))
    return pyotp.TOTP(secret).generate_otp(step)


async def _enrolment(viewer: Viewer) -> str:
    async with unit_of_work() as work:
        return (await totp_service.enrol(work, viewer.user_id, label="")).secret


@VERBS.covering("resolvers.elevations._by_totp")
async def elevating_by_authenticator(superuser: asyncpg.Connection) -> Case:
    officer = await people.staff(Role.RISK, elevated=False)
    secret = await _enrolment(officer)
    await totp.confirm_totp(officer, code=await _code(superuser, secret))
    await people.pass_time(superuser, 60)

    async def run() -> None:
        with contextlib.suppress(refusals.TotpInvalid):  # used by the call whose answer was lost
            code = await _code(superuser, secret)
            await elevations.elevate(officer, reason=WHY, given=code)

    return Case(run, leaves(superuser, _SESSION, officer.session_id))


@VERBS.covering("resolvers.elevations.end_elevation")
async def ending_an_elevation(superuser: asyncpg.Connection) -> Case:
    officer = await people.staff(Role.RISK)
    async with unit_of_work() as work:
        await elevation_service.begin(work, officer, method=Method.TOTP, reason=WHY)

    async def run() -> None:
        await elevations.end_elevation(officer, everywhere=True)

    return Case(run, leaves(superuser, _SESSION, officer.session_id))


_TOTP = """
select (select count(*) from totp where user_id = $1),
       (select confirmed_at is not null from totp where user_id = $1),
       (select failures from totp where user_id = $1),
       (select array_agg(kind::text order by seq) from notice where user_id = $1),
       (select array_agg(distinct action::text) from audit_entry
         where object = 'user:' || $1::bigint),
       (select count(*) from session where user_id = $1 and revoked_at is null),
       (select count(*) from session where user_id = $1 and second_factor)"""


@VERBS.covering("resolvers.totp.enrol_totp")
async def enrolling(superuser: asyncpg.Connection) -> Case:
    officer, address = await people.staff(Role.RISK), _address()

    async def run() -> None:
        await totp.enrol_totp(officer, password=people.PASSWORD, address=address)

    return Case(run, leaves(superuser, _TOTP, officer.user_id))


@VERBS.covering("resolvers.totp.confirm_totp")
async def confirming_an_authenticator(superuser: asyncpg.Connection) -> Case:
    """In the first session, which it opens; others end."""
    officer = await people.staff(Role.RISK, second_factor=False)
    await people.signed_in(officer.user_id, second_factor=False)
    secret = await _enrolment(officer)

    async def run() -> None:
        # Done by the call whose answer was lost.
        with contextlib.suppress(refusals.TotpAlreadySet, refusals.SecondFactorRequired):
            await totp.confirm_totp(officer, code=await _code(superuser, secret))

    return Case(run, leaves(superuser, _TOTP, officer.user_id))


@VERBS.covering("resolvers.totp.remove_totp")
async def removing_an_authenticator(superuser: asyncpg.Connection) -> Case:
    admin, officer = await _admin(), await people.staff(Role.RISK)
    await _enrolment(officer)

    async def run() -> None:
        with contextlib.suppress(refusals.TotpNotSet):
            await totp.remove_totp(admin, user_id=officer.user_id, reason=WHY, passkeys_too=True)

    return Case(run, leaves(superuser, _TOTP, officer.user_id))


@VERBS.covering("resolvers.residents.resident", "resolvers.residents.resident_in_full")
async def looking_a_resident_up(superuser: asyncpg.Connection) -> Case:
    officer, number = await people.staff(Role.COMPLIANCE), people.phone()
    owner = await town.resident(number=number)

    async def run() -> None:
        await residents.resident(officer, phone=number, reason=WHY)
        await residents.resident_in_full(officer, user_id=owner.user_id, reason=WHY)

    question = "select array_agg(distinct action::text) from audit_entry where actor_id = $1"
    return Case(run, leaves(superuser, question, officer.user_id))


@VERBS.covering("resolvers.residents.freeze_for_caller", "resolvers.residents._freeze")
async def freezing_for_a_caller(superuser: asyncpg.Connection) -> Case:
    support, number, key = await people.staff(Role.SUPPORT), people.phone(), town.key("call")
    owner = await town.resident("李小龙", number=number)

    async def run() -> None:
        await residents.freeze_for_caller(
            support,
            phone=number,
            name="李小龙",
            id_number_last6=None,
            level=FreezeLevel.FULL,
            reason=WHY,
            key=key,
        )

    question = (
        "select a.status, a.seq, (select array_agg(c.state::text) from risk_case c"
        " where c.account_id = a.id), (select array_agg(n.kind::text) from notice n"
        " where n.user_id = a.owner_id) from ledger.account a where a.id = $1"
    )
    return Case(run, leaves(superuser, question, owner.account_id))


async def test_what_staff_do_survives_a_crash_at_every_point(counter, superuser) -> None:
    await VERBS.survive(superuser)
