"""Applications with an ID number: reviewed, rejected, corrected, and how many a person may have."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from domain import refusals
from domain.identity import ANONYMOUS, Decision, KycLevel, Role, Status, Viewer
from infra import settings
from infra.bank import LinkedCard
from resolvers import identity, registrations
from resolvers.registrations import NOTHING_TOLD, Told
from services import people, wallets
from services.unit_of_work import unit_of_work
from tests import people as make
from tests import races

pytestmark = pytest.mark.usefixtures("app")
WINDOW: dict[str, Any] = {"limit": 10, "after": None, "before": None, "backwards": False}


async def applied(
    superuser: asyncpg.Connection, *, name: str = "王小明", told: Told = NOTHING_TOLD
) -> Viewer:
    """Somebody whose application the rules have looked at."""
    signed_in = await make.registered(superuser, make.phone(), name=name, told=told)
    await make.reviewed(signed_in.viewer.user_id)
    return await make.again(signed_in.viewer)


async def born(superuser: asyncpg.Connection, years_ago: int) -> str:
    """An ID number of somebody whose birthday it is today in the city."""
    day = await superuser.fetchval(
        "select to_char((ledger.now() at time zone zone)::date - make_interval(years => $1),"
        " 'YYYYMMDD') from ledger.city",
        years_ago,
    )
    return make.id_number(day)


async def resubmit(viewer: Viewer, name: str = "王小明", told: Told = NOTHING_TOLD) -> Viewer:
    return await registrations.resubmit_registration(viewer, name=name, told=told)


async def decide(staff: Viewer, applicant: Viewer, decision: Decision) -> Any:
    return await registrations.review_registration(
        staff,
        user_id=applicant.user_id,
        decision=decision,
        reason="因为",
        expected_version=applicant.version,
    )


async def link_card(viewer: Viewer) -> None:
    async with unit_of_work() as work:
        await wallets.keep_card(
            work,
            user_id=viewer.user_id,
            holder_name=people.name_of(viewer),
            number_index=f"card of {viewer.user_id}",
            linked=LinkedCard(card_token="t", bank_name="招商银行", last4="1234"),
        )


# --- what is told -----------------------------------------------------------------------------


async def test_an_id_number_is_normalised_sealed_and_masked_for_its_owner(
    superuser: asyncpg.Connection,
) -> None:
    number = make.id_number(serial=2)
    while not number.endswith("X"):
        number = make.id_number()
    told = Told(f" {number[:6]} {number[6:].lower()}", "Wang@Example.com", "福田区 １号")
    viewer = await applied(superuser, told=told)

    assert viewer.status is Status.ACTIVE
    details = await registrations.personal_details(viewer)
    assert (details.id_number, details.email) == (number, "Wang@example.com")
    assert details.postal_address == "福田区 1号"
    row = str(dict(await superuser.fetchrow("select * from users where id = $1", viewer.user_id)))
    for secret in (number, "Wang", "福田区", "福田区 1号".encode().hex()):
        assert secret not in row
        assert secret not in repr(details)
        assert secret not in repr(told)


@pytest.mark.parametrize(
    ("told", "field"),
    [
        (Told(id_number="440305199003071234"), "idNumber"),
        (Told(id_number=""), "idNumber"),
        (Told(email="nobody"), "email"),
        (Told(postal_address="\u200b"), "postalAddress"),
    ],
)
async def test_what_is_no_number_or_address_is_refused_and_costs_no_try(
    superuser: asyncpg.Connection, told: Told, field: str
) -> None:
    with pytest.raises(refusals.InvalidInput) as caught:
        await make.registered(superuser, make.phone(), told=told)
    assert caught.value.path == ("input", field)
    assert await superuser.fetchval("select tries_left from verification_code") == 5
    assert await superuser.fetchval("select count(*) from users") == 0


@pytest.mark.parametrize(
    ("years", "refusal"), [(15, refusals.UnderAge), (131, refusals.InvalidInput)]
)
async def test_whoever_is_under_sixteen_or_cannot_be_alive_is_refused(
    superuser: asyncpg.Connection, years: int, refusal: type[refusals.Refusal]
) -> None:
    told = Told(await born(superuser, years))
    with pytest.raises(refusal) as caught:
        await make.registered(superuser, make.phone(), told=told)
    assert caught.value.path == ("input", "idNumber")
    assert await superuser.fetchval("select count(*) from users") == 0
    assert await superuser.fetchval("select used_at from verification_code") is None


@pytest.mark.parametrize(
    ("years", "status"),
    [(16, Status.REFERRED), (17, Status.REFERRED), (18, Status.ACTIVE)],
)
async def test_minors_go_to_a_person_until_the_day_they_come_of_age(
    superuser: asyncpg.Connection, years: int, status: Status
) -> None:
    viewer = await applied(superuser, told=Told(await born(superuser, years)))
    assert viewer.status is status
    assert viewer.review_reason == (None if status is Status.ACTIVE else "MINOR")


# --- KYC levels -------------------------------------------------------------------------------


async def test_the_level_is_raised_by_approval_with_an_id_and_by_a_card(
    superuser: asyncpg.Connection,
) -> None:
    by_phone = await applied(superuser)
    await link_card(by_phone)
    assert (await make.again(by_phone)).kyc_level is KycLevel.PHONE, "a card alone is no identity"

    by_id = await applied(superuser, told=Told(make.id_number()))
    assert by_id.kyc_level is KycLevel.IDENTITY
    await link_card(by_id)
    assert (await make.again(by_id)).kyc_level is KycLevel.BANK_CARD


async def test_an_application_that_waits_or_was_rejected_has_no_level_by_its_id(
    superuser: asyncpg.Connection,
) -> None:
    waiting = await applied(superuser, name="Иван Петров", told=Told(make.id_number()))
    rejected = await applied(superuser, name="测试", told=Told(make.id_number()))
    assert {waiting.kyc_level, rejected.kyc_level} == {KycLevel.PHONE}

    await decide(await make.staff(Role.SUPPORT), waiting, Decision.APPROVE)
    assert (await make.again(waiting)).kyc_level is KycLevel.IDENTITY


# --- how many wallets a person may have --------------------------------------------------------


async def test_of_many_applications_of_one_person_reviewed_at_once_three_are_approved(
    superuser: asyncpg.Connection,
) -> None:
    number = make.id_number()
    applicants = [
        (await make.registered(superuser, make.phone(), told=Told(number))).viewer for _ in range(8)
    ]
    answers = await races.at_once(8, lambda n: make.reviewed(applicants[n].user_id))

    assert answers.count(Status.ACTIVE) == settings.get_settings().accounts_max_per_person == 3
    assert answers.count(Status.REJECTED) == 5
    reasons = [(await make.again(one)).review_reason for one in applicants]
    assert reasons.count("TOO_MANY_ACCOUNTS") == 5
    assert await superuser.fetchval("select count(*) from ledger.account where role = 1") == 3


async def test_staff_cannot_approve_past_the_cap_nor_two_of_them_at_once(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings.get_settings(), "accounts_max_per_person", 1)
    told = Told(make.id_number())
    waiting = [await applied(superuser, name="Иван Петров", told=told) for _ in range(2)]
    staff = [await make.staff(Role.SUPPORT), await make.staff(Role.COMPLIANCE)]

    answers = await races.at_once(2, lambda n: decide(staff[n], waiting[n], Decision.APPROVE))

    refused = [isinstance(answer, refusals.TooManyAccounts) for answer in answers]
    assert sorted(refused) == [False, True]
    left = waiting[refused.index(True)]
    assert (await make.again(left)).status is Status.REFERRED
    written = "select count(*) from audit_entry where action = 'REVIEW_REGISTRATION'"
    assert await superuser.fetchval(written) == 1
    assert (await decide(staff[0], left, Decision.REJECT)).status is Status.REJECTED


async def test_a_closed_or_rejected_wallet_leaves_room_for_another(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings.get_settings(), "accounts_max_per_person", 1)
    told = Told(make.id_number())
    assert (await applied(superuser, name="测试", told=told)).status is Status.REJECTED
    first = await applied(superuser, told=told)
    assert first.status is Status.ACTIVE
    assert (await applied(superuser, told=told)).review_reason == "TOO_MANY_ACCOUNTS"
    await superuser.execute("update users set status = 'CLOSED' where id = $1", first.user_id)
    begun = await applied(superuser, told=told)
    assert begun.review_reason == "TOO_MANY_ACCOUNTS", "its closing may still be called off"
    await superuser.execute(
        "update users set id_number = null, id_number_index = null, kyc_level = 'PHONE'"
        " where id = $1",
        first.user_id,
    )
    assert (await applied(superuser, told=told)).status is Status.ACTIVE


async def test_another_name_on_the_same_number_goes_to_a_person_who_sees_what_is_needed(
    superuser: asyncpg.Connection,
) -> None:
    number, support = make.id_number("19900307"), await make.staff(Role.SUPPORT)
    await applied(superuser, told=Told(number))
    viewer = await applied(superuser, name="王晓明", told=Told(number, "w@example.com", "福田"))
    assert viewer.review_reason == "NAME_DIFFERS"

    [row] = await registrations.registration_queue(support, **WINDOW)
    assert (row.name, row.details.id_number, row.details.email) == (
        "王晓明",
        number,
        "w@example.com",
    )
    assert (row.details.postal_address, row.others, row.rejections) == ("福田", 1, 0)
    assert row.age_years is not None
    assert row.age_years >= 36
    assert number not in repr(row)
    entry = await superuser.fetchrow("select * from audit_entry")
    assert entry is not None
    assert str(viewer.user_id) in entry["detail"]
    assert number not in str(dict(entry))


# --- corrected and handed in again --------------------------------------------------------------


async def test_a_rejected_applicant_corrects_the_application_and_sees_each_state_live(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await applied(superuser, name="测试", told=Told(make.id_number(), "old@example.com"))
    assert viewer.status is Status.REJECTED
    assert await registrations.may_apply_again_at(viewer) is not None
    events = identity.viewer_status_events(viewer)
    async with asyncio.timeout(20):
        assert (await anext(events)).status is Status.REJECTED
        waiting = asyncio.ensure_future(anext(events))
        number = make.id_number()
        assert (await resubmit(viewer, told=Told(number))).status is Status.PENDING_REVIEW
        assert (await waiting).status is Status.PENDING_REVIEW
        waiting = asyncio.ensure_future(anext(events))
        assert await make.reviewed(viewer.user_id) is Status.ACTIVE
        current = await waiting
        assert (current.status, current.kyc_level) == (Status.ACTIVE, KycLevel.IDENTITY)
    details = await registrations.personal_details(current)
    assert (details.id_number, details.email) == (number, None), "all of it is replaced"
    assert identity.display_name(current) == "王小明"
    told = await superuser.fetch(
        "select kind from notice where user_id = $1 order by seq", viewer.user_id
    )
    assert [row["kind"] for row in told] == ["REGISTRATION_REJECTED", "REGISTRATION_APPROVED"]
    assert await registrations.may_apply_again_at(current) is None


async def test_only_a_rejected_application_can_be_handed_in_again(
    superuser: asyncpg.Connection,
) -> None:
    active = await applied(superuser)
    referred = await applied(superuser, name="Иван Петров")
    pending = (await make.registered(superuser, make.phone())).viewer
    for viewer in (active, referred, pending):
        with pytest.raises(refusals.RegistrationNotRejected):
            await resubmit(viewer, "李雷")
        assert (await make.again(viewer)).version == viewer.version
    with pytest.raises(refusals.NotSignedIn):
        await resubmit(ANONYMOUS)


async def test_a_correction_that_is_refused_leaves_the_application_as_it_was(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await applied(superuser, name="测试")
    for told, refusal in (
        (Told(await born(superuser, 15)), refusals.UnderAge),
        (Told("1"), refusals.InvalidInput),
    ):
        with pytest.raises(refusal):
            await resubmit(viewer, told=told)
    assert await make.again(viewer) == viewer


async def test_of_many_corrections_at_once_one_is_reviewed(superuser: asyncpg.Connection) -> None:
    viewer = await applied(superuser, name="测试")
    await superuser.execute("delete from ledger.outbox")
    answers = await races.at_once(10, lambda _: resubmit(viewer))
    assert sum(isinstance(answer, Viewer) for answer in answers) == 1
    assert sum(isinstance(a, refusals.RegistrationNotRejected) for a in answers) == 9
    jobs = await superuser.fetch("select job from ledger.outbox")
    assert [row["job"] for row in jobs] == ["review_registration"]


async def test_after_the_third_rejection_it_takes_a_day_and_then_three_more_are_free(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await applied(superuser, name="测试")
    for _ in range(2):
        for _ in range(2):
            await resubmit(viewer, "测试")
            assert await make.reviewed(viewer.user_id) is Status.REJECTED
        with pytest.raises(refusals.RateLimited) as caught:
            await resubmit(viewer)
        assert 86_000 < caught.value.retry_after_seconds <= 86_400
        rejected = await make.again(viewer)
        assert rejected.status is Status.REJECTED
        assert await registrations.may_apply_again_at(rejected) is not None
        await make.pass_time(superuser, caught.value.retry_after_seconds)
        await resubmit(viewer, "测试")
        assert await make.reviewed(viewer.user_id) is Status.REJECTED
    await resubmit(viewer)
    assert await make.reviewed(viewer.user_id) is Status.ACTIVE


async def test_a_rejection_by_staff_counts_too(superuser: asyncpg.Connection) -> None:
    support = await make.staff(Role.SUPPORT)
    viewer = await applied(superuser, name="Иван Петров")
    for _ in range(3):
        await decide(support, await make.again(viewer), Decision.REJECT)
        rejections = await superuser.fetchval(
            "select rejections from users where id = $1", viewer.user_id
        )
        if rejections < 3:
            await resubmit(viewer, "Иван Петров")
            await make.reviewed(viewer.user_id)
    with pytest.raises(refusals.RateLimited):
        await resubmit(viewer, "Иван Петров")
