"""Name and ID number handed in after registering by phone: reviewed, and what the level does."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from domain import refusals
from domain.identity import (
    ANONYMOUS,
    CheckState,
    Decision,
    KycLevel,
    Role,
    Status,
    Viewer,
)
from infra import settings
from infra.bank import LinkedCard
from resolvers import identity, identity_checks, notices, registrations
from services import people, wallets
from services.identity import checks
from services.unit_of_work import snapshot, unit_of_work
from tests import people as make
from tests import races

pytestmark = pytest.mark.usefixtures("app")
WINDOW: dict[str, Any] = {"limit": 10, "after": None, "before": None, "backwards": False}
NAME = "王小明"


async def submit(viewer: Viewer, number: str | None = None, name: str = NAME) -> Viewer:
    return await identity_checks.submit_identity(
        viewer, name=name, id_number=number or make.id_number()
    )


async def check_id(viewer: Viewer) -> UUID:
    async with snapshot() as read:
        found: Any = await read.fetchval(
            "select id from identity_check where user_id = $1 order by created_at desc limit 1",
            viewer.user_id,
        )
    return found


async def reviewed(viewer: Viewer) -> CheckState | None:
    newest = await check_id(viewer)
    async with unit_of_work() as work:
        return await checks.review(work, newest)


async def handed_in(
    viewer: Viewer, number: str | None = None, name: str = NAME
) -> CheckState | None:
    await submit(viewer, number, name)
    return await reviewed(viewer)


async def decide(
    staff: Viewer,
    viewer: Viewer,
    decision: Decision,
    *,
    version: int | None = None,
) -> checks.Case:
    return await identity_checks.review_identity(
        staff,
        check_id=await check_id(viewer),
        decision=decision,
        reason="与证件不符",
        expected_version=version,
    )


async def link_card(viewer: Viewer, holder_name: str = NAME) -> None:
    async with unit_of_work() as work:
        await wallets.keep_card(
            work,
            user_id=viewer.user_id,
            holder_name=holder_name,
            number_index=f"card of {viewer.user_id}",
            linked=LinkedCard(card_token="t", bank_name="招商银行", last4="1234"),
        )


async def kinds(superuser: asyncpg.Connection, viewer: Viewer) -> list[str]:
    rows = await superuser.fetch(
        "select kind from notice where user_id = $1 order by seq", viewer.user_id
    )
    return [row["kind"] for row in rows if row["kind"].startswith("IDENTITY")]


async def level(viewer: Viewer) -> KycLevel:
    return (await make.again(viewer)).kyc_level


# --- handing in -------------------------------------------------------------------------------


async def test_the_level_rises_live_and_the_wallet_works_meanwhile(
    superuser: asyncpg.Connection,
) -> None:
    viewer, number = await make.resident(superuser), make.id_number()
    assert await identity_checks.identity_check(viewer) is None
    events = identity.viewer_status_events(viewer)
    async with asyncio.timeout(20):
        assert (await anext(events)).kyc_level is KycLevel.PHONE
        waiting = asyncio.ensure_future(anext(events))
        during = await submit(viewer, number)
        assert (during.status, during.kyc_level) == (Status.ACTIVE, KycLevel.PHONE)
        found = await identity_checks.identity_check(during)
        assert found is not None
        assert found.state is CheckState.PENDING_REVIEW
        assert await reviewed(viewer) is CheckState.APPROVED
        assert (await waiting).kyc_level is KycLevel.IDENTITY
    details = await registrations.personal_details(viewer)
    assert details.id_number == number
    assert await kinds(superuser, viewer) == ["IDENTITY_APPROVED"]


async def test_what_was_handed_in_is_sealed_and_gone_once_it_is_decided(
    superuser: asyncpg.Connection,
) -> None:
    viewer, number = await make.resident(superuser), make.id_number()
    await submit(viewer, number, "欧阳若兰")
    row = str(dict(await superuser.fetchrow("select * from identity_check")))
    jobs = str(await superuser.fetch("select args from ledger.outbox"))
    for secret in (number, "欧阳", "欧阳若兰".encode().hex()):
        assert secret not in row
        assert secret not in jobs
    assert await reviewed(viewer) is CheckState.REFERRED
    await decide(await make.staff(Role.SUPPORT), viewer, Decision.REJECT)
    left = await superuser.fetchrow("select name, id_number from identity_check")
    assert tuple(left or ()) == (None, None)
    assert (await registrations.personal_details(viewer)).id_number is None
    assert people.name_of(await make.again(viewer)) == NAME


@pytest.mark.parametrize(
    ("number", "name", "path"),
    [("440305199003071234", NAME, "idNumber"), ("", NAME, "idNumber"), (None, "\u200b", "name")],
)
async def test_what_is_no_number_or_name_is_refused(
    superuser: asyncpg.Connection, number: str | None, name: str, path: str
) -> None:
    viewer = await make.resident(superuser)
    with pytest.raises(refusals.InvalidInput) as caught:
        await identity_checks.submit_identity(
            viewer, name=name, id_number=make.id_number() if number is None else number
        )
    assert caught.value.path == ("input", path)
    assert await superuser.fetchval("select count(*) from identity_check") == 0


async def test_whoever_is_under_sixteen_is_refused(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    year = await superuser.fetchval("select extract(year from ledger.now())::int")
    with pytest.raises(refusals.UnderAge):
        await submit(viewer, make.id_number(f"{year - 10}0101"))
    assert await superuser.fetchval("select count(*) from identity_check") == 0


async def test_of_many_handed_in_at_once_one_is_reviewed(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    answers = await races.at_once(10, lambda _: submit(viewer))
    assert sum(isinstance(answer, Viewer) for answer in answers) == 1
    assert sum(isinstance(answer, refusals.IdentityUnderReview) for answer in answers) == 9
    jobs = "select count(*) from ledger.outbox where job = 'review_identity'"
    assert await superuser.fetchval(jobs) == 1


async def test_whoever_is_known_already_hands_nothing_in(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    assert await handed_in(viewer) is CheckState.APPROVED
    with pytest.raises(refusals.IdentityKnown):
        await submit(await make.again(viewer), make.id_number(), "李雷")
    assert people.name_of(await make.again(viewer)) == NAME


async def test_only_residents_with_a_wallet_may(superuser: asyncpg.Connection) -> None:
    applicant = (await make.registered(superuser, make.phone())).viewer
    for viewer, refusal in (
        (ANONYMOUS, refusals.NotSignedIn),
        (applicant, refusals.AccountNotActive),
        (await make.staff(Role.SUPPORT), refusals.NotPermitted),
    ):
        with pytest.raises(refusal):
            await submit(viewer)
    assert await superuser.fetchval("select count(*) from identity_check") == 0


# --- the rules --------------------------------------------------------------------------------


async def test_reviewing_many_times_at_once_decides_once(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    await submit(viewer)
    answers = await races.at_once(8, lambda _: reviewed(viewer))
    assert sorted(map(str, answers)) == ["APPROVED", *["None"] * 7]
    assert await kinds(superuser, viewer) == ["IDENTITY_APPROVED"]


async def test_another_name_than_before_goes_to_a_person(superuser: asyncpg.Connection) -> None:
    viewer, support = await make.resident(superuser), await make.staff(Role.SUPPORT)
    number = make.id_number()
    assert await handed_in(viewer, number, "李雷") is CheckState.REFERRED
    [case] = await identity_checks.identity_queue(support, **WINDOW)
    assert (case.name, case.known_as, case.id_number) == ("李雷", NAME, number)
    assert case.reason == "NAME_CHANGED"
    assert number not in repr(case)
    entry = await superuser.fetchrow(
        "select * from audit_entry where actor_id = $1", support.user_id
    )
    assert entry is not None
    assert str(viewer.user_id) in entry["detail"]
    assert number not in str(dict(entry))

    decided = await decide(support, viewer, Decision.APPROVE, version=case.version)
    assert (decided.state, decided.name) == (CheckState.APPROVED, "李雷")
    current = await make.again(viewer)
    assert (people.name_of(current), current.kyc_level) == ("李雷", KycLevel.IDENTITY)
    assert await kinds(superuser, viewer) == ["IDENTITY_REFERRED", "IDENTITY_APPROVED"]


async def test_of_many_wallets_of_one_person_reviewed_at_once_as_many_as_allowed_are_approved(
    superuser: asyncpg.Connection,
) -> None:
    viewers, number = [await make.resident(superuser) for _ in range(6)], make.id_number()
    for viewer in viewers:
        await submit(viewer, number)
    answers = await races.at_once(6, lambda n: reviewed(viewers[n]))
    cap = settings.get_settings().accounts_max_per_person
    assert answers.count(CheckState.APPROVED) == cap
    assert answers.count(CheckState.REJECTED) == 6 - cap
    known = "select count(*) from users where kyc_level = 'IDENTITY'"
    assert await superuser.fetchval(known) == cap


async def test_after_three_rejections_within_a_day_it_takes_a_day(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    for _ in range(3):
        assert await handed_in(viewer, name="测试") is CheckState.REJECTED
    with pytest.raises(refusals.RateLimited) as caught:
        await submit(viewer)
    await make.pass_time(superuser, caught.value.retry_after_seconds + 1)
    assert await handed_in(viewer) is CheckState.APPROVED


async def test_a_wallet_that_was_closed_meanwhile_is_not_decided(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    await submit(viewer)
    await superuser.execute("update users set status = 'CLOSED' where id = $1", viewer.user_id)
    assert await reviewed(viewer) is None
    assert await kinds(superuser, viewer) == []


# --- staff ------------------------------------------------------------------------------------


async def test_of_two_reviewers_at_once_one_decides(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    assert await handed_in(viewer, name="Иван Петров") is CheckState.REFERRED
    staff = [await make.staff(Role.SUPPORT), await make.staff(Role.COMPLIANCE)]
    decisions = (Decision.APPROVE, Decision.REJECT)
    answers = await races.at_once(2, lambda n: decide(staff[n], viewer, decisions[n]))
    assert sum(isinstance(answer, checks.Case) for answer in answers) == 1
    assert sum(isinstance(answer, refusals.StaleVersion) for answer in answers) == 1
    written = "select count(*) from audit_entry where action = 'REVIEW_IDENTITY'"
    assert await superuser.fetchval(written) == 1
    assert len(await kinds(superuser, viewer)) == 2


async def test_a_stale_version_an_unknown_case_and_a_missing_reason_decide_nothing(
    superuser: asyncpg.Connection,
) -> None:
    viewer, support = await make.resident(superuser), await make.staff(Role.SUPPORT)
    await handed_in(viewer, name="Иван Петров")
    with pytest.raises(refusals.StaleVersion):
        await decide(support, viewer, Decision.APPROVE, version=1)
    for unknown in (uuid4(), None):
        with pytest.raises(refusals.NotFound):
            await identity_checks.review_identity(
                support,
                check_id=unknown,
                decision=Decision.APPROVE,
                reason=None,
                expected_version=None,
            )
    with pytest.raises(refusals.InvalidInput):
        await identity_checks.review_identity(
            support,
            check_id=await check_id(viewer),
            decision=Decision.REJECT,
            reason=" ",
            expected_version=None,
        )
    assert await level(viewer) is KycLevel.PHONE
    assert await kinds(superuser, viewer) == ["IDENTITY_REFERRED"]


async def test_staff_cannot_approve_past_the_cap(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings.get_settings(), "accounts_max_per_person", 1)
    number, support = make.id_number(), await make.staff(Role.SUPPORT)
    waiting = [await make.resident(superuser) for _ in range(2)]
    for viewer in waiting:
        assert await handed_in(viewer, number, "Иван Петров") is CheckState.REFERRED
    answers = await races.at_once(2, lambda n: decide(support, waiting[n], Decision.APPROVE))
    assert sum(isinstance(answer, checks.Case) for answer in answers) == 1
    assert sum(isinstance(answer, refusals.TooManyAccounts) for answer in answers) == 1


async def test_the_user_reads_what_staff_wrote(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    await handed_in(viewer, name="Иван Петров")
    await decide(await make.staff(Role.SUPPORT), viewer, Decision.REJECT)
    found = await identity_checks.identity_check(viewer)
    assert found is not None
    assert (found.state, found.reason) == (CheckState.REJECTED, "与证件不符")
    [newest, *_] = await notices.notice_page(
        viewer, limit=5, after=None, before=None, backwards=False
    )
    assert "与证件不符" in newest.text("zh-CN")[1]
    stored = await superuser.fetchval("select string_agg(params::text, '') from notice")
    assert "证件" not in stored


# --- cards ------------------------------------------------------------------------------------


async def test_a_card_raises_the_level_before_or_after_the_identity(
    superuser: asyncpg.Connection,
) -> None:
    before, after = await make.resident(superuser), await make.resident(superuser)
    await link_card(before)
    assert await level(before) is KycLevel.PHONE
    for viewer in (before, after):
        await handed_in(viewer)
    assert await level(before) is KycLevel.BANK_CARD
    assert await level(after) is KycLevel.IDENTITY
    await link_card(after)
    assert await level(after) is KycLevel.BANK_CARD


async def test_a_card_in_the_old_name_counts_only_once_the_bank_has_found_the_new_one(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    await link_card(viewer)
    await handed_in(viewer, name="李雷")
    await decide(await make.staff(Role.SUPPORT), viewer, Decision.APPROVE)
    assert await level(viewer) is KycLevel.IDENTITY
    await link_card(viewer, NAME)  # asked at the bank before the name changed, kept after it
    assert await level(viewer) is KycLevel.IDENTITY
    await link_card(viewer, "李雷")
    assert await level(viewer) is KycLevel.BANK_CARD
