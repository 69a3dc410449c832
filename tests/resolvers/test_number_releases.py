"""A number that its carrier gave to somebody else: who gets it, who keeps what, who is told."""

from __future__ import annotations

import asyncpg
import pytest

from domain import refusals
from domain.identity import CodePurpose, Role, Viewer
from domain.ledger import FreezeLevel
from domain.proofs import Action, Pin
from domain.recovery import CaseKind, CaseState
from resolvers import (
    identity,
    passwords,
    phone_changes,
    proof_challenges,
    recoveries,
    residents,
    wallets,
)
from services import people as persons
from services.identity import retention
from services.identity.arrivals import SignedIn
from services.unit_of_work import UnitOfWork
from tests import people as make
from tests import recovery as lost
from tests.races import at_once
from tests.recovery import Owner

pytestmark = pytest.mark.usefixtures("counter")
DAY = 24 * 3_600


async def released(superuser: asyncpg.Connection) -> tuple[Owner, Viewer]:
    """Somebody whose number is somebody else's now, and that one."""
    owner = await lost.owner(superuser)
    await lost.release_approved(superuser, owner)
    taken = await lost.registering(owner.phone, await lost.number_proven(superuser, owner.phone))
    return owner, taken.viewer


async def still_taken(superuser: asyncpg.Connection, owner: Owner) -> None:
    before = await lost.standing(superuser, [owner.phone])
    with pytest.raises(refusals.PhoneTaken):
        await lost.registering(owner.phone, await lost.number_proven(superuser, owner.phone))
    assert await lost.standing(superuser, [owner.phone]) == before


async def test_a_numbers_new_holder_registers_once_two_of_staff_have_let_go_of_it(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    by = await lost.number_proven(superuser, owner.phone)
    with pytest.raises(refusals.PhoneTaken):
        await lost.registering(owner.phone, by)
    case = await lost.release_asked(
        owner.phone, by
    )  # the code that showed it is good for asking, too
    assert (case.kind, case.state, case.new_phone) == (CaseKind.RELEASE, CaseState.REQUESTED, None)
    for version, role in enumerate((Role.SUPPORT, Role.COMPLIANCE), 1):
        member = await make.staff(role)
        [seen] = await recoveries.recovery_cases(
            member, limit=5, after=None, before=None, backwards=False
        )
        assert (seen.kind, seen.statement, seen.phone) == (CaseKind.RELEASE, lost.SAID, owner.phone)
        assert seen.last_seen_at is not None
        assert seen.last_seen_at < case.created_at
        await lost.decided(member, case, version)
    await still_taken(superuser, owner)
    await make.pass_time(superuser, 3 * DAY - 200)
    await still_taken(superuser, owner)
    await make.pass_time(superuser, 200)
    taken = await lost.registering(owner.phone, await lost.number_proven(superuser, owner.phone))

    assert taken.viewer.user_id != owner.viewer.user_id
    assert persons.phone_of(taken.viewer) == owner.phone
    row = await superuser.fetchrow(
        "select phone, phone_index, former_phone_index, name from users where id = $1",
        owner.viewer.user_id,
    )
    assert row is not None
    assert row["phone"] == b""
    assert row["phone_index"] == f"released:{owner.viewer.user_id}"
    assert row["former_phone_index"] == persons.phone_index(owner.phone)
    assert await superuser.fetchval("select state from recovery_case") == "USED"
    told = await lost.kinds(superuser, owner.viewer)
    kinds = ["REQUESTED", "APPROVED"]
    assert told == [*(f"NUMBER_RELEASE_{kind}" for kind in kinds), "NUMBER_RELEASED"]
    entry = await superuser.fetchrow(
        "select object, detail from audit_entry where action = 'RELEASE_NUMBER'"
    )
    assert entry is not None
    assert entry["object"] == f"user:{owner.viewer.user_id}"
    assert str(case.id) in entry["detail"]


async def test_the_old_owner_keeps_account_and_session_and_the_new_one_gets_nothing_of_it(
    superuser: asyncpg.Connection,
) -> None:
    owner, newcomer = await released(superuser)
    here = await make.again(owner.viewer)
    assert identity.display_name(here) == lost.NAME
    assert identity.masked_phone(here) is None
    assert here.account_id == owner.viewer.account_id
    assert newcomer.account_id is None  # not reviewed yet
    with pytest.raises(refusals.WrongCredentials):
        await make.challenged(owner.phone)  # the old password: it is another account's number
    opened, code = await lost.begun(superuser, owner.phone)
    with pytest.raises(refusals.ResetProofInvalid):
        await lost.completed(opened, code, owner.identity)
    assert (await make.again(owner.viewer)).user_id == owner.viewer.user_id


async def test_no_text_about_the_old_account_goes_to_the_number_any_more(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    await superuser.execute("delete from ledger.outbox")
    await lost.release_approved(superuser, owner)
    before = await lost.sms_to_send(superuser)
    assert {one.phone for one in before} == {owner.phone}
    assert not any(owner.phone[3:] in one.text or lost.NAME in one.text for one in before)
    await make.pass_time(superuser, 3 * DAY)
    by = await lost.number_proven(superuser, owner.phone)
    await superuser.execute("delete from ledger.outbox where job = 'send_notice'")
    await lost.registering(owner.phone, by)
    assert await lost.sms_to_send(superuser) == []


async def test_the_owner_objects_and_keeps_the_number(superuser: asyncpg.Connection) -> None:
    owner = await lost.owner(superuser)
    await lost.release_approved(superuser, owner)
    assert await recoveries.object_to_recovery(owner.viewer) == 1
    await make.pass_time(superuser, 3 * DAY)
    await still_taken(superuser, owner)
    assert await superuser.fetchval("select state from recovery_case") == "OBJECTED"


async def test_one_of_staff_is_not_enough_one_no_ends_it_and_so_does_a_fortnight(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    case = await lost.release_asked(owner.phone, await lost.number_proven(superuser, owner.phone))
    again = await lost.release_asked(owner.phone, await lost.number_proven(superuser, owner.phone))
    assert again.id == case.id
    await lost.decided(await make.staff(Role.SUPPORT), case, 1)
    await make.pass_time(superuser, 3 * DAY)
    await still_taken(superuser, owner)
    await lost.decided(await make.staff(Role.COMPLIANCE), case, 2, approve=False)
    await still_taken(superuser, owner)
    assert (await lost.kinds(superuser, owner.viewer))[-1] == "NUMBER_RELEASE_REJECTED"
    await lost.release_approved(superuser, owner)
    await make.pass_time(superuser, 14 * DAY)
    await still_taken(superuser, owner)


async def test_another_kind_of_case_lets_go_of_nothing(superuser: asyncpg.Connection) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    await lost.replacement_approved(superuser, owner, new)
    password = await lost.review_asked(superuser, owner)
    await lost.decided(await make.staff(Role.SUPPORT), password, 1)
    await lost.decided(await make.staff(Role.COMPLIANCE), password, 2)
    await make.pass_time(superuser, 12 * 3_600)
    await still_taken(superuser, owner)


async def test_asking_takes_the_numbers_own_code_and_words_and_somebody_who_has_it(
    superuser: asyncpg.Connection,
) -> None:
    owner, free = await lost.owner(superuser), make.phone()
    by = await lost.number_proven(superuser, owner.phone)
    wrong = "000000" if by[1] != "000000" else "000001"
    _, reset = await lost.begun(superuser, owner.phone)
    reset_id = await make.asked(superuser, owner.phone, CodePurpose.RESET_PASSWORD)
    assert reset_id is not None
    for phone, given, refusal in (
        (owner.phone, (by[0], wrong), refusals.CodeInvalid),
        (owner.phone, (reset_id, reset), refusals.CodeInvalid),
        (free, by, refusals.CodeInvalid),
        ("0755 8888 8888", by, refusals.InvalidInput),
    ):
        with pytest.raises(refusal):
            await lost.release_asked(phone, given)
    for statement in ("", " ", "x" * 1_001):
        with pytest.raises(refusals.InvalidInput) as caught:
            await lost.release_asked(owner.phone, by, statement)
        assert caught.value.path == ("input", "statement")
    by = await lost.number_proven(superuser, free)
    with pytest.raises(refusals.NotFound):
        await lost.release_asked(free, by)
    assert await lost.registering(free, by)  # nobody has it, and the code is good as it was
    assert await superuser.fetchval("select count(*) from recovery_case") == 0


async def test_of_several_who_register_at_once_one_gets_the_number(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    await lost.release_approved(superuser, owner)
    ways = [await lost.number_proven(superuser, owner.phone) for _ in range(3)]
    answers = await at_once(6, lambda n: lost.registering(owner.phone, ways[n % 3]))
    assert sum(isinstance(one, SignedIn) for one in answers) == 1, answers
    others = {type(one) for one in answers if not isinstance(one, SignedIn)}
    assert others <= {refusals.PhoneTaken, refusals.CodeInvalid}
    assert (await lost.kinds(superuser, owner.viewer)).count("NUMBER_RELEASED") == 1


async def test_an_objection_and_a_registration_at_once_leave_one_of_both(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    await lost.release_approved(superuser, owner)
    by = await lost.number_proven(superuser, owner.phone)

    async def run(n: int) -> object:
        if n == 0:
            return await recoveries.object_to_recovery(owner.viewer)
        return await lost.registering(owner.phone, by)

    objected, taken = await at_once(2, run)
    assert (objected == 1) == isinstance(taken, refusals.PhoneTaken), (objected, taken)
    assert (objected == 0) == isinstance(taken, SignedIn)


async def test_the_owner_comes_back_with_another_number_by_the_one_that_was(
    superuser: asyncpg.Connection,
) -> None:
    owner, newcomer = await released(superuser)
    new = make.phone()
    case = await lost.replacement_approved(superuser, owner, new)
    assert case.user_id == owner.viewer.user_id
    opened, code = await lost.replacement_begun(superuser, owner.phone, new)
    await lost.replacement_completed(opened, code, case.id)
    row = await superuser.fetchrow(
        "select phone, phone_index, former_phone_index from users where id = $1",
        owner.viewer.user_id,
    )
    assert row is not None
    assert persons.open_phone(owner.viewer.user_id, row["phone"]) == new
    assert (row["phone_index"], row["former_phone_index"]) == (persons.phone_index(new), None)
    assert await make.signed_in_again(new, owner.key)
    assert identity.masked_phone(await make.again(newcomer)) is not None
    assert await lost.sms_to_send(superuser)


async def test_what_needs_a_number_says_so_and_the_rest_goes_on(
    superuser: asyncpg.Connection,
) -> None:
    owner, _ = await released(superuser)
    here = await make.again(owner.viewer)
    with pytest.raises(refusals.NoPhoneNumber):
        await wallets.link_bank_card(here, number="6222020000000000")
    with pytest.raises(refusals.NoPhoneNumber):
        await phone_changes.request_phone_change(
            here,
            new_phone=make.phone(),
            password=make.PASSWORD,
            proof=Pin("820461"),
            address=lost.address(),
            language="zh-CN",
        )
    challenge = await proof_challenges.request_step_up_challenge(
        here, action=Action.RESET_PIN, subject=""
    )
    with pytest.raises(refusals.NoPhoneNumber):
        await proof_challenges.send_proof_code(
            here, challenge_id=challenge.id, address=lost.address(), language="zh-CN"
        )
    await passwords.change_password(
        here,
        password=make.PASSWORD,
        new_password="Yantian-4-lighthouse",
        address=lost.address(),
    )


async def test_staff_freeze_for_an_owner_who_calls_without_the_number(
    superuser: asyncpg.Connection,
) -> None:
    owner, _ = await released(superuser)
    status = await residents.freeze_for_caller(
        await make.staff(Role.SUPPORT),
        phone=owner.phone,
        name=lost.NAME,
        id_number_last6=owner.number[-6:],
        level=FreezeLevel.FULL,
        reason="来电：号码已被他人使用",
        key="released-freeze",
    )
    assert status.name == "FROZEN"


async def test_an_account_without_a_number_is_erased_like_any_other(
    superuser: asyncpg.Connection,
) -> None:
    owner, newcomer = await released(superuser)
    now = await superuser.fetchval("select ledger.now()")
    async with superuser.transaction():  # the API's login may not
        await retention.pseudonymise(UnitOfWork(superuser, now), owner.viewer.user_id)
    row = await superuser.fetchrow(
        "select name, phone_index, former_phone_index from users where id = $1",
        owner.viewer.user_id,
    )
    assert row is not None
    assert tuple(row) == (b"", f"closed:{owner.viewer.user_id}", None)
    assert identity.masked_phone(await make.again(newcomer)) is not None


async def test_the_database_keeps_no_number_in_an_account_that_let_go_of_it(
    superuser: asyncpg.Connection,
) -> None:
    owner, _ = await released(superuser)
    for change in ("phone = 'elsewhere'", "phone_index = 'elsewhere'"):
        with pytest.raises(asyncpg.CheckViolationError):
            await superuser.execute(
                f"update users set {change} where id = $1", owner.viewer.user_id
            )


async def test_what_lets_go_of_one_number_lets_go_of_no_other(
    superuser: asyncpg.Connection,
) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    device = await lost.with_device(owner)
    case = await lost.release_approved(superuser, owner)
    opened = await lost.change_asked(owner, device, new)
    codes = await lost.change_codes(superuser, owner, new)
    await lost.change_confirmed(owner.viewer, opened, codes)

    question = "select state from recovery_case where id = $1"
    assert await superuser.fetchval(question, case.id) == "OBJECTED"
    with pytest.raises(refusals.PhoneTaken):
        await lost.registering(new, await lost.number_proven(superuser, new))
    assert await lost.registering(owner.phone, await lost.number_proven(superuser, owner.phone))


async def test_a_change_that_was_asked_for_before_moves_nothing_once_the_number_is_gone(
    superuser: asyncpg.Connection,
) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    device = await lost.with_device(owner)
    await lost.release_approved(superuser, owner)
    opened = await lost.change_asked(owner, device, new)
    codes = await lost.change_codes(superuser, owner, new)
    await lost.registering(owner.phone, await lost.number_proven(superuser, owner.phone))
    with pytest.raises(refusals.PhoneChangeInvalid):
        await lost.change_confirmed(await make.again(owner.viewer), opened, codes)
    assert (
        await superuser.fetchval(
            "select length(phone) from users where id = $1", owner.viewer.user_id
        )
        == 0
    )
