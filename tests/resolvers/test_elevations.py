"""Elevation: what it opens, by what proof, for how long, and what ends it."""

from __future__ import annotations

import asyncpg
import pytest

from domain import refusals
from domain.identity import ANONYMOUS, Role, Viewer
from domain.ledger import AccountStatus
from domain.proofs import Action, Method, Passkey
from domain.refunds import Decision
from resolvers import elevations, proof_challenges, refunds, risk, sessions, totp
from services import payments
from services.identity.elevations import Elevation
from services.ledger import desk
from tests import factories, people, proof_races
from tests import movement as town
from tests import passkeys as keys
from tests.authenticator import Authenticator
from tests.services.test_totp import code_at, enrolled

pytestmark = pytest.mark.usefixtures("counter")
WHY = "处理解冻申诉"
SECRETS: dict[int, str] = {}


async def by_totp(viewer: Viewer, code: str) -> Elevation:
    return await elevations.elevate(viewer, reason=WHY, given=code)


async def answer_of(viewer: Viewer, device: Authenticator) -> Passkey:
    """A passkey's answer to a challenge for an elevation."""
    asked = await proof_challenges.request_step_up_challenge(
        viewer, action=Action.ELEVATE, subject=""
    )
    assert asked.methods == [Method.PASSKEY]
    assert asked.options is not None
    return Passkey(asked.id, device.get(asked.options))


async def elevated(superuser: asyncpg.Connection, viewer: Viewer) -> Elevation:
    """By the authenticator, which is set up if there is none."""
    if not await totp.has_totp(viewer):
        SECRETS[viewer.user_id] = await enrolled(superuser, viewer)
    await people.pass_time(superuser, 60)
    return await by_totp(viewer, await code_at(superuser, SECRETS[viewer.user_id]))


async def test_an_authenticator_elevates_this_session_for_a_quarter_of_an_hour(
    superuser: asyncpg.Connection,
) -> None:
    officer = await people.staff(Role.RISK, elevated=False)
    other = await people.signed_in(officer.user_id)
    made = await elevated(superuser, officer)
    now = await superuser.fetchval("select ledger.now()")
    assert 890 < (made.until - now).total_seconds() <= 900
    current = await people.again(officer)
    assert current.elevated_until == made.until
    assert await elevations.own(current) == made
    assert (await people.again(other)).elevated_until is None
    await people.pass_time(superuser, 901)
    late = await people.again(officer)
    assert late.elevated_until is None
    assert await elevations.own(late) is None


async def test_who_elevated_why_and_how_is_on_record_sealed(
    superuser: asyncpg.Connection,
) -> None:
    officer = await people.staff(Role.RISK, elevated=False)
    await elevated(superuser, officer)
    entry = await superuser.fetchrow(
        "select actor_id, object, detail::text as detail from audit_entry where action = 'ELEVATE'"
    )
    assert entry is not None
    assert (entry["actor_id"], entry["object"]) == (
        officer.user_id,
        f"session:{officer.session_id}",
    )
    assert '"method": "TOTP"' in entry["detail"]
    dumped = await superuser.fetchval(
        "select (select string_agg(e::text, ' ') from elevation e)"
        " || (select string_agg(a::text, ' ') from audit_entry a)"
    )
    assert WHY not in dumped


async def test_a_wrong_proof_elevates_nobody(superuser: asyncpg.Connection) -> None:
    officer = await people.staff(Role.RISK, elevated=False)
    with pytest.raises(refusals.TotpNotSet):
        await by_totp(officer, "123456")
    code = await code_at(superuser, await enrolled(superuser, officer))
    for wrong in ("", people.PASSWORD, f"{(int(code) + 1) % 1_000_000:06d}"):
        with pytest.raises(refusals.TotpInvalid):
            await by_totp(officer, wrong)
    resident = await town.resident()
    with pytest.raises(refusals.NotPermitted):
        await by_totp(resident, code)
    with pytest.raises(refusals.NotSignedIn):
        await by_totp(ANONYMOUS, code)
    with pytest.raises(refusals.InvalidInput):
        await elevations.elevate(officer, reason=" ", given=code)
    assert (await people.again(officer)).elevated_until is None
    assert await superuser.fetchval("select count(*) from elevation") == 0


async def test_a_code_elevates_once(superuser: asyncpg.Connection) -> None:
    officer = await people.staff(Role.RISK, elevated=False)
    code = await code_at(superuser, await enrolled(superuser, officer))
    await by_totp(officer, code)
    await elevations.end_elevation(officer, everywhere=False)
    with pytest.raises(refusals.TotpInvalid):
        await by_totp(officer, code)
    assert (await people.again(officer)).elevated_until is None


async def test_of_many_uses_of_one_code_at_once_one_elevates(
    superuser: asyncpg.Connection,
) -> None:
    answers = await proof_races.uses_of_one_totp_code(superuser, count=12)
    assert answers == {"done": 1, "TOTP_INVALID": 5, "RATE_LIMITED": 6}


async def test_a_passkeys_answer_elevates_once_and_is_worth_nothing_to_others(
    superuser: asyncpg.Connection,
) -> None:
    officer = await people.staff(Role.RISK, elevated=False)
    other = await people.staff(Role.RISK, elevated=False)
    device, _ = await keys.added(officer)
    answer = await answer_of(officer, device)
    with pytest.raises(refusals.ChallengeInvalid):
        await elevations.elevate(other, reason=WHY, given=answer)
    await elevations.elevate(officer, reason=WHY, given=answer)
    assert (await people.again(officer)).elevated_until is not None
    kept = await superuser.fetchrow("select user_id, method from elevation")
    assert tuple(kept or ()) == (officer.user_id, "PASSKEY")

    await elevations.end_elevation(officer, everywhere=False)
    with pytest.raises(refusals.ChallengeInvalid):
        await elevations.elevate(officer, reason=WHY, given=answer)
    assert (await people.again(officer)).elevated_until is None


async def test_an_answer_for_another_deed_elevates_nobody(superuser: asyncpg.Connection) -> None:
    officer = await people.staff(Role.RISK, elevated=False)
    device, _ = await keys.added(officer)
    asked = await proof_challenges.request_step_up_challenge(
        officer, action=Action.EXPORT_DATA, subject=""
    )
    assert asked.options is not None
    with pytest.raises(refusals.ChallengeInvalid):
        await elevations.elevate(
            officer, reason=WHY, given=Passkey(asked.id, device.get(asked.options))
        )
    assert (await people.again(officer)).elevated_until is None
    assert await superuser.fetchval("select count(*) from elevation") == 0


async def test_it_ends_by_hand_here_or_everywhere(superuser: asyncpg.Connection) -> None:
    officer = await people.staff(Role.RISK, elevated=False)
    other = await people.signed_in(officer.user_id)
    await elevated(superuser, officer)
    await elevated(superuser, other)
    await elevations.end_elevation(officer, everywhere=False)
    assert (await people.again(officer)).elevated_until is None
    assert (await people.again(other)).elevated_until is not None
    await elevations.end_elevation(officer, everywhere=True)
    assert (await people.again(other)).elevated_until is None
    assert await superuser.fetchval("select count(*) from elevation where ended_at is null") == 0
    ended = "select count(*) from audit_entry where action = 'END_ELEVATION'"
    assert await superuser.fetchval(ended) == 2
    await elevations.end_elevation(officer, everywhere=True)
    assert await superuser.fetchval(ended) == 2, "there was none to end"


async def test_logging_out_ends_it_with_the_session(superuser: asyncpg.Connection) -> None:
    officer = await people.staff(Role.RISK, elevated=False)
    device, _ = await keys.added(officer)
    signed_in = await keys.signed_in(device)
    await elevations.elevate(
        signed_in.viewer, reason=WHY, given=await answer_of(signed_in.viewer, device)
    )
    await sessions.logout(ANONYMOUS, refresh_token=signed_in.session.refresh_token)
    assert (await sessions.current(signed_in.viewer))[0] == "OVER"
    late = await answer_of(officer, device)
    with pytest.raises(refusals.NotSignedIn):  # of a request that was under way
        await elevations.elevate(signed_in.viewer, reason=WHY, given=late)


async def test_an_open_socket_knows_of_it_and_of_its_end(superuser: asyncpg.Connection) -> None:
    officer = await people.staff(Role.RISK, elevated=False)
    await elevated(superuser, officer)
    standing, current = await sessions.current(officer)
    assert standing == "STAYS"
    assert current.elevated_until is not None
    await elevations.end_elevation(officer, everywhere=False)
    standing, current = await sessions.current(current)
    assert standing == "STAYS"
    assert current.elevated_until is None


async def test_without_it_a_wallet_stays_frozen_and_a_policy_unsigned(
    superuser: asyncpg.Connection,
) -> None:
    owner, officer = await town.resident(), await people.staff(Role.RISK, elevated=False)
    case, _ = await risk.freeze_wallet(
        officer, user_id=owner.user_id, reason="盗用", key=town.key("freeze")
    )
    with pytest.raises(refusals.ElevationRequired):
        await risk.unfreeze_wallet(officer, case_id=case.id, reason="核实", key=town.key("un"))
    status = await superuser.fetchval(
        "select status from ledger.account where id = $1", owner.account_id
    )
    assert status == AccountStatus.DEBITS_BLOCKED
    finance = await people.staff(Role.FINANCE, elevated=False)
    with pytest.raises(refusals.ElevationRequired):
        await refunds.sign_policy(
            finance, amount_max_minor=1, payment_age_max_hours=1, refunds_max=1
        )
    assert await superuser.fetchval("select count(*) from ledger.refund_policy") == 0


@pytest.mark.parametrize("decision", Decision)
async def test_a_large_refund_is_decided_by_the_elevated_only(
    superuser: asyncpg.Connection, decision: Decision
) -> None:
    payer = await town.resident(balance=200_000)
    _, shop = await town.shop()
    finance = await people.staff(Role.FINANCE, elevated=False)
    for amount_minor, allowed in ((99_999, True), (100_000, False)):
        paid = await town.pay(payer, shop, amount_minor)
        confirm = payments.confirm(paid, actor_id=payer.user_id, key=town.key("confirm"))
        await desk.post(await factories.proven(superuser, confirm))
        refund = await refunds.request_refund(
            payer, payment_id=paid.id, reason="没有收到货", key=town.key("refund")
        )
        key = town.key("decide")
        options = {"refund_id": refund.id, "decision": decision, "reason": "同意", "key": key}
        if allowed:
            await refunds.decide_refund(finance, **options)
            continue
        with pytest.raises(refusals.ElevationRequired):
            await refunds.decide_refund(finance, **options)
        state = "select state from ledger.refund where id = $1"
        assert await superuser.fetchval(state, refund.id) == 1
        await elevated(superuser, finance)
        await refunds.decide_refund(await people.again(finance), **options)
        assert await superuser.fetchval(state, refund.id) != 1
