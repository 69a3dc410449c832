"""Staff look residents up: masked, for a reason, on record; and freeze for whoever calls."""

from __future__ import annotations

import asyncpg
import pytest

from domain import refusals
from domain.identity import Role, Status, Viewer
from domain.ledger import AccountStatus, FreezeLevel
from domain.staffing import CALLER_FREEZES_HOURLY_MAX, LOOK_UPS_HOURLY_MAX
from resolvers import registrations, residents, risk, wallets
from services import people as services_people
from services.residents import Resident
from tests import movement as town
from tests import people
from tests.races import at_once

pytestmark = pytest.mark.usefixtures("counter")
WHY = "来电咨询冻结原因"
NAME = "李小龙"


async def entries(superuser: asyncpg.Connection, action: str) -> list[asyncpg.Record]:
    return await superuser.fetch(
        "select actor_id, object, detail::text as detail, reason is not null as why"
        " from audit_entry where action = $1 order by created_at",
        action,
    )


async def look(viewer: Viewer, phone: str, *, reason: str = WHY) -> Resident:
    return await residents.resident(viewer, phone=phone, reason=reason)


async def test_support_sees_a_masked_resident_and_the_open_case(
    superuser: asyncpg.Connection,
) -> None:
    number = people.phone()
    owner, support = await town.resident(NAME, number=number), await people.staff(Role.SUPPORT)
    officer = await people.staff(Role.RISK)
    case, _ = await risk.freeze_wallet(
        officer, user_id=owner.user_id, reason="盗用", key=town.key("freeze")
    )
    found = await look(support, number)
    assert (found.user_id, found.name) == (owner.user_id, "李*龙")
    assert number not in repr(found)
    assert found.phone.count("*") == 4
    assert found.wallet is not None
    assert found.wallet.status == AccountStatus.DEBITS_BLOCKED
    assert [one.id for one in found.cases] == [case.id]
    [entry] = await entries(superuser, "FIND_RESIDENT")
    assert (entry["actor_id"], entry["object"]) == (support.user_id, f"user:{owner.user_id}")
    assert WHY not in entry["detail"], "a reason may name people: it is sealed"
    assert entry["why"], "but it is kept"


async def test_what_is_found_can_be_frozen(superuser: asyncpg.Connection) -> None:
    number = people.phone()
    await town.resident(NAME, number=number)
    officer = await people.staff(Role.RISK)
    found = await look(officer, number)
    await risk.freeze_wallet(
        officer,
        user_id=found.user_id,
        reason="盗用",
        key=town.key("freeze"),
        level=FreezeLevel.FULL,
    )
    again = await look(officer, number)
    assert again.wallet is not None
    assert again.wallet.status == AccountStatus.FROZEN


async def test_looking_in_vain_is_on_record_and_staff_are_not_found(
    superuser: asyncpg.Connection,
) -> None:
    support, colleague = await people.staff(Role.SUPPORT), await people.staff(Role.ADMIN)
    for number in (people.phone(), services_people.phone_of(colleague)):
        with pytest.raises(refusals.NotFound):
            await look(support, number)
    rows = await entries(superuser, "FIND_RESIDENT")
    assert [row["object"] for row in rows] == ["user", "user"]


async def test_without_reason_role_or_elevation_nothing_is_read_or_counted(
    superuser: asyncpg.Connection,
) -> None:
    number = people.phone()
    owner = await town.resident(NAME, number=number)
    support = await people.staff(Role.SUPPORT)
    with pytest.raises(refusals.InvalidInput):
        await look(support, number, reason="  ")
    for viewer in (owner, await people.staff(Role.FINANCE), await people.staff(Role.AUDITOR)):
        with pytest.raises(refusals.NotPermitted):
            await look(viewer, number)
    plain = await people.staff(Role.COMPLIANCE, elevated=False)
    with pytest.raises(refusals.ElevationRequired):
        await residents.resident_in_full(plain, user_id=owner.user_id, reason=WHY)
    with pytest.raises(refusals.NotPermitted):
        await residents.resident_in_full(support, user_id=owner.user_id, reason=WHY)
    assert await superuser.fetchval("select count(*) from audit_entry") == 0
    assert await superuser.fetchval("select count(*) from recipient_lookup") == 0


async def test_whole_data_is_for_the_elevated_and_on_record(
    superuser: asyncpg.Connection,
) -> None:
    number = people.phone()
    owner, officer = await town.resident(NAME, number=number), await people.staff(Role.COMPLIANCE)
    found = await residents.resident_in_full(officer, user_id=owner.user_id, reason=WHY)
    assert (found.name, found.phone) == (NAME, number)
    assert number not in repr(found)
    [entry] = await entries(superuser, "READ_PERSONAL_DATA")
    assert (entry["actor_id"], entry["object"]) == (officer.user_id, f"user:{owner.user_id}")
    for user_id in (officer.user_id, 2**40):
        with pytest.raises(refusals.NotFound):
            await residents.resident_in_full(officer, user_id=user_id, reason=WHY)


async def test_nobody_looks_the_whole_city_up(superuser: asyncpg.Connection) -> None:
    number = people.phone()
    await town.resident(NAME, number=number)
    support, other = await people.staff(Role.SUPPORT), await people.staff(Role.SUPPORT)

    async def ask(_: int) -> Resident:
        return await look(support, number)

    answers = [one for _ in range(5) for one in await at_once(LOOK_UPS_HOURLY_MAX // 4, ask)]
    seen = sum(isinstance(one, Resident) for one in answers)
    assert seen == LOOK_UPS_HOURLY_MAX
    assert sum(isinstance(one, refusals.RateLimited) for one in answers) == len(answers) - seen
    assert len(await entries(superuser, "FIND_RESIDENT")) == seen
    assert isinstance(await look(other, number), Resident), "each member for themselves"


async def freeze(
    viewer: Viewer,
    number: str,
    name: str,
    *,
    last6: str | None = None,
    level: FreezeLevel = FreezeLevel.FULL,
    key: str = "",
) -> AccountStatus:
    return await residents.freeze_for_caller(
        viewer,
        phone=number,
        name=name,
        id_number_last6=last6,
        level=level,
        reason="手机丢失，来电挂失",
        key=key or town.key("call"),
    )


async def test_a_caller_who_knows_phone_and_name_has_the_wallet_frozen(
    superuser: asyncpg.Connection,
) -> None:
    number = people.phone()
    owner, support = (
        await town.resident("John Miller", number=number),
        await people.staff(Role.SUPPORT),
    )
    assert await freeze(support, number, " john  MILLER") is AccountStatus.FROZEN
    case = await risk.own_freeze(owner)
    assert case is not None
    assert case.opened_by == support.user_id
    wallet = await wallets.wallet(owner)
    assert wallet is not None
    assert (wallet.status, wallet.frozen_by_owner) == (AccountStatus.FROZEN, False)
    rows = await entries(superuser, "FREEZE_FOR_CALLER")
    assert [(row["actor_id"], '"verified": true' in row["detail"]) for row in rows] == [
        (support.user_id, True)
    ]


async def test_whoever_has_told_an_id_number_is_asked_for_its_last_six(
    superuser: asyncpg.Connection,
) -> None:
    number, id_number = people.phone(), people.id_number()
    told = registrations.Told(id_number=id_number)
    owner = (await people.registered(superuser, number, told=told)).viewer
    assert await people.reviewed(owner.user_id) is Status.ACTIVE
    support = await people.staff(Role.SUPPORT)
    wrong = f"{(int(id_number[-6:-1]) + 1) % 100_000:05d}{id_number[-1]}"
    for last6 in (None, "", wrong, id_number, id_number[-5:]):
        with pytest.raises(refusals.NotFound):
            await freeze(support, number, "王小明", last6=last6)
    with pytest.raises(refusals.NotFound):
        await freeze(support, number, "王大明", last6=id_number[-6:])
    assert await superuser.fetchval("select count(*) from ledger.account where status <> 1") == 0
    typed = f" {id_number[-6:].lower()} "
    assert await freeze(support, number, "王小明", last6=typed) is AccountStatus.FROZEN
    dumped = await superuser.fetchval("select string_agg(a::text, ' ') from audit_entry a")
    assert id_number[-6:] not in dumped


async def test_the_same_call_twice_and_a_second_call_freeze_once(
    superuser: asyncpg.Connection,
) -> None:
    number = people.phone()
    await town.resident(NAME, number=number)
    support = await people.staff(Role.SUPPORT)
    key = town.key("call")
    for used in (key, key, town.key("call")):
        assert await freeze(support, number, NAME, key=used) is AccountStatus.FROZEN
    weaker = await freeze(support, number, NAME, level=FreezeLevel.DEBIT_BLOCK)
    assert weaker is AccountStatus.FROZEN, "a weaker freeze loosens nothing"
    assert await superuser.fetchval("select count(*) from risk_case") == 1


async def test_a_wrong_name_and_an_unknown_number_freeze_nothing_and_sound_the_same(
    superuser: asyncpg.Connection,
) -> None:
    number = people.phone()
    await town.resident(NAME, number=number)
    support, finance = await people.staff(Role.SUPPORT), await people.staff(Role.FINANCE)
    for phone, name in ((number, "李大龙"), (people.phone(), NAME), (number, "")):
        with pytest.raises(refusals.NotFound):
            await freeze(support, phone, name)
    with pytest.raises(refusals.NotPermitted):
        await freeze(finance, number, NAME)
    assert await superuser.fetchval("select count(*) from ledger.account where status <> 1") == 0
    rows = await entries(superuser, "FREEZE_FOR_CALLER")
    assert len(rows) == 3
    assert not any('"verified": true' in row["detail"] for row in rows)


async def test_names_are_not_guessed_by_calling_again_and_again(
    superuser: asyncpg.Connection,
) -> None:
    number = people.phone()
    await town.resident(NAME, number=number)
    support = await people.staff(Role.SUPPORT)
    for _ in range(CALLER_FREEZES_HOURLY_MAX):
        with pytest.raises(refusals.NotFound):
            await freeze(support, number, "李大龙")
    with pytest.raises(refusals.RateLimited):
        await freeze(support, number, NAME)
    assert await superuser.fetchval("select count(*) from ledger.account where status <> 1") == 0
