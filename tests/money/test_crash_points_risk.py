"""Crashes while wallets are frozen, appealed for and released, and the same call again."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from domain import ledger
from domain.identity import Role, Viewer
from domain.ledger import Operation
from resolvers import risk
from services import risk_cases
from services.ledger import desk
from tests import factories, people
from tests import movement as town
from tests.money.crashes import Case, Verbs, leaves
from workers import jobs
from workers.risk import scan_anomalies

VERBS = Verbs()
_WALLET = """
select a.status, a.seq,
       (select array_agg(array[c.rule::text, c.state::text, (c.appeal is not null)::text])
          from risk_case c where c.account_id = a.id),
       (select array_agg(n.kind::text order by n.seq) from notice n
         where n.user_id = a.owner_id and n.kind like 'WALLET%'),
       (select array_agg(e.action::text order by e.created_at) from audit_entry e
          join risk_case c on e.object = 'risk_case:' || c.id where c.account_id = a.id),
       (select count(*) from ledger.instruction i join ledger.posting p on p.entry_id = i.id
         where p.account_id = a.id and i.operation in (50, 51))
  from ledger.account a where a.id = $1"""


async def _frozen() -> tuple[Viewer, Viewer, UUID]:
    """A resident, whoever froze them, and the case."""
    resident, officer = await town.resident(), await people.staff(Role.RISK)
    case, _ = await risk.freeze_wallet(
        officer, user_id=resident.user_id, reason="报失", key=town.key("freeze")
    )
    return resident, officer, case.id


@VERBS.covering("resolvers.risk._post")
async def freezing(superuser: asyncpg.Connection) -> Case:
    resident, officer = await town.resident(), await people.staff(Role.RISK)
    key = town.key("freeze")

    async def run() -> None:
        await risk.freeze_wallet(officer, user_id=resident.user_id, reason="报失", key=key)

    return Case(run, leaves(superuser, _WALLET, resident.account_id))


@VERBS.covering("resolvers.risk._post")
async def releasing(superuser: asyncpg.Connection) -> Case:
    resident, officer, case_id = await _frozen()
    key = town.key("unfreeze")

    async def run() -> None:
        await risk.unfreeze_wallet(officer, case_id=case_id, reason="已核实", key=key)

    return Case(run, leaves(superuser, _WALLET, resident.account_id))


@VERBS.covering("resolvers.risk.appeal_freeze")
async def appealing(superuser: asyncpg.Connection) -> Case:
    resident, _, case_id = await _frozen()

    async def run() -> None:
        await risk.appeal_freeze(resident, case_id=case_id, text="是我本人")

    return Case(run, leaves(superuser, _WALLET, resident.account_id))


@VERBS.covering("resolvers.risk.case_page")
async def looking_at_cases(superuser: asyncpg.Connection) -> Case:
    officer = await people.staff(Role.RISK)

    async def run() -> None:
        await risk.case_page(officer, state=None, limit=2, after=None, before=None, backwards=False)

    # Each look is recorded, also the one whose answer was lost.
    question = "select distinct action from audit_entry where actor_id = $1"
    return Case(run, leaves(superuser, question, officer.user_id))


@VERBS.covering("workers.notices.notify_postings", "workers.outbox.Jobs._attempt")
async def following_a_freeze_up(superuser: asyncpg.Connection) -> Case:
    """Whoever froze died before the case was opened."""
    resident, officer = await town.resident(), await people.staff(Role.RISK)
    assert resident.account_id is not None
    receipt = await desk.post(
        risk_cases.freeze(
            actor_id=officer.user_id,
            account_id=resident.account_id,
            reason="报失",
            key=town.key("freeze"),
        )
    )
    ledger.check(receipt)
    rows = await superuser.fetch(
        "select id from ledger.outbox where $1 = any(accounts)", resident.account_id
    )
    ids = [row["id"] for row in rows]
    return Case(lambda: jobs.run(ids), leaves(superuser, _WALLET, resident.account_id))


@VERBS.covering("workers.risk.scan_anomalies", "workers.risk._scan", "workers.risk._freeze")
async def scanning(superuser: asyncpg.Connection) -> Case:
    # What an earlier case left lies behind the cursor, further than a scan looks back.
    await people.pass_time(superuser, 1_800)
    await scan_anomalies()
    sender, receiver = await town.resident(balance=20_000), await town.resident()
    assert sender.account_id is not None
    assert receiver.account_id is not None
    sent = [
        await factories.proven(
            superuser,
            ledger.instruct(
                actor_id=sender.user_id,
                operation=Operation.TRANSFER,
                key=town.key("send"),
                legs=ledger.move(sender.account_id, receiver.account_id, 100),
            ),
        )
        for _ in range(12)
    ]
    await factories.send(superuser, *sent)

    async def run() -> None:
        await people.pass_time(superuser, 20)  # a dead scanner's lease has ended
        await scan_anomalies()

    return Case(run, leaves(superuser, _WALLET, sender.account_id))


async def test_freezes_survive_a_crash_at_every_point(counter, superuser) -> None:
    await VERBS.survive(superuser)
