"""Refunds through the functions that GraphQL calls, and the review job."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from domain import ledger, refusals
from domain.identity import Role
from domain.ledger import REFUND_ADVANCES_ID, Operation, Outcome
from domain.notices import NoticeKind
from domain.refunds import Decision, Recommendation, State
from resolvers import refunds
from services import notices
from services import refunds as verbs
from services.ledger import desk
from services.unit_of_work import snapshot
from tests import factories, jobs, people
from tests import movement as town
from workers.notices import notify_postings
from workers.refunds import review_refund

pytestmark = pytest.mark.usefixtures("counter")
PAGE = {"limit": 101, "after": None, "before": None, "backwards": False}


async def paid(amount: int = 3_000):
    payer = await town.resident("欧阳明", balance=20_000, allowance=(20_000, 10))
    seller, shop = await town.shop()
    return payer, seller, shop, await town.pay(payer, shop, amount)


async def ask(payer, payment, **options):
    return await refunds.request_refund(
        payer,
        payment_id=payment.id,
        reason=options.get("reason", "没有收到货"),
        key=options.get("key") or town.key("ask"),
    )


async def decide(viewer, refund, decision=Decision.APPROVE, **options):
    return await refunds.decide_refund(
        viewer,
        refund_id=refund.id,
        decision=decision,
        reason=options.get("reason"),
        key=options.get("key") or town.key("decide"),
    )


async def sign(viewer, amount: int = 10_000, hours: int = 24, count: int = 5):
    return await refunds.sign_policy(
        viewer, amount_max_minor=amount, payment_age_max_hours=hours, refunds_max=count
    )


async def told(user_id: int) -> list[notices.Notice]:
    async with snapshot() as read:
        return await notices.page(read, user_id, limit=100, backwards=True)


async def audited(superuser: asyncpg.Connection, action: str) -> list:
    return await superuser.fetch("select * from audit_entry where action = $1", action)


async def test_a_refund_is_asked_reviewed_approved_and_credited(superuser) -> None:
    payer, seller, shop, payment = await paid()
    finance = await people.staff(Role.FINANCE)

    asked = await ask(payer, payment)
    await jobs.work_off()
    [item] = await refunds.refund_queue(finance, **PAGE)

    assert (asked.state, asked.amount_minor, asked.reason()) == (
        State.REQUESTED,
        3_000,
        "没有收到货",
    )
    assert item.refund.id == asked.id
    assert item.refund.reason() == "没有收到货"
    assert (item.payer_name, item.merchant_name) == ("欧*明", shop.name)
    assert item.review is not None
    assert item.review.recommendation is Recommendation.FINANCE
    assert item.review.facts.refunds_30_days == 1
    assert len(await audited(superuser, "READ_REFUND_QUEUE")) == 1

    decided = await decide(finance, asked, reason="属实")
    await jobs.work_off()

    assert decided.refund.state is State.APPROVED
    assert await town.balance(payer.account_id) == 20_000
    assert await town.balance(shop.account_id) == 0
    assert await town.state(payment.id) == 6
    assert await refunds.refund_queue(finance, **PAGE) == []
    [record] = await audited(superuser, "DECIDE_REFUND")
    assert (record["actor_id"], record["object"]) == (finance.user_id, f"refund:{asked.id}")
    kinds = [one.kind for one in await told(payer.user_id)]
    assert kinds[-3:] == ["REFUND_REQUESTED", "REFUND_APPROVED", "REFUND_CREDITED"]
    approved = (await told(payer.user_id))[-2].text("zh-CN")
    assert approved == ("退款已通过", "您的¥30.00退款申请已通过。原因：属实。")
    assert [one.kind for one in await told(seller.user_id)][-1] is NoticeKind.REFUND_DEBITED
    [own] = await refunds.own_refunds(payer, **PAGE)
    assert (own.id, own.decision_reason()) == (asked.id, "属实")


async def test_a_rejected_refund_moves_nothing_and_tells_the_reason() -> None:
    payer, _, shop, payment = await paid()
    finance = await people.staff(Role.FINANCE)
    asked = await ask(payer, payment)

    for reason in (None, "  "):
        with pytest.raises(refusals.InvalidInput):
            await decide(finance, asked, Decision.REJECT, reason=reason)
    await decide(finance, asked, Decision.REJECT, reason="商品已签收")
    await jobs.work_off()

    assert await town.balance(shop.account_id) == 3_000
    assert await town.state(payment.id) == 2
    last = (await told(payer.user_id))[-1]
    assert last.kind is NoticeKind.REFUND_REJECTED
    assert "商品已签收" in last.text("zh-CN")[1]
    assert (await ask(payer, payment)).state is State.REQUESTED


async def test_only_the_payer_asks_once_and_a_key_repeats_the_answer() -> None:
    payer, seller, _, payment = await paid()
    stranger = await town.resident()

    with pytest.raises(refusals.NotPermitted):
        await ask(seller, payment)
    with pytest.raises(refusals.NotFound):
        await ask(stranger, payment)
    first, again = await ask(payer, payment, key="once"), await ask(payer, payment, key="once")
    assert first.id == again.id
    with pytest.raises(refusals.IdempotencyKeyReused):
        await ask(payer, payment, key="once", reason="别的原因")
    with pytest.raises(refusals.RefundNotPossible):
        await ask(payer, payment)


async def test_of_many_decisions_at_once_one_counts_and_is_credited_once() -> None:
    payer, _, shop, payment = await paid()
    deciders = [await people.staff(Role.FINANCE) for _ in range(4)]
    asked = await ask(payer, payment)

    outcomes = await asyncio.gather(
        *(
            decide(viewer, asked, decision, reason="r")
            for viewer in deciders
            for decision in (Decision.APPROVE, Decision.REJECT)
        ),
        return_exceptions=True,
    )

    refused = [one for one in outcomes if isinstance(one, refusals.RefundAlreadyDecided)]
    won = [one for one in outcomes if not isinstance(one, BaseException)]
    assert (len(won), len(refused)) == (1, 7)
    approved = won[0].refund.state is State.APPROVED
    assert await town.balance(payer.account_id) == (20_000 if approved else 17_000)
    assert await town.balance(shop.account_id) == (0 if approved else 3_000)


async def test_a_repeated_decision_repeats_its_answer_and_is_audited_once(superuser) -> None:
    payer, _, _, payment = await paid()
    finance = await people.staff(Role.FINANCE)
    asked = await ask(payer, payment)

    answers = await asyncio.gather(*(decide(finance, asked, key="one") for _ in range(5)))
    await jobs.work_off()

    assert {one.refund.state for one in answers} == {State.APPROVED}
    assert await town.balance(payer.account_id) == 20_000
    assert len(await audited(superuser, "DECIDE_REFUND")) == 1


async def test_nobody_but_finance_decides_or_looks(superuser) -> None:
    payer, seller, _, payment = await paid()
    asked = await ask(payer, payment)

    for viewer in (payer, seller, await people.staff(Role.RISK), await people.staff(Role.ADMIN)):
        with pytest.raises(refusals.NotPermitted):
            await decide(viewer, asked)
        with pytest.raises(refusals.NotPermitted):
            await refunds.refund_queue(viewer, **PAGE)
        with pytest.raises(refusals.NotPermitted):
            await sign(viewer)
    assert await audited(superuser, "READ_REFUND_QUEUE") == []
    assert await superuser.fetchval("select state from ledger.refund") == 1


@pytest.mark.parametrize("party", ["payer", "merchant"])
async def test_postgresql_refuses_a_decision_by_a_party_even_with_direct_sql(api, party) -> None:
    payer, seller, _, payment = await paid()
    asked = await ask(payer, payment)
    actor = {"payer": payer, "merchant": seller}[party].user_id
    for operation, legs in (
        (Operation.APPROVE_REFUND, ledger.move(asked.payee_id, asked.payer_id, 3_000)),
        (Operation.REJECT_REFUND, ledger.touch(asked.payer_id)),
    ):
        instruction = ledger.instruct(
            actor_id=actor,
            operation=operation,
            key=town.key("forged"),
            legs=legs,
            subject_id=payment.id,
            related_id=asked.id,
        )
        [receipt] = await factories.send(api, instruction)
        assert receipt.outcome is Outcome.REVIEWER_IS_PARTY
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await api.execute(
            "update ledger.refund set state = 2, decider_id = 1, decided_at = now() where id = $1",
            asked.id,
        )


async def test_the_superuser_himself_cannot_store_a_decision_by_a_party(superuser) -> None:
    payer, _, _, payment = await paid()
    asked = await ask(payer, payment)

    with pytest.raises(asyncpg.CheckViolationError):
        await superuser.execute(
            "update ledger.refund set state = 2, decided_at = now(), decider_id = $2 where id = $1",
            asked.id,
            payer.user_id,
        )


async def test_a_signed_policy_approves_what_it_covers() -> None:
    payer, _, shop, payment = await paid()
    finance = await people.staff(Role.FINANCE)
    policy = await sign(finance)
    asked = await ask(payer, payment)
    await jobs.work_off()

    [own] = await refunds.own_refunds(payer, **PAGE)
    assert (own.id, own.state, own.policy_id) == (asked.id, State.APPROVED, policy.policy.id)
    assert own.decided_by == finance.user_id
    assert await town.balance(payer.account_id) == 20_000
    assert await town.balance(shop.account_id) == 0
    kinds = [one.kind for one in await told(payer.user_id)]
    assert kinds[-3:] == ["REFUND_REQUESTED", "REFUND_APPROVED", "REFUND_CREDITED"]


@pytest.mark.parametrize("limits", [{"amount": 2_999}, {"count": 1}, {"hours": 1}])
async def test_a_policy_leaves_to_finance_what_it_does_not_cover(superuser, limits) -> None:
    payer, _, shop, payment = await paid()
    second = await town.pay(payer, shop, 3_000)
    finance = await people.staff(Role.FINANCE)
    await people.pass_time(superuser, 3_700)
    await ask(payer, second)
    await jobs.work_off()
    await sign(finance, **limits)
    asked = await ask(payer, payment)
    await jobs.work_off()

    waiting = [item.refund.id for item in await refunds.refund_queue(finance, **PAGE)]
    assert asked.id in waiting


async def test_an_ended_policy_approves_nothing_and_ending_twice_is_one_end() -> None:
    payer, _, _, payment = await paid()
    finance = await people.staff(Role.FINANCE)
    policy = await sign(finance)
    ended = await refunds.end_policy(finance, policy_id=policy.policy.id)
    again = await refunds.end_policy(finance, policy_id=policy.policy.id)
    await ask(payer, payment)
    await jobs.work_off()

    assert ended.ended_at is not None
    assert ended == again
    assert len(await refunds.refund_queue(finance, **PAGE)) == 1
    with pytest.raises(refusals.NotFound):
        await refunds.end_policy(finance, policy_id=10_000)
    assert await refunds.refund_policies(finance, **PAGE) == [ended]


async def test_a_policy_signed_by_a_party_covers_nothing(superuser) -> None:
    payer, seller, _, payment = await paid()
    finance = await people.staff(Role.FINANCE)
    for party in (payer, seller):
        await superuser.execute(
            "insert into ledger.refund_policy(amount_max_minor, payment_age_max_seconds,"
            " refunds_max_per_30_days, signed_by) values (100000, 100000, 10, $1)",
            party.user_id,
        )
    asked = await ask(payer, payment)
    await jobs.work_off()

    [item] = await refunds.refund_queue(finance, **PAGE)
    assert item.refund.id == asked.id


async def test_the_review_runs_once_whatever_crashed_and_however_often_it_is_asked(
    superuser,
) -> None:
    payer, _, _, payment = await paid()
    await sign(await people.staff(Role.FINANCE))
    asked = await ask(payer, payment)

    await asyncio.gather(*(review_refund({"refund_id": str(asked.id)}) for _ in range(5)))
    await jobs.work_off()
    await review_refund({"refund_id": str(asked.id)})

    assert await town.balance(payer.account_id) == 20_000
    assert await superuser.fetchval("select count(*) from refund_review") == 1
    assert [one.kind for one in await told(payer.user_id)].count(NoticeKind.REFUND_CREDITED) == 1


async def test_a_review_is_asked_for_exactly_once_per_request(superuser) -> None:
    payer, _, _, payment = await paid()
    await jobs.work_off()
    await ask(payer, payment)
    rows = await superuser.fetch("select * from ledger.outbox")

    await asyncio.gather(*(notify_postings(rows) for _ in range(5)))

    reviews = await superuser.fetchval(
        "select count(*) from ledger.outbox where job = 'review_refund'"
    )
    assert reviews == 1


async def test_a_decision_whose_second_step_was_lost_is_answered_after_another_one_was_made(
    superuser,
) -> None:
    payer, _, shop, payment = await paid()
    finance = await people.staff(Role.FINANCE)
    await superuser.execute("update ledger.account set posted = 100 where id = $1", shop.account_id)
    asked = await ask(payer, payment)
    first_step = verbs.approve(asked, actor_id=finance.user_id, key="lost", reason="一")
    assert (await desk.post(first_step)).outcome is Outcome.INSUFFICIENT_FUNDS
    await decide(finance, asked, key="later", reason="二")

    with pytest.raises(refusals.RefundAlreadyDecided):
        await decide(finance, asked, key="lost", reason="一")

    decided = await decide(finance, asked, key="later", reason="二")
    assert decided.refund.decision_reason() == "二"
    assert await town.balance(REFUND_ADVANCES_ID) == -3_000


async def test_repeated_calls_are_answered_as_the_first_time_whatever_happened_since() -> None:
    payer, _, _, payment = await paid()
    finance, other = await people.staff(Role.FINANCE), await people.staff(Role.FINANCE)
    asked = await ask(payer, payment, key="ask")
    rejected = await decide(finance, asked, Decision.REJECT, reason="不符", key="decide")
    anew = await ask(payer, payment, key="ask again")
    await decide(other, anew, reason="属实")

    again = await ask(payer, payment, key="ask")
    decided_again = await decide(finance, asked, Decision.REJECT, reason="不符", key="decide")

    assert (again.id, again.state) == (asked.id, State.REJECTED)
    assert decided_again == rejected
    with pytest.raises(refusals.IdempotencyKeyReused):
        await decide(finance, asked, Decision.REJECT, reason="另外", key="decide")
    with pytest.raises(refusals.RefundAlreadyDecided):
        await decide(finance, anew, key="late")
    assert await town.balance(payer.account_id) == 20_000


@pytest.mark.parametrize("by_policy", [True, False])
async def test_the_city_advances_what_the_merchant_does_not_have(superuser, by_policy) -> None:
    payer, _, shop, payment = await paid()
    finance = await people.staff(Role.FINANCE)
    await superuser.execute(
        # As after a payout: no operation of today's takes money from a merchant but refunds.
        "update ledger.account set posted = 100 where id = $1",
        shop.account_id,
    )
    if by_policy:
        await sign(finance)
    asked = await ask(payer, payment)
    await jobs.work_off()
    if not by_policy:
        decided = await decide(finance, asked, key="k")
        again = await decide(finance, asked, key="k")
        assert decided.refund == again.refund
    await jobs.work_off()

    [own] = await refunds.own_refunds(payer, **PAGE)
    assert (own.state, own.advanced) == (State.APPROVED, True)
    assert await town.balance(payer.account_id) == 20_000
    assert await town.balance(REFUND_ADVANCES_ID) == -3_000
    assert await town.balance(shop.account_id) < 3_000


async def test_signing_the_same_limits_again_leaves_one_policy_to_end() -> None:
    finance, colleague = await people.staff(Role.FINANCE), await people.staff(Role.FINANCE)

    signed = await asyncio.gather(*(sign(finance) for _ in range(8)))
    others = [await sign(finance, amount=9_999), await sign(colleague)]

    assert len({one.policy.id for one in signed}) == 1
    assert len({one.policy.id for one in [signed[0], *others]}) == 3
    await refunds.end_policy(finance, policy_id=signed[0].policy.id)
    assert (await sign(finance)).policy.id != signed[0].policy.id
