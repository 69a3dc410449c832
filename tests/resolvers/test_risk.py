"""Freezing, appealing and unfreezing through the functions that GraphQL calls."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from domain import refusals
from domain.identity import Role
from domain.notices import NoticeKind
from domain.refunds import Decision
from domain.risk import CaseState, Rule
from resolvers import refunds, risk
from services import notices
from services.unit_of_work import snapshot
from tests import jobs, people
from tests import movement as town

pytestmark = pytest.mark.usefixtures("counter")
PAGE = {"state": None, "limit": 101, "after": None, "before": None, "backwards": False}


async def freeze(viewer, target, **options):
    return await risk.freeze_wallet(
        viewer,
        user_id=target.user_id,
        reason=options.get("reason", "可疑登录"),
        key=options.get("key") or town.key("freeze"),
    )


async def unfreeze(viewer, case, **options):
    return await risk.unfreeze_wallet(
        viewer,
        case_id=case.id,
        reason=options.get("reason", "已核实本人"),
        key=options.get("key") or town.key("unfreeze"),
    )


async def newest(user_id: int) -> notices.Notice:
    async with snapshot() as read:
        return (await notices.page(read, user_id, limit=1))[0]


async def test_staff_freeze_the_owner_appeals_and_staff_unfreeze(superuser) -> None:
    owner = await town.resident("欧阳明", balance=10_000, allowance=(5_000, 5))
    _, shop = await town.shop()
    officer = await people.staff(Role.RISK)
    await jobs.work_off()

    case, name = await freeze(officer, owner)

    assert (case.rule, case.state, case.opened_by) == (Rule.MANUAL, CaseState.OPEN, officer.user_id)
    assert name == "欧*明"
    with pytest.raises(refusals.AccountFrozen):
        await town.pay(owner, shop, 100)
    told = await newest(owner.user_id)
    assert told.kind is NoticeKind.WALLET_FROZEN
    assert "原因：可疑登录。" in told.text("zh-CN")[1]

    standing = await risk.own_freeze(owner)
    assert standing is not None
    appealed = await risk.appeal_freeze(owner, case_id=standing.id, text="是我本人换了手机")
    assert (appealed.state, appealed.appeal) == (CaseState.APPEALED, "是我本人换了手机")
    [(seen, _)] = await risk.case_page(officer, **(PAGE | {"state": CaseState.APPEALED}))
    assert seen.appeal == "是我本人换了手机"

    lifted, _ = await unfreeze(officer, case)
    await jobs.work_off()

    assert (lifted.state, lifted.decision_reason) == (CaseState.LIFTED, "已核实本人")
    assert await risk.own_freeze(owner) is None
    told = await newest(owner.user_id)
    assert told.kind is NoticeKind.WALLET_UNFROZEN
    assert (await town.pay(owner, shop, 100)).refundable_minor == 100
    assert told.text("zh-CN")[1] == "您的钱包已恢复正常使用。原因：已核实本人。"
    actions = await superuser.fetch("select action from audit_entry order by created_at, id")
    assert [row[0] for row in actions] == ["FREEZE_WALLET", "READ_RISK_CASES", "UNFREEZE_WALLET"]
    stored = await superuser.fetchval(
        "select encode(reason || appeal || decision_reason, 'escape') from risk_case"
    )
    assert "本人" not in stored


async def test_of_many_freezes_and_unfreezes_at_once_one_counts(superuser) -> None:
    owner = await town.resident()
    officers = [await people.staff(Role.RISK) for _ in range(4)]

    frozen = await asyncio.gather(*(freeze(one, owner) for one in officers), return_exceptions=True)
    [(case, _)] = [one for one in frozen if not isinstance(one, BaseException)]
    lifted = await asyncio.gather(
        *(unfreeze(one, case) for one in officers), return_exceptions=True
    )
    await jobs.work_off()

    for outcomes in (frozen, lifted):
        refused = [one for one in outcomes if isinstance(one, refusals.StaleVersion)]
        assert len(refused) == 3
    assert await superuser.fetchval("select count(*) from risk_case") == 1
    assert await superuser.fetchval("select count(*) from notice") == 2


async def test_a_key_repeats_the_answer_and_another_input_is_refused() -> None:
    owner = await town.resident()
    officer = await people.staff(Role.RISK)

    case, _ = await freeze(officer, owner, key="f")
    again, _ = await freeze(officer, owner, key="f")
    with pytest.raises(refusals.IdempotencyKeyReused):
        await freeze(officer, owner, key="f", reason="其他")
    lifted, _ = await unfreeze(officer, case, key="u")
    lifted_again, _ = await unfreeze(officer, case, key="u")

    assert again.id == case.id
    assert lifted == lifted_again


async def test_a_closed_case_does_not_open_a_wallet_that_was_frozen_anew() -> None:
    owner = await town.resident()
    officer = await people.staff(Role.RISK)
    old, _ = await freeze(officer, owner)
    await unfreeze(officer, old)
    new, _ = await freeze(officer, owner)

    with pytest.raises(refusals.StaleVersion):
        await unfreeze(officer, old)

    standing = await risk.own_freeze(owner)
    assert standing is not None
    assert standing.id == new.id


async def test_only_risk_decides_and_strangers_find_nothing(superuser: asyncpg.Connection) -> None:
    owner, stranger = await town.resident(), await town.resident()
    officer = await people.staff(Role.RISK)
    case, _ = await freeze(officer, owner)

    for viewer in (owner, stranger, await people.staff(Role.FINANCE)):
        with pytest.raises(refusals.NotPermitted):
            await unfreeze(viewer, case)
        with pytest.raises(refusals.NotPermitted):
            await freeze(viewer, stranger)
        with pytest.raises(refusals.NotPermitted):
            await risk.case_page(viewer, **PAGE)
    with pytest.raises(refusals.NotFound):
        await risk.appeal_freeze(stranger, case_id=case.id, text="是我")
    with pytest.raises(refusals.ReviewerIsParty):
        await freeze(officer, officer)
    with pytest.raises(refusals.NotFound):
        await freeze(officer, await people.staff(Role.FINANCE))
    assert await superuser.fetchval("select state from risk_case") == "OPEN"
    assert await risk.own_freeze(stranger) is None


async def test_a_frozen_wallet_still_gets_its_refund() -> None:
    owner = await town.resident(balance=10_000, allowance=(5_000, 5))
    _, shop = await town.shop()
    payment = await town.pay(owner, shop, 2_000)
    await freeze(await people.staff(Role.RISK), owner)

    asked = await refunds.request_refund(owner, payment_id=payment.id, reason="退货", key="r")
    await refunds.decide_refund(
        await people.staff(Role.FINANCE),
        refund_id=asked.id,
        decision=Decision.APPROVE,
        reason=None,
        key="d",
    )

    assert await town.balance(owner.account_id) == 10_000
