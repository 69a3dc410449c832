"""Another phone number: what it takes, what it changes, and what strangers see of it."""

from __future__ import annotations

import asyncpg
import pytest

from domain import refusals
from domain.identity import Viewer
from domain.proofs import Passkey, Pin
from resolvers import phone_changes, proof_challenges
from resolvers.proof_challenges import Action
from services import people as persons
from services.identity import codes, sessions
from services.unit_of_work import unit_of_work
from tests import passkeys as keys
from tests import people as make
from tests import recovery as lost
from tests.authenticator import Authenticator
from tests.races import at_once
from tests.recovery import Owner

pytestmark = pytest.mark.usefixtures("counter")


async def begun(
    superuser: asyncpg.Connection, owner: Owner, new_phone: str
) -> tuple[phone_changes.Opened, tuple[str, str]]:
    opened = await lost.change_asked(owner, await lost.with_device(owner), new_phone)
    return opened, await lost.change_codes(superuser, owner, new_phone)


async def phone_of(superuser: asyncpg.Connection, viewer: Viewer) -> str:
    row = await superuser.fetchrow(
        "select phone, phone_index from users where id = $1", viewer.user_id
    )
    assert row is not None
    phone = persons.open_phone(viewer.user_id, row["phone"])
    assert persons.phone_index(phone) == row["phone_index"]
    return phone


async def refused(
    superuser: asyncpg.Connection,
    owner: Owner,
    opened: phone_changes.Opened,
    given: tuple[str, str],
    viewer: Viewer | None = None,
) -> None:
    """One answer, after which the account is as it was."""
    before = await lost.standing(superuser, [owner.phone])
    with pytest.raises(refusals.PhoneChangeInvalid) as caught:
        await lost.change_confirmed(viewer or owner.viewer, opened, given)
    assert caught.value.path == ("input",)
    assert await lost.standing(superuser, [owner.phone]) == before


def other(code: str) -> str:
    return "000000" if code != "000000" else "000001"


async def test_both_codes_move_the_account_and_end_all_other_sessions(
    superuser: asyncpg.Connection,
) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    elsewhere = await make.another_session(owner.viewer)
    opened, given = await begun(superuser, owner, new)
    waiting = await make.challenged(owner.phone)

    changed = await lost.change_confirmed(owner.viewer, opened, given)

    assert persons.phone_of(changed) == await phone_of(superuser, owner.viewer) == new
    assert elsewhere.session_id is not None
    async with unit_of_work() as work:
        assert await sessions.viewer_by_session(work, elsewhere.session_id) is None
    with pytest.raises(refusals.LoginChallengeInvalid):
        await make.complete(waiting, owner.key)
    with pytest.raises(refusals.WrongCredentials):
        await make.challenged(owner.phone)
    await make.signed_in_again(new, owner.key)
    assert (await lost.kinds(superuser, owner.viewer))[-1] == "PHONE_CHANGED"
    assert await lost.careful(superuser, owner.viewer) is not None
    actions = await superuser.fetch("select actor_id, action from audit_entry")
    assert [tuple(row) for row in actions] == [(owner.viewer.user_id, "CHANGE_PHONE")]


async def test_the_old_number_is_told_too_and_neither_number_is_in_the_text(
    superuser: asyncpg.Connection,
) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    opened, given = await begun(superuser, owner, new)
    await superuser.execute("delete from ledger.outbox")
    await lost.change_confirmed(owner.viewer, opened, given)
    sent = await lost.sms_to_send(superuser)
    assert sorted(one.phone for one in sent) == sorted([owner.phone, new])
    assert not any(phone[3:] in one.text for one in sent for phone in (owner.phone, new))
    assert await superuser.fetchval("select length(new_phone) from phone_change") == 0


async def test_whatever_is_wrong_gets_one_answer(superuser: asyncpg.Connection) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    opened, (old_code, new_code) = await begun(superuser, owner, new)
    await refused(superuser, owner, opened, (other(old_code), new_code))
    await refused(superuser, owner, opened, (old_code, other(new_code)))
    if old_code != new_code:
        await refused(superuser, owner, opened, (new_code, old_code))
    await refused(superuser, owner, opened, (old_code, "12345"))
    stranger = await make.resident(superuser)
    await refused(superuser, owner, opened, (old_code, new_code), stranger)
    await lost.change_confirmed(owner.viewer, opened, (old_code, new_code))
    with pytest.raises(refusals.PhoneChangeInvalid):
        await lost.change_confirmed(owner.viewer, opened, (old_code, new_code))


async def test_five_wrong_tries_or_minutes_end_a_change(superuser: asyncpg.Connection) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    opened, given = await begun(superuser, owner, new)
    for _ in range(5):
        await refused(superuser, owner, opened, (other(given[0]), given[1]))
    await refused(superuser, owner, opened, given)
    await make.pass_time(superuser, 61)
    opened, given = await begun(superuser, owner, new)
    await make.pass_time(superuser, 301)
    await refused(superuser, owner, opened, given)


async def test_a_number_that_is_somebodys_gets_no_code_and_the_same_answers(
    superuser: asyncpg.Connection,
) -> None:
    owner, neighbour = await lost.owner(superuser), await lost.owner(superuser)
    device = await lost.with_device(owner)
    before = await lost.standing(superuser, [neighbour.phone])
    answers = []
    for new in (neighbour.phone, make.phone()):
        opened = await lost.change_asked(owner, device, new)
        answers.append(opened.resend_after_seconds)
        sent = []
        for phone in (owner.phone, new):
            code_id = await make.asked(superuser, phone, make.CodePurpose.CHANGE_PHONE)
            assert code_id is not None
            async with unit_of_work() as work:
                sent.append(await codes.to_send(work, code_id, language="en") is not None)
        assert sent == [True, new != neighbour.phone]
        given = await lost.change_codes(superuser, owner, new)
        if new == neighbour.phone:
            await refused(superuser, owner, opened, given)
            await make.pass_time(superuser, 61)
    assert answers[0] == answers[1]
    assert await lost.standing(superuser, [neighbour.phone]) == before


async def test_password_proof_and_another_mobile_number_are_needed(
    superuser: asyncpg.Connection,
) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    device = await lost.with_device(owner)

    async def ask(
        phone: str = new,
        password: str = make.PASSWORD,
        subject: str = new,
        action: Action = Action.CHANGE_PHONE,
    ) -> None:
        asked = await proof_challenges.request_step_up_challenge(
            owner.viewer, action=action, subject=subject
        )
        assert asked.options is not None
        await phone_changes.request_phone_change(
            owner.viewer,
            new_phone=phone,
            password=password,
            proof=Passkey(asked.id, device.get(asked.options)),
            address=lost.ADDRESS,
            language="en",
        )

    for phone in ("0755 8888 8888", owner.phone):
        with pytest.raises(refusals.InvalidInput) as caught:
            await ask(phone)
        assert caught.value.path == ("input", "newPhone")
    with pytest.raises(refusals.WrongCredentials):
        await ask(password="not the password")
    with pytest.raises(refusals.ChallengeInvalid):
        await ask(subject=make.phone())
    with pytest.raises(refusals.ChallengeInvalid):
        await ask(action=Action.EXPORT_DATA)
    with pytest.raises(refusals.ProofTooWeak):
        await phone_changes.request_phone_change(
            owner.viewer,
            new_phone=new,
            password=make.PASSWORD,
            proof=Pin(make.PIN),
            address=lost.ADDRESS,
            language="en",
        )
    assert await superuser.fetchval("select count(*) from phone_change") == 0
    assert await make.asked(superuser, new, make.CodePurpose.CHANGE_PHONE) is None
    await ask()


async def test_a_later_wish_voids_the_one_before(superuser: asyncpg.Connection) -> None:
    owner = await lost.owner(superuser)
    device = await lost.with_device(owner)
    first_phone, second_phone = make.phone(), make.phone()
    first = await lost.change_asked(owner, device, first_phone)
    first_codes = await lost.change_codes(superuser, owner, first_phone)
    await make.pass_time(superuser, 61)
    await lost.change_asked(owner, device, second_phone)
    await refused(superuser, owner, first, first_codes)


async def test_of_two_who_move_to_one_number_at_once_one_gets_it(
    superuser: asyncpg.Connection,
) -> None:
    new, owners = make.phone(), [await lost.owner(superuser) for _ in range(4)]
    waiting = []
    for owner in owners:
        waiting.append(await begun(superuser, owner, new))
        await make.pass_time(superuser, 61)

    answers = await at_once(4, lambda n: lost.change_confirmed(owners[n].viewer, *waiting[n]))

    won = [number for number, answer in enumerate(answers) if isinstance(answer, Viewer)]
    assert len(won) == 1, answers
    assert sum(isinstance(answer, refusals.PhoneChangeInvalid) for answer in answers) == 3
    phones = [await phone_of(superuser, owner.viewer) for owner in owners]
    assert [phone == new for phone in phones].count(True) == 1
    told = "select count(*) from notice where kind = 'PHONE_CHANGED'"
    assert await superuser.fetchval(told) == 1


async def test_of_one_change_confirmed_many_times_one_counts(
    superuser: asyncpg.Connection,
) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    opened, given = await begun(superuser, owner, new)
    answers = await at_once(5, lambda _: lost.change_confirmed(owner.viewer, opened, given))
    assert sum(isinstance(answer, Viewer) for answer in answers) == 1, answers
    assert (await lost.kinds(superuser, owner.viewer)).count("PHONE_CHANGED") == 1


async def test_two_who_ask_for_each_others_number_at_once_do_not_wait_in_a_circle(
    superuser: asyncpg.Connection,
) -> None:
    pair = [await lost.owner(superuser) for _ in range(2)]
    devices: list[Authenticator] = [(await keys.added(one.viewer))[0] for one in pair]
    answers = await at_once(2, lambda n: lost.change_asked(pair[n], devices[n], pair[1 - n].phone))
    kinds = sorted(getattr(answer, "code", "asked") for answer in answers)
    assert kinds == ["RATE_LIMITED", "asked"]  # one text a minute to each phone
