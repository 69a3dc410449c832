"""A lost phone: what it takes to move its account, what that changes, and what strangers see."""

from __future__ import annotations

from uuid import UUID, uuid4

import asyncpg
import pytest

from domain import codes as code_rules
from domain import refusals
from domain.identity import ANONYMOUS, CodePurpose, Role
from domain.recovery import CaseKind, CaseState, Identity, ReviewedCase
from resolvers import phone_replacements, recoveries
from services import people as persons
from services.identity import codes, sessions
from services.identity.recoveries import Case
from services.unit_of_work import unit_of_work
from tests import people as make
from tests import recovery as lost
from tests.races import at_once
from tests.recovery import Owner

pytestmark = pytest.mark.usefixtures("counter")
HOURS = 3_600
DAY = 24 * HOURS
TABLES = ("phone_replacement", "verification_code", "recovery_case", "notice", "login_throttle")


def other(code: str) -> str:
    return "000000" if code != "000000" else "000001"


async def state(superuser: asyncpg.Connection, case: Case) -> str:
    return await superuser.fetchval("select state from recovery_case where id = $1", case.id)


async def phone_of(superuser: asyncpg.Connection, owner: Owner) -> str:
    row = await superuser.fetchrow(
        "select phone, phone_index from users where id = $1", owner.viewer.user_id
    )
    assert row is not None
    phone = persons.open_phone(owner.viewer.user_id, row["phone"])
    assert persons.phone_index(phone) == row["phone_index"]
    return phone


async def refused(
    superuser: asyncpg.Connection, owner: Owner, new: str, case_id: UUID | None, code: str = ""
) -> None:
    """A new code to a number, and the one answer, after which the account is as it was."""
    await make.pass_time(superuser, 61)
    opened, right = await lost.replacement_begun(superuser, owner.phone, new)
    before = await lost.standing(superuser, [owner.phone])
    cases = await superuser.fetch("select id, state, version from recovery_case order by id")
    with pytest.raises(refusals.PhoneChangeInvalid) as caught:
        await lost.replacement_completed(opened, code or right, case_id)
    assert caught.value.path == ("input",)
    assert await lost.standing(superuser, [owner.phone]) == before
    after = await superuser.fetch("select id, state, version from recovery_case order by id")
    assert [tuple(row) for row in after] == [tuple(row) for row in cases]
    assert await phone_of(superuser, owner) == owner.phone


async def test_two_of_staff_move_an_account_whose_phone_is_lost(
    superuser: asyncpg.Connection,
) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    case = await lost.replacement_asked(superuser, owner, new)
    assert (case.kind, case.new_phone, case.state) == (CaseKind.PHONE, new, CaseState.REQUESTED)
    for version, role in enumerate((Role.SUPPORT, Role.COMPLIANCE), 1):
        member = await make.staff(role)
        [seen] = await recoveries.recovery_cases(
            member, limit=5, after=None, before=None, backwards=False
        )
        assert (seen.kind, seen.phone, seen.new_phone) == (CaseKind.PHONE, owner.phone, new)
        assert new not in repr(seen)
        await lost.decided(member, case, version)
    await refused(superuser, owner, new, case.id)  # before the delay
    await make.pass_time(superuser, 12 * HOURS)
    waiting = await make.challenged(owner.phone)
    opened, code = await lost.replacement_begun(superuser, owner.phone, new)
    await lost.replacement_completed(opened, code, case.id)

    assert await phone_of(superuser, owner) == new
    assert await state(superuser, case) == "USED"
    assert owner.viewer.session_id is not None
    async with unit_of_work() as work:
        assert await sessions.viewer_by_session(work, owner.viewer.session_id) is None
    with pytest.raises(refusals.LoginChallengeInvalid):
        await make.complete(waiting, owner.key)
    with pytest.raises(refusals.WrongCredentials):
        await make.challenged(owner.phone)
    assert await make.signed_in_again(new, owner.key)
    told = await lost.kinds(superuser, owner.viewer)
    assert told == ["RECOVERY_REQUESTED", "RECOVERY_APPROVED", "PHONE_CHANGED"]
    assert await lost.careful(superuser, owner.viewer) is not None
    moved = await superuser.fetchrow(
        "select actor_id, detail from audit_entry where action = 'CHANGE_PHONE'"
    )
    assert moved is not None
    assert moved["actor_id"] == owner.viewer.user_id
    assert str(case.id) in moved["detail"]
    kept = "select count(*) from {} where length(new_phone) > 0 and {}"
    for table, ended in (("recovery_case", "ended_at"), ("phone_replacement", "used_at")):
        assert await superuser.fetchval(kept.format(table, f"{ended} is not null")) == 0
    with pytest.raises(refusals.PhoneChangeInvalid):
        await lost.replacement_completed(opened, code, case.id)


async def test_the_old_number_hears_of_the_request_and_of_the_move(
    superuser: asyncpg.Connection,
) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    await superuser.execute("delete from ledger.outbox")
    case = await lost.replacement_approved(superuser, owner, new)
    sent = await lost.sms_to_send(superuser)
    assert {one.phone for one in sent} == {owner.phone}
    await superuser.execute("delete from ledger.outbox")
    opened, code = await lost.replacement_begun(superuser, owner.phone, new)
    await lost.replacement_completed(opened, code, case.id)
    sent = await lost.sms_to_send(superuser)
    assert sorted(one.phone for one in sent) == sorted([owner.phone, new])
    assert not any(phone[3:] in one.text for one in sent for phone in (owner.phone, new))


async def test_whatever_is_wrong_with_a_request_gets_one_answer_and_asks_nobody(
    superuser: asyncpg.Connection,
) -> None:
    owner, unreviewed = await lost.owner(superuser), make.phone()
    await make.resident(superuser, unreviewed)
    right, end = owner.identity, owner.number[-6:]
    answers = []
    for phone, claimed, change in (
        (owner.phone, Identity("李雷", end), str),
        (owner.phone, Identity(lost.NAME, other(end)), str),
        (owner.phone, right, other),
        (owner.phone, right, lambda _: "12345"),
        (make.phone(), right, str),
        (unreviewed, right, str),
    ):
        before = await lost.standing(superuser, [owner.phone, unreviewed])
        opened, code = await lost.replacement_begun(superuser, phone, make.phone())
        with pytest.raises(refusals.Refusal) as caught:
            await lost.replacement_claimed(opened, change(code), claimed)
        answers.append((caught.value.code, caught.value.path))
        assert await lost.standing(superuser, [owner.phone, unreviewed]) == before
    assert set(answers) == {("PHONE_CHANGE_INVALID", ("input",))}
    with pytest.raises(refusals.PhoneChangeInvalid):
        await phone_replacements.request_phone_replacement_review(
            ANONYMOUS,
            secret="nothing",
            code="123456",
            claimed=right,
            statement="手机丢了",
            address=lost.address(),
        )
    assert await superuser.fetchval("select count(*) from recovery_case") == 0


async def test_known_and_unknown_numbers_are_answered_and_written_alike(
    superuser: asyncpg.Connection,
) -> None:
    owner, neighbour = await lost.owner(superuser), await lost.owner(superuser)
    answers, grown = [], []
    for phone, new in (
        (owner.phone, make.phone()),
        (make.phone(), make.phone()),
        (owner.phone, neighbour.phone),
    ):
        before = await _counts(superuser)
        opened, code = await lost.replacement_begun(superuser, phone, new)
        first = await _counts(superuser)
        with pytest.raises(refusals.PhoneChangeInvalid):
            await lost.replacement_claimed(opened, code, Identity("李雷", "000000"))
        with pytest.raises(refusals.PhoneChangeInvalid):
            await lost.replacement_completed(opened, code, uuid4())
        left = await superuser.fetchval(
            "select tries_left from phone_replacement order by created_at desc, id desc limit 1"
        )
        after = await _counts(superuser)
        answers.append((len(opened.secret), opened.resend_after_seconds, left))
        # The account's own counter is there already where it was tried before.
        step = [b - a for a, b in zip(before, first, strict=True)]
        grown.append((step, [b - a for a, b in zip(first[:-1], after[:-1], strict=True)]))
    assert len(set(answers)) == 1
    assert grown[0] == grown[1] == grown[2]


async def _counts(superuser: asyncpg.Connection) -> list[int]:
    return [await superuser.fetchval(f"select count(*) from {table}") for table in TABLES]


async def test_a_number_that_is_somebodys_gets_no_code_and_no_account(
    superuser: asyncpg.Connection,
) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    case = await lost.replacement_approved(superuser, owner, new)
    await lost.replacement_begun(superuser, owner.phone, new)
    code_id = await make.asked(superuser, new, CodePurpose.REPLACE_PHONE)
    assert code_id is not None
    async with unit_of_work() as work:
        assert await codes.to_send(work, code_id, language="en") is not None
    await make.resident(superuser, new)  # somebody registers it meanwhile
    async with unit_of_work() as work:
        assert await codes.to_send(work, code_id, language="en") is None
    await refused(superuser, owner, new, case.id)
    assert await state(superuser, case) == "APPROVED"
    for phone in (owner.phone, "0755 8888 8888"):
        with pytest.raises(refusals.InvalidInput) as caught:
            await lost.replacement_begun(superuser, owner.phone, phone)
        assert caught.value.path == ("input", "newPhone")


async def test_a_case_is_good_for_its_account_its_number_and_its_kind_only(
    superuser: asyncpg.Connection,
) -> None:
    owner, thief, new = await lost.owner(superuser), await lost.owner(superuser), make.phone()
    case = await lost.replacement_approved(superuser, owner, new)
    await refused(superuser, thief, new, case.id)
    await refused(superuser, owner, make.phone(), case.id)
    await refused(superuser, owner, new, uuid4())
    await refused(superuser, owner, new, None)
    await refused(superuser, owner, new, case.id, code="12345")
    opened, code = await lost.begun(superuser, owner.phone)
    with pytest.raises(refusals.ResetProofInvalid):
        await lost.completed(opened, code, ReviewedCase(case.id))
    await make.pass_time(superuser, 61)
    password = await lost.review_asked(superuser, owner)
    assert password.id != case.id
    assert (password.kind, password.new_phone) == (CaseKind.PASSWORD, None)
    await lost.decided(await make.staff(Role.SUPPORT), password, 1)
    await lost.decided(await make.staff(Role.COMPLIANCE), password, 2)
    await make.pass_time(superuser, 12 * HOURS)
    await refused(superuser, owner, new, password.id)


async def test_the_database_keeps_what_a_case_is_good_for(
    superuser: asyncpg.Connection, api: asyncpg.Connection
) -> None:
    owner = await lost.owner(superuser)
    case = await lost.replacement_asked(superuser, owner, make.phone())
    for change in ("kind = 'PASSWORD'", "new_phone = 'elsewhere'"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.execute(f"update recovery_case set {change} where id = $1", case.id)
    for change in ("kind = 'PASSWORD'", "kind = 'PIN'", "new_phone = null", "new_phone = ''"):
        with pytest.raises(asyncpg.CheckViolationError):
            await superuser.execute(f"update recovery_case set {change} where id = $1", case.id)


async def test_the_owner_objects_from_any_session(superuser: asyncpg.Connection) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    case = await lost.replacement_approved(superuser, owner, new)
    waits = await lost.replacement_asked(superuser, owner, make.phone())
    assert waits.id != case.id
    assert await recoveries.object_to_recovery(owner.viewer) == 2
    await refused(superuser, owner, new, case.id)
    assert await state(superuser, case) == "OBJECTED"
    assert await superuser.fetchval("select max(length(new_phone)) from recovery_case") == 0


async def test_one_of_staff_is_not_enough_and_one_no_forgets_the_number(
    superuser: asyncpg.Connection,
) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    case, member = (
        await lost.replacement_asked(superuser, owner, new),
        await make.staff(Role.SUPPORT),
    )
    await lost.decided(member, case, 1)
    with pytest.raises(refusals.ReviewerIsParty):
        await lost.decided(member, case, 2)
    await make.pass_time(superuser, 13 * HOURS)
    await refused(superuser, owner, new, case.id)
    ended = await lost.decided(await make.staff(Role.COMPLIANCE), case, 2, approve=False)
    assert (ended.state, ended.new_phone) == (CaseState.REJECTED, None)
    await refused(superuser, owner, new, case.id)


async def test_asking_again_for_the_same_number_finds_the_open_case(
    superuser: asyncpg.Connection,
) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    first = await lost.replacement_asked(superuser, owner, new)
    assert (await lost.replacement_asked(superuser, owner, new)).id == first.id
    assert await lost.kinds(superuser, owner.viewer) == ["RECOVERY_REQUESTED"]
    assert (await lost.review_asked(superuser, owner)).id != first.id
    await make.pass_time(superuser, 3 * DAY)
    assert (await lost.replacement_asked(superuser, owner, new)).id != first.id


async def test_of_many_completions_at_once_one_wins(superuser: asyncpg.Connection) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    case = await lost.replacement_approved(superuser, owner, new)
    first = await lost.replacement_begun(superuser, owner.phone, new)
    await make.pass_time(superuser, 61)
    second = await lost.replacement_begun(superuser, owner.phone, new)
    ways = (first, second, first, second)
    answers = await at_once(4, lambda n: lost.replacement_completed(*ways[n], case.id))
    assert answers.count(None) == 1, answers
    assert sum(isinstance(one, refusals.PhoneChangeInvalid) for one in answers) == 3
    assert await phone_of(superuser, owner) == new
    assert (await lost.kinds(superuser, owner.viewer)).count("PHONE_CHANGED") == 1


async def test_of_two_accounts_that_move_to_one_number_at_once_one_gets_it(
    superuser: asyncpg.Connection,
) -> None:
    owners, new = [await lost.owner(superuser) for _ in range(2)], make.phone()
    cases = [await lost.replacement_approved(superuser, owner, new) for owner in owners[:1]]
    cases.append(await lost.replacement_approved(superuser, owners[1], new))
    waiting = []
    for owner in owners:
        waiting.append(await lost.replacement_begun(superuser, owner.phone, new))
        await make.pass_time(superuser, 61)
    answers = await at_once(2, lambda n: lost.replacement_completed(*waiting[n], cases[n].id))
    assert answers.count(None) == 1, answers
    assert sum(isinstance(one, refusals.PhoneChangeInvalid) for one in answers) == 1
    states = [await state(superuser, case) for case in cases]
    assert sorted(states) == ["APPROVED", "USED"]


async def test_a_stranger_does_not_use_up_the_owners_tries_nor_guesses_for_long(
    superuser: asyncpg.Connection,
) -> None:
    owner, guess = await lost.owner(superuser), Identity(lost.NAME, "000000")
    limited = 0
    for _ in range(5):  # phones of their own, five tries each; a code has five tries
        new = make.phone()
        opened, code = await lost.replacement_begun(superuser, owner.phone, new)
        for _ in range(5):
            with pytest.raises(refusals.Refusal) as caught:
                await lost.replacement_claimed(opened, code, guess)
            limited += isinstance(caught.value, refusals.RateLimited)
    assert limited == 5, "twenty a day at one account"
    await make.pass_time(superuser, 61)
    opened, code = await lost.begun(superuser, owner.phone)
    await lost.completed(opened, code, owner.identity)  # which is the owner's, untouched
    assert "PASSWORD_RESET" in await lost.kinds(superuser, owner.viewer)


async def test_one_number_asks_five_times_a_day_right_or_wrong_whatever_the_account(
    superuser: asyncpg.Connection,
) -> None:
    owners, new = [await lost.owner(superuser) for _ in range(6)], make.phone()
    for owner in owners[:5]:
        opened, code = await lost.replacement_begun(superuser, owner.phone, new)
        await lost.replacement_claimed(opened, code, owner.identity)
        await make.pass_time(superuser, HOURS)
    opened, code = await lost.replacement_begun(superuser, owners[5].phone, new)
    with pytest.raises(refusals.RateLimited):
        await lost.replacement_claimed(opened, code, owners[5].identity)
    assert await lost.kinds(superuser, owners[5].viewer) == []
    await make.pass_time(superuser, DAY)
    assert await lost.replacement_asked(superuser, owners[5], new)


async def test_the_new_phone_alone_opens_nothing(superuser: asyncpg.Connection) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    await lost.replacement_approved(superuser, owner, new)
    await refused(superuser, owner, new, uuid4())
    opened, code = await lost.begun(superuser, new)
    with pytest.raises(refusals.ResetProofInvalid):
        await lost.completed(opened, code, owner.identity)
    with pytest.raises(refusals.WrongCredentials):
        await make.challenged(new)


async def test_texts_that_strangers_ask_for_keep_no_owner_from_signing_in() -> None:
    assert code_rules.asker(CodePurpose.REPLACE_PHONE) == "OPEN"
    assert code_rules.asker(CodePurpose.LOGIN) != "OPEN"
    assert CodePurpose.REPLACE_PHONE not in code_rules.TO_KNOWN_PHONES
