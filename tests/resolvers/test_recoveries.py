"""Help back in by staff: two persons, a delay, an owner who may object."""

from __future__ import annotations

import asyncpg
import pytest

from domain import refusals
from domain.identity import ANONYMOUS, Role, Viewer
from domain.recovery import CaseState, ReviewedCase
from resolvers import recoveries
from services.identity.recoveries import Case
from tests import people as make
from tests import recovery as lost
from tests.races import at_once
from tests.recovery import Owner

pytestmark = pytest.mark.usefixtures("counter")
HOURS = 3_600


async def approved(superuser: asyncpg.Connection, owner: Owner) -> Case:
    """Asked for, and approved by two."""
    case = await lost.review_asked(superuser, owner)
    await lost.decided(await make.staff(Role.SUPPORT), case, 1)
    return await lost.decided(await make.staff(Role.COMPLIANCE), case, 2)


async def complete(superuser: asyncpg.Connection, owner: Owner, case: Case) -> str:
    """As the resident would, with a new code: DONE or the refusal's code."""
    await make.pass_time(superuser, 61)
    opened, code = await lost.begun(superuser, owner.phone)
    try:
        await lost.completed(opened, code, ReviewedCase(case.id))
    except refusals.Refusal as refusal:
        return refusal.code
    return "DONE"


async def state(superuser: asyncpg.Connection, case: Case) -> str:
    return await superuser.fetchval("select state from recovery_case where id = $1", case.id)


async def test_two_of_staff_open_an_account_after_a_delay_and_once(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    case = await approved(superuser, owner)
    assert (case.state, case.approvals) == (CaseState.APPROVED, 2)
    assert await complete(superuser, owner, case) == "RESET_PROOF_INVALID"
    await make.pass_time(superuser, 12 * HOURS)
    assert await complete(superuser, owner, case) == "DONE"
    assert await state(superuser, case) == "USED"
    assert await complete(superuser, owner, case) == "RESET_PROOF_INVALID"
    assert (await make.challenged(owner.phone, password=lost.NEW)).secret
    told = await lost.kinds(superuser, owner.viewer)
    assert told == ["RECOVERY_REQUESTED", "RECOVERY_APPROVED", "PASSWORD_RESET"]
    actions = await superuser.fetch(
        "select action, reason is not null as said from audit_entry order by created_at, id"
    )
    assert [tuple(row) for row in actions] == [
        ("APPROVE_RECOVERY", True),
        ("APPROVE_RECOVERY", True),
        ("RESET_PASSWORD", False),
    ]


async def test_one_approval_is_not_enough_and_nobody_gives_both(
    superuser: asyncpg.Connection,
) -> None:
    owner, member = await lost.owner(superuser), await make.staff(Role.SUPPORT)
    case = await lost.review_asked(superuser, owner)
    await lost.decided(member, case, 1)
    with pytest.raises(refusals.ReviewerIsParty):
        await lost.decided(member, case, 2)
    await make.pass_time(superuser, 13 * HOURS)
    assert await complete(superuser, owner, case) == "RESET_PROOF_INVALID"
    assert await state(superuser, case) == "APPROVED_ONCE"


async def test_the_database_knows_two_persons_the_owner_and_the_delay(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    case = await lost.review_asked(superuser, owner)
    for change in (
        "first_by = 7, second_by = 7",
        f"first_by = {owner.viewer.user_id}",
        "state = 'APPROVED', first_by = 7",
        "usable_from = created_at",
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            await superuser.execute(f"update recovery_case set {change} where id = $1", case.id)


async def test_one_no_ends_it(superuser: asyncpg.Connection) -> None:
    owner, member = await lost.owner(superuser), await make.staff(Role.SUPPORT)
    case = await lost.review_asked(superuser, owner)
    await lost.decided(member, case, 1)
    await lost.decided(await make.staff(Role.COMPLIANCE), case, 2, approve=False)
    assert await state(superuser, case) == "REJECTED"
    assert (await lost.kinds(superuser, owner.viewer))[-1] == "RECOVERY_REJECTED"
    with pytest.raises(refusals.StaleVersion):
        await lost.decided(await make.staff(Role.SUPPORT), case, 3)


async def test_of_many_reviewers_at_once_each_step_has_one(superuser: asyncpg.Connection) -> None:
    owner = await lost.owner(superuser)
    members = [await make.staff(Role.SUPPORT) for _ in range(6)]
    case = await lost.review_asked(superuser, owner)
    for version in (1, 2):
        answers = await at_once(6, lambda n, v=version: lost.decided(members[n], case, v))
        won = [one for one in answers if isinstance(one, Case)]
        assert len(won) == 1, answers
        others = {type(one) for one in answers if not isinstance(one, Case)}
        assert others <= {refusals.StaleVersion, refusals.ReviewerIsParty}
    assert await state(superuser, case) == "APPROVED"


async def test_the_owner_objects_from_any_session_at_any_time(
    superuser: asyncpg.Connection,
) -> None:
    owner, stranger = await lost.owner(superuser), await lost.owner(superuser)
    case = await approved(superuser, owner)
    await make.pass_time(superuser, 13 * HOURS)
    assert await recoveries.object_to_recovery(stranger.viewer) == 0
    assert await recoveries.object_to_recovery(owner.viewer) == 1
    assert await recoveries.object_to_recovery(owner.viewer) == 0
    assert await complete(superuser, owner, case) == "RESET_PROOF_INVALID"
    assert await state(superuser, case) == "OBJECTED"
    with pytest.raises(refusals.NotSignedIn):
        await recoveries.object_to_recovery(ANONYMOUS)


async def test_a_case_ends_after_three_days_and_is_good_for_its_account_only(
    superuser: asyncpg.Connection,
) -> None:
    owner, thief = await lost.owner(superuser), await lost.owner(superuser)
    case = await approved(superuser, owner)
    await make.pass_time(superuser, 13 * HOURS)
    assert await complete(superuser, thief, case) == "RESET_PROOF_INVALID"
    await make.pass_time(superuser, 60 * HOURS)
    assert await complete(superuser, owner, case) == "RESET_PROOF_INVALID"
    with pytest.raises(refusals.WrongCredentials):
        await make.challenged(owner.phone, password=lost.NEW)


async def test_without_the_code_nothing_is_asked_and_unknown_phones_are_answered_alike(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    codes = []
    for phone in (owner.phone, make.phone()):
        opened, code = await lost.begun(superuser, phone)
        wrong = "000000" if code != "000000" else "000001"
        for given in (wrong, "12345"):
            with pytest.raises(refusals.Refusal) as caught:
                await _ask(opened.secret, given)
            codes.append((caught.value.code, caught.value.path))
    unknown_opened, unknown_code = await lost.begun(superuser, make.phone())
    with pytest.raises(refusals.ResetProofInvalid):
        await _ask(unknown_opened.secret, unknown_code)
    assert set(codes) == {("RESET_PROOF_INVALID", ("input",))}
    assert await superuser.fetchval("select count(*) from recovery_case") == 0
    assert await lost.kinds(superuser, owner.viewer) == []


async def _ask(secret: str, code: str) -> Case:
    return await recoveries.request_recovery_review(
        ANONYMOUS, secret=secret, code=code, statement="手机丢了", address=lost.address()
    )


async def test_asking_again_finds_the_open_case_and_a_code_asks_once(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    opened, code = await lost.begun(superuser, owner.phone)
    first = await _ask(opened.secret, code)
    with pytest.raises(refusals.ResetProofInvalid):
        await _ask(opened.secret, code)
    await make.pass_time(superuser, 61)
    assert (await lost.review_asked(superuser, owner)).id == first.id
    assert await lost.kinds(superuser, owner.viewer) == ["RECOVERY_REQUESTED"]


async def test_staff_see_what_waits_and_looking_is_on_record(
    superuser: asyncpg.Connection,
) -> None:
    owner, member = await lost.owner(superuser), await make.staff(Role.SUPPORT)
    case = await lost.review_asked(superuser, owner, statement="钱包被偷")

    async def look(viewer: Viewer) -> list[Case]:
        return await recoveries.recovery_cases(
            viewer, limit=10, after=None, before=None, backwards=False
        )

    [seen] = await look(member)
    assert (seen.id, seen.statement, seen.name) == (case.id, "钱包被偷", lost.NAME)
    assert "钱包被偷" not in repr(seen)
    looked = await superuser.fetchrow("select actor_id, action, detail from audit_entry")
    assert looked is not None
    assert (looked["actor_id"], looked["action"]) == (member.user_id, "READ_RECOVERY_CASES")
    assert str(case.id) in looked["detail"]
    for viewer in (owner.viewer, await make.staff(Role.FINANCE)):
        with pytest.raises(refusals.NotPermitted):
            await look(viewer)
    await recoveries.object_to_recovery(owner.viewer)
    assert await look(member) == []
