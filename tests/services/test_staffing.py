"""Who becomes staff, and who decides it: by the product's doors, at once, and by hostile SQL."""

from __future__ import annotations

import uuid

import asyncpg
import pytest

from domain import refusals
from domain.identity import Role, Viewer
from domain.staffing import ChangeDecision, ChangeState, StaffRole
from resolvers import sessions, staffing
from services import people as services_people
from services.identity import first_admin
from services.identity.staffing import Change
from services.unit_of_work import unit_of_work
from tests import movement as town
from tests import passkeys as keys
from tests import people
from tests.races import at_once

pytestmark = pytest.mark.usefixtures("counter")
WHY = "新的同事"


async def first() -> Viewer:
    """The first ADMIN, elevated."""
    async with unit_of_work() as work:
        user_id = await first_admin.make(
            work, name="方启明", phone=people.phone(), password_hash="v1"
        )
    return await people.signed_in(user_id, elevated=True)


async def appointed(admin: Viewer, role: StaffRole) -> tuple[Viewer, Change]:
    """A resident as the ADMIN's new colleague, elevated; or as a resident, where it is proposed."""
    number = people.phone()
    newcomer = await town.resident(number=number)
    change = await staffing.appoint_staff(admin, phone=number, role=role, reason=WHY)
    assert change.user_id == newcomer.user_id
    return await people.signed_in(newcomer.user_id, elevated=True), change


async def admins(count: int) -> list[Viewer]:
    """So many ADMINs, each appointed as it has to be."""
    found = [await first()]
    while len(found) < count:
        colleague, change = await appointed(found[0], StaffRole.ADMIN)
        if change.state is ChangeState.PROPOSED:
            await staffing.decide_role_change(
                found[1], change_id=change.id, decision=ChangeDecision.CONFIRM
            )
        found.append(await people.signed_in(colleague.user_id, elevated=True))
    return found


async def role_of(superuser: asyncpg.Connection, viewer: Viewer) -> str:
    return await superuser.fetchval("select role from users where id = $1", viewer.user_id)


async def test_whom_an_admin_appoints_is_staff_at_the_next_sign_in_and_that_is_on_record(
    superuser: asyncpg.Connection,
) -> None:
    admin, number = await first(), people.phone()
    newcomer = await town.resident(number=number)

    change = await staffing.appoint_staff(admin, phone=number, role=StaffRole.RISK, reason=WHY)

    assert (change.state, change.from_role, change.to_role) == ("DONE", "RESIDENT", "RISK")
    assert (await sessions.current(newcomer))[0] == "OVER", "what ran was permitted to a resident"
    member = await people.signed_in(newcomer.user_id)
    assert (member.role, member.account_id) == (Role.RISK, None), "the wallet rests"
    entry = await superuser.fetchrow(
        "select actor_id, object, role, session_id, reason is not null as why,"
        " detail::text as detail from audit_entry where action = 'CHANGE_ROLE'"
    )
    assert entry is not None
    assert (entry["actor_id"], entry["object"]) == (admin.user_id, f"user:{newcomer.user_id}")
    assert (entry["role"], entry["session_id"]) == ("ADMIN", admin.session_id)
    assert entry["why"], "sealed"
    assert '"to": "RISK"' in entry["detail"]
    assert WHY not in entry["detail"]
    kinds = await superuser.fetch("select kind from notice where user_id = $1", newcomer.user_id)
    assert [row["kind"] for row in kinds] == ["STAFF_ROLE_CHANGED"]


async def test_whoever_is_dismissed_is_a_resident_with_the_old_wallet(
    superuser: asyncpg.Connection,
) -> None:
    admin = await first()
    member, _ = await appointed(admin, StaffRole.FINANCE)
    await staffing.dismiss_staff(admin, user_id=member.user_id, reason="离职")
    assert (await sessions.current(member))[0] == "OVER"
    back = await people.signed_in(member.user_id)
    assert back.role is Role.RESIDENT
    assert back.account_id is not None


async def test_a_role_is_changed_from_the_one_that_it_is(superuser: asyncpg.Connection) -> None:
    admin = await first()
    member, _ = await appointed(admin, StaffRole.FINANCE)
    await staffing.change_staff_role(
        admin, user_id=member.user_id, role=StaffRole.AUDITOR, reason=WHY
    )
    assert await role_of(superuser, member) == "AUDITOR"
    with pytest.raises(refusals.StaleVersion):
        await staffing.change_staff_role(
            admin, user_id=member.user_id, role=StaffRole.AUDITOR, reason=WHY
        )


async def test_who_cannot_be_appointed_stays_what_they_are(superuser: asyncpg.Connection) -> None:
    admin = await first()
    numbers = [people.phone() for _ in range(3)]
    rich = await town.resident(number=numbers[0], balance=100)
    applicant = (await people.registered(superuser, numbers[1])).viewer
    operator = await town.person(Role.MERCHANT, "陈思远", numbers[2])
    for number, refusal in (
        (numbers[0], refusals.WalletInUse),
        (numbers[1], refusals.AccountNotActive),
        (numbers[2], refusals.StaleVersion),
        (people.phone(), refusals.NotFound),
        ("0755 1234", refusals.InvalidInput),
    ):
        with pytest.raises(refusal):
            await staffing.appoint_staff(admin, phone=number, role=StaffRole.RISK, reason=WHY)
    with pytest.raises(refusals.InvalidInput):
        await staffing.appoint_staff(admin, phone=numbers[1], role=StaffRole.RISK, reason=" ")
    roles = await superuser.fetch(
        "select role from users where id = any($1) order by role",
        [rich.user_id, applicant.user_id, operator],
    )
    assert [row["role"] for row in roles] == ["MERCHANT", "RESIDENT", "RESIDENT"]
    assert await superuser.fetchval("select count(*) from role_change") == 1, "the first ADMIN's"


async def test_nobody_changes_the_own_role_nor_without_elevation(
    superuser: asyncpg.Connection,
) -> None:
    admin = await first()
    for call in (
        staffing.dismiss_staff(admin, user_id=admin.user_id, reason=WHY),
        staffing.change_staff_role(admin, user_id=admin.user_id, role=StaffRole.RISK, reason=WHY),
    ):
        with pytest.raises(refusals.NotPermitted):
            await call
    member, _ = await appointed(admin, StaffRole.RISK)
    plain = await people.signed_in(admin.user_id)
    with pytest.raises(refusals.ElevationRequired):
        await staffing.dismiss_staff(plain, user_id=member.user_id, reason=WHY)
    with pytest.raises(refusals.NotPermitted):
        await staffing.dismiss_staff(member, user_id=admin.user_id, reason=WHY)
    assert (await role_of(superuser, admin), await role_of(superuser, member)) == ("ADMIN", "RISK")


async def test_a_third_admin_needs_two_and_the_proposer_is_not_the_second(
    superuser: asyncpg.Connection,
) -> None:
    one, two = await admins(2)
    newcomer, change = await appointed(one, StaffRole.ADMIN)
    assert change.state is ChangeState.PROPOSED
    assert await role_of(superuser, newcomer) == "RESIDENT"
    with pytest.raises(refusals.SecondPersonNeeded):
        await staffing.decide_role_change(one, change_id=change.id, decision=ChangeDecision.CONFIRM)
    assert await role_of(superuser, newcomer) == "RESIDENT"
    done = await staffing.decide_role_change(
        two, change_id=change.id, decision=ChangeDecision.CONFIRM
    )
    assert (done.state, done.decided_by) == (ChangeState.DONE, two.user_id)
    assert await role_of(superuser, newcomer) == "ADMIN"
    with pytest.raises(refusals.StaleVersion):
        await staffing.decide_role_change(two, change_id=change.id, decision=ChangeDecision.REJECT)


async def test_the_one_in_question_does_not_decide(superuser: asyncpg.Connection) -> None:
    one, two, three = await admins(3)
    change = await staffing.dismiss_staff(one, user_id=three.user_id, reason="离职")
    assert change.state is ChangeState.PROPOSED
    for decision in ChangeDecision:
        with pytest.raises(refusals.NotPermitted):
            await staffing.decide_role_change(three, change_id=change.id, decision=decision)
    rejected = await staffing.decide_role_change(
        two, change_id=change.id, decision=ChangeDecision.REJECT
    )
    assert rejected.state is ChangeState.REJECTED
    assert await role_of(superuser, three) == "ADMIN"


async def test_a_proposal_ends_after_a_day_and_by_its_proposer_leaving(
    superuser: asyncpg.Connection,
) -> None:
    one, two, three = await admins(3)
    newcomer, change = await appointed(one, StaffRole.ADMIN)
    with pytest.raises(refusals.StaleVersion):  # one proposal at a time
        await staffing.appoint_staff(
            two, phone=await _number(newcomer), role=StaffRole.ADMIN, reason=WHY
        )
    leaving = await staffing.dismiss_staff(two, user_id=one.user_id, reason="离职")
    await staffing.decide_role_change(three, change_id=leaving.id, decision=ChangeDecision.CONFIRM)
    with pytest.raises(refusals.StaleVersion):
        await staffing.decide_role_change(
            three, change_id=change.id, decision=ChangeDecision.CONFIRM
        )
    await people.pass_time(superuser, 86_401)
    again = await staffing.appoint_staff(
        two, phone=await _number(newcomer), role=StaffRole.ADMIN, reason=WHY
    )
    listed = await staffing.role_changes(two, limit=3, after=None, before=None, backwards=False)
    assert listed[0].id == again.id
    assert await role_of(superuser, newcomer) == "RESIDENT"


async def _number(viewer: Viewer) -> str:
    return services_people.phone_of(viewer)


async def test_two_admins_who_dismiss_each_other_at_once_leave_one(
    superuser: asyncpg.Connection,
) -> None:
    pair = await admins(2)

    async def dismiss(number: int) -> Change:
        return await staffing.dismiss_staff(
            pair[number], user_id=pair[1 - number].user_id, reason="离职"
        )

    answers = await at_once(2, dismiss)
    assert sum(isinstance(one, Change) for one in answers) == 1
    assert sum(isinstance(one, refusals.NotPermitted) for one in answers) == 1
    assert await superuser.fetchval("select count(*) from users where role = 'ADMIN'") == 1


async def test_of_many_confirmations_at_once_one_counts(superuser: asyncpg.Connection) -> None:
    one, two = await admins(2)
    newcomer, change = await appointed(one, StaffRole.ADMIN)

    async def confirm(_: int) -> Change:
        return await staffing.decide_role_change(
            two, change_id=change.id, decision=ChangeDecision.CONFIRM
        )

    answers = await at_once(8, confirm)
    assert sum(isinstance(answer, Change) for answer in answers) == 1
    assert sum(isinstance(answer, refusals.StaleVersion) for answer in answers) == 7
    rows = await superuser.fetchval(
        "select count(*) from audit_entry where action = 'CHANGE_ROLE' and object = $1",
        f"user:{newcomer.user_id}",
    )
    assert rows == 1


async def test_members_are_listed_and_who_looked_is_on_record(
    superuser: asyncpg.Connection,
) -> None:
    admin = await first()
    member, _ = await appointed(admin, StaffRole.RISK)
    auditor, _ = await appointed(admin, StaffRole.AUDITOR)
    rows = await staffing.members(auditor, limit=2, after=None, before=None, backwards=False)
    assert [row.user_id for row in rows] == [auditor.user_id, member.user_id]
    assert "****" in rows[0].phone
    with pytest.raises(refusals.NotPermitted):
        await staffing.members(member, limit=2, after=None, before=None, backwards=False)
    looked = await superuser.fetchval(
        "select actor_id from audit_entry where action = 'READ_STAFF'"
    )
    assert looked == auditor.user_id


# --- somebody with a stolen login of the app ---------------------------------------------------

HOSTILE = [
    "update users set role = 'ADMIN'",
    "update users set role = 'RESIDENT' where role = 'ADMIN'",
    "update users set status = 'CLOSED' where role = 'ADMIN'",
    "insert into users(role, status, phone, phone_index, name, password_hash)"
    " values ('ADMIN', 'ACTIVE', '', 'x', '', '')",
    "merge into users u using (values (1)) v(x) on true when matched then update set role = 'RISK'",
    "insert into role_change(user_id, from_role, to_role, state, proposed_by, proposed_at,"
    " decided_by, decided_at) values (1, 'RESIDENT', 'ADMIN', 'DONE', 2, now(), 3, now())",
    "update role_change set proposed_by = 5",
    "delete from role_change",
    "truncate role_change",
    "delete from elevation",
    "update elevation set until = 'infinity'",
    "select apply_role_change(c) from role_change c",
    "select record_role_change(c, 1, 'X', null) from role_change c",
    "select role_change_hindrance(1, c) from role_change c",
    "alter table users disable trigger users_role_changed",
    "drop trigger users_role_changed on users",
    "create or replace function guard_roles() returns trigger language plpgsql as"
    " $$ begin return new; end $$",
    "set session_replication_role = replica",
]  # fmt: skip


@pytest.mark.parametrize("login", ["api", "worker"])
async def test_a_login_cannot_write_a_role(login, api, worker, superuser) -> None:
    connection = {"api": api, "worker": worker}[login]
    admin = await first()
    member, _ = await appointed(admin, StaffRole.RISK)
    question = "select id, role, status from users order by id"
    before = await superuser.fetch(question)
    done = []
    for statement in HOSTILE:
        try:
            async with connection.transaction():
                await connection.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            continue
        except asyncpg.PostgresError as error:
            if error.sqlstate == "WL001":
                continue
        done.append(statement)
    assert done == []
    assert await superuser.fetch(question) == before
    assert (await role_of(superuser, member)) == "RISK"


async def test_the_functions_take_no_word_but_that_an_admin_is_there(api, superuser) -> None:
    """Who the actor is, is the app's word; that it is another person and an ADMIN is not."""
    one, _ = await admins(2)
    member, _ = await appointed(one, StaffRole.RISK)
    resident = await town.resident()
    call = "select change_role_v1($1, $2, $3, $4, $5, null, $6::jsonb)"
    forged = '{"actor_id": 1, "action": "NOTHING", "object": "user:1", "created_at": "2001-01-01"}'

    async def change(actor: Viewer, user: Viewer, of: str, to: str) -> str:
        return await api.fetchval(call, uuid.uuid4(), actor.user_id, user.user_id, of, to, forged)

    assert await change(resident, resident, "RESIDENT", "ADMIN") == "NOT_PERMITTED"
    assert await change(member, resident, "RESIDENT", "RISK") == "NOT_PERMITTED"
    assert await change(one, one, "ADMIN", "RESIDENT") == "NOT_PERMITTED"
    assert await change(one, resident, "RESIDENT", "MERCHANT") == "WALLET_IN_USE"
    assert await change(one, resident, "RESIDENT", "ADMIN") == "PROPOSED"
    [change_id] = await superuser.fetchrow("select id from role_change where state = 'PROPOSED'")
    decide = "select decide_role_change_v1($1, $2, true, null)"
    assert await api.fetchval(decide, change_id, one.user_id) == "SAME_PERSON"
    assert await api.fetchval(decide, change_id, resident.user_id) == "NOT_PERMITTED"
    assert await api.fetchval("select make_first_admin_v1($1, $2)", uuid.uuid4(), 1) == "EXISTS"
    with pytest.raises(asyncpg.PostgresError):
        await change(one, member, "RISK", "EMPEROR")
    assert await role_of(superuser, resident) == "RESIDENT"
    entry = await superuser.fetchrow(
        "select actor_id, action, object, created_at > '2020-01-01' as real from audit_entry"
        " where action = 'PROPOSE_ROLE' and object = $1",
        f"user:{resident.user_id}",
    )
    assert tuple(entry) == (one.user_id, "PROPOSE_ROLE", f"user:{resident.user_id}", True)


async def test_a_passkey_or_a_freeze_is_no_use_of_a_wallet_but_a_payment_is(
    superuser: asyncpg.Connection,
) -> None:
    """Events without money: a newcomer may add a passkey before the appointment."""
    admin, number = await first(), people.phone()
    newcomer = await town.resident(number=number)
    await keys.added(newcomer)
    assert await superuser.fetchval(
        "select seq from ledger.account where id = $1", newcomer.account_id
    )
    change = await staffing.appoint_staff(admin, phone=number, role=StaffRole.RISK, reason=WHY)
    assert change.state is ChangeState.DONE
    spender = people.phone()
    await town.resident(number=spender, balance=100)
    with pytest.raises(refusals.WalletInUse):
        await staffing.appoint_staff(admin, phone=spender, role=StaffRole.RISK, reason=WHY)
