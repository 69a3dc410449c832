"""Crashes while refunds are asked, reviewed and decided, and the same call again."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from domain.identity import Role, Viewer
from domain.refunds import Decision
from resolvers import refunds
from services.merchants import Merchant
from services.payments import Payment
from services.refunds import Refund
from tests import movement as town
from tests import people
from tests.money.crashes import Case, Verbs, leaves
from workers import jobs
from workers.refunds import review_refund

VERBS = Verbs()
_LEFT = """
select q.state, q.refunded, q.refund_reserved, a.posted, a.seq, b.posted, b.seq,
       (select array_agg(array[r.state, r.advanced::int]) from ledger.refund r
         where r.payment_id = q.id),
       (select array_agg(w.recommendation) from ledger.refund r
          join refund_review w on w.refund_id = r.id where r.payment_id = q.id),
       (select array_agg(n.kind::text order by n.seq) from notice n where n.user_id = a.owner_id),
       (select array_agg(distinct e.action::text) from ledger.refund r
          join audit_entry e on e.object = 'refund:' || r.id where r.payment_id = q.id),
       (select count(*) from ledger.refund r join ledger.outbox o on o.stream = 'refund:' || r.id
         where r.payment_id = q.id),
       (select count(*) from ledger.outbox o where a.id = any(o.accounts))
  from ledger.payment q
  join ledger.account a on a.id = q.payer_id join ledger.account b on b.id = q.payee_id
 where q.id = $1"""


@dataclass(frozen=True)
class _Paid:
    """A payment and who is who in it."""

    payer: Viewer
    shop: Merchant
    payment: Payment
    superuser: asyncpg.Connection

    async def asked(self) -> Refund:
        return await refunds.request_refund(
            self.payer, payment_id=self.payment.id, reason="没有收到货", key=town.key("ask")
        )

    async def rows(self) -> list[int]:
        """What the outbox has about the payer's postings."""
        found = await self.superuser.fetch(
            "select id from ledger.outbox where $1 = any(accounts) order by id",
            self.payer.account_id,
        )
        return [row["id"] for row in found]

    async def left(self) -> object:
        return await leaves(self.superuser, _LEFT, self.payment.id)()

    async def pay_out(self, amount_minor: int) -> None:
        """Take money from the shop, as no operation of today's does, or give it back."""
        await self.superuser.execute(
            "update ledger.account set posted = posted - $2 where id = $1",
            self.shop.account_id,
            amount_minor,
        )


async def _paid(superuser: asyncpg.Connection) -> _Paid:
    payer = await town.resident(balance=5_000, allowance=(5_000, 5))
    _, shop = await town.shop()
    return _Paid(payer, shop, await town.pay(payer, shop, 3_000), superuser)


@VERBS.covering("resolvers.refunds.request_refund")
async def asking_for_a_refund(superuser: asyncpg.Connection) -> Case:
    town_paid, key = await _paid(superuser), town.key("ask")

    async def run() -> None:
        await refunds.request_refund(
            town_paid.payer, payment_id=town_paid.payment.id, reason="没有收到货", key=key
        )

    return Case(run, town_paid.left)


@VERBS.covering("workers.notices.notify_postings", "workers.outbox.Jobs._attempt")
async def following_a_request_up(superuser: asyncpg.Connection) -> Case:
    town_paid = await _paid(superuser)
    await town_paid.asked()
    rows = await town_paid.rows()
    return Case(lambda: jobs.run(rows), town_paid.left)


async def _deciding(
    superuser: asyncpg.Connection, decision: Decision, *, paid_out_minor: int = 0
) -> Case:
    town_paid, finance = await _paid(superuser), await people.staff(Role.FINANCE)
    asked, key = await town_paid.asked(), town.key("decide")
    await town_paid.pay_out(paid_out_minor)

    async def run() -> None:
        await refunds.decide_refund(
            finance, refund_id=asked.id, decision=decision, reason="属实", key=key
        )

    async def effect() -> object:
        await town_paid.pay_out(-paid_out_minor)
        return await town_paid.left()

    return Case(run, effect)


@VERBS.covering("resolvers.refunds.decide_refund", "resolvers.refunds._approve")
async def approving(superuser: asyncpg.Connection) -> Case:
    return await _deciding(superuser, Decision.APPROVE)


@VERBS.covering("resolvers.refunds.decide_refund", "resolvers.refunds._approve")
async def approving_with_the_citys_money(superuser: asyncpg.Connection) -> Case:
    return await _deciding(superuser, Decision.APPROVE, paid_out_minor=2_900)


@VERBS.covering("resolvers.refunds.decide_refund")
async def rejecting(superuser: asyncpg.Connection) -> Case:
    return await _deciding(superuser, Decision.REJECT)


@VERBS.covering("workers.notices.notify_postings", "workers.outbox.Jobs._attempt")
async def following_a_decision_up(superuser: asyncpg.Connection) -> Case:
    town_paid, finance = await _paid(superuser), await people.staff(Role.FINANCE)
    asked = await town_paid.asked()
    await refunds.decide_refund(
        finance,
        refund_id=asked.id,
        decision=Decision.APPROVE,
        reason=None,
        key=town.key("decide"),
    )
    rows = await town_paid.rows()
    return Case(lambda: jobs.run(rows), town_paid.left)


async def _reviewing(superuser: asyncpg.Connection, *, paid_out_minor: int) -> Case:
    town_paid, finance = await _paid(superuser), await people.staff(Role.FINANCE)
    signed = await refunds.sign_policy(
        finance, amount_max_minor=3_000, payment_age_max_hours=24, refunds_max=5
    )
    asked = await town_paid.asked()
    await town_paid.pay_out(paid_out_minor)

    async def effect() -> object:
        await refunds.end_policy(finance, policy_id=signed.policy.id)
        await town_paid.pay_out(-paid_out_minor)
        return await town_paid.left()

    return Case(lambda: review_refund({"refund_id": str(asked.id)}), effect)


@VERBS.covering("workers.refunds.review_refund")
async def approving_by_a_policy(superuser: asyncpg.Connection) -> Case:
    return await _reviewing(superuser, paid_out_minor=0)


@VERBS.covering("workers.refunds.review_refund")
async def approving_by_a_policy_with_the_citys_money(superuser: asyncpg.Connection) -> Case:
    return await _reviewing(superuser, paid_out_minor=2_900)


@VERBS.covering("resolvers.refunds.refund_queue")
async def looking_at_refunds(superuser: asyncpg.Connection) -> Case:
    finance = await people.staff(Role.FINANCE)

    async def run() -> None:
        await refunds.refund_queue(finance, limit=2, after=None, before=None, backwards=False)

    # Each look is recorded, also the one whose answer was lost.
    question = "select distinct action from audit_entry where actor_id = $1"
    return Case(run, leaves(superuser, question, finance.user_id))


_POLICIES = """
select (select array_agg(p.ended_at is null) from ledger.refund_policy p where p.signed_by = $1),
       (select array_agg(e.action::text order by e.created_at) from audit_entry e
         where e.actor_id = $1)"""


@VERBS.covering("resolvers.refunds.sign_policy")
async def signing_a_policy(superuser: asyncpg.Connection) -> Case:
    finance = await people.staff(Role.FINANCE)

    async def run() -> None:
        await refunds.sign_policy(
            finance, amount_max_minor=1, payment_age_max_hours=24, refunds_max=5
        )

    return Case(run, leaves(superuser, _POLICIES, finance.user_id))


@VERBS.covering("resolvers.refunds.end_policy")
async def ending_a_policy(superuser: asyncpg.Connection) -> Case:
    finance = await people.staff(Role.FINANCE)
    signed = await refunds.sign_policy(
        finance, amount_max_minor=1, payment_age_max_hours=24, refunds_max=5
    )

    async def run() -> None:
        await refunds.end_policy(finance, policy_id=signed.policy.id)

    return Case(run, leaves(superuser, _POLICIES, finance.user_id))


async def test_refunds_survive_a_crash_at_every_point(counter, superuser) -> None:
    await VERBS.survive(superuser)
