"""The scan for anomalies against a real ledger: planted cases, near misses, crashes, races."""

from __future__ import annotations

import asyncio
import random

import asyncpg
import pytest

from domain import ledger
from domain.ledger import CITY_ACTOR_ID, AccountStatus, Operation, Outcome
from domain.notices import NoticeKind
from domain.risk import CaseState, Rule
from services import notices, risk, risk_cases
from services.ledger import desk
from services.ledger.desk import Desk
from services.unit_of_work import snapshot, unit_of_work
from tests import factories, jobs, people
from tests import movement as town
from workers.risk import scan_anomalies

pytestmark = pytest.mark.usefixtures("counter")
ALLOWANCE = (20_000, 10)


async def status(viewer) -> AccountStatus:
    async with snapshot() as read:
        return AccountStatus(
            await read.fetchval(
                "select status from ledger.account where id = $1", viewer.account_id
            )
        )


async def case_of(viewer) -> risk_cases.Case | None:
    async with snapshot() as read:
        return await risk_cases.standing(read, viewer.user_id)


async def send(sender, receiver, amount: int) -> None:
    """A transfer, proven as a PIN would."""
    instruction = ledger.instruct(
        actor_id=sender.user_id,
        operation=Operation.TRANSFER,
        key=town.key("send"),
        legs=ledger.move(sender.account_id, receiver.account_id, amount),
    )
    async with unit_of_work() as work:
        proven = await factories.proven(work.connection, instruction)
    assert (await desk.post(proven)).outcome is Outcome.POSTED


async def freezes(superuser: asyncpg.Connection) -> int:
    return await superuser.fetchval("select count(*) from ledger.instruction where operation = 50")


async def burst(sender, receiver, count: int = 12) -> None:
    await asyncio.gather(*(send(sender, receiver, 100) for _ in range(count)))


async def test_a_burst_freezes_the_wallet_and_tells_why_and_how_to_appeal() -> None:
    sender, receiver = await town.resident(balance=20_000), await town.resident()
    await burst(sender, receiver)
    await jobs.work_off()

    assert await scan_anomalies() == 1

    assert await status(sender) is AccountStatus.DEBITS_BLOCKED
    assert await status(receiver) is AccountStatus.OPEN
    case = await case_of(sender)
    assert case is not None
    assert (case.rule, case.state, case.opened_by) == (Rule.PAYMENT_BURST, CaseState.OPEN, None)
    assert len(case.evidence["postings"]) == 12
    async with snapshot() as read:
        newest = (await notices.page(read, sender.user_id, limit=1))[0]
    assert newest.kind is NoticeKind.WALLET_FROZEN
    zh, en = newest.text("zh-CN")[1], newest.text("en")[1]
    assert "短时间内付款次数异常频繁" in zh
    assert "申诉" in zh
    assert "an unusual number of payments in a very short time" in en
    assert "appeal" in en


async def test_eleven_payments_are_left_alone() -> None:
    sender, receiver = await town.resident(balance=20_000), await town.resident()
    await burst(sender, receiver, 11)

    assert await scan_anomalies() == 0
    assert await status(sender) is AccountStatus.OPEN


@pytest.mark.parametrize(("amount", "frozen"), [(50_000, True), (49_999, False)])
async def test_an_amount_far_above_habit_freezes(superuser, amount, frozen) -> None:
    sender, receiver = await town.resident(balance=400_000), await town.resident()
    for _ in range(5):
        await send(sender, receiver, 2_500)
        await people.pass_time(superuser, 600)
    assert await scan_anomalies() == 0
    await send(sender, receiver, amount)

    assert await scan_anomalies() == int(frozen)

    case = await case_of(sender)
    assert (case and case.rule) == (Rule.AMOUNT_FAR_ABOVE_HABIT if frozen else None)


@pytest.mark.parametrize(("amount", "frozen"), [(46_000, True), (45_999, False)])
async def test_a_wallet_drained_to_a_new_payee_is_frozen(superuser, amount, frozen) -> None:
    sender, receiver = await town.resident(balance=100_000), await town.resident()
    await send(sender, receiver, 49_000)
    await people.pass_time(superuser, 400)
    assert await scan_anomalies() == 0
    await send(sender, receiver, amount)  # 95 % of the balance or just below, in seven minutes

    assert await scan_anomalies() == int(frozen)


async def test_an_old_friend_who_got_everything_hides_no_stranger_who_did(superuser) -> None:
    sender, friend = await town.resident(balance=101_000), await town.resident()
    stranger = await town.resident()
    await send(sender, friend, 1_000)
    await people.pass_time(superuser, 100 * 86_400)  # further back than habits are read
    assert await scan_anomalies() == 0
    await send(sender, friend, 100_000)
    await desk.post(factories.top_up(sender.account_id, 100_000))
    await send(sender, stranger, 100_000)

    assert await scan_anomalies() == 1

    case = await case_of(sender)
    assert case is not None
    assert case.rule is Rule.DRAINED_TO_NEW_PAYEE


async def test_an_old_friend_may_be_sent_everything(superuser) -> None:
    sender, friend = await town.resident(balance=101_000), await town.resident()
    await send(sender, friend, 1_000)
    await people.pass_time(superuser, 100 * 86_400)  # beyond what the rules look at

    await send(sender, friend, 100_000)

    assert await scan_anomalies() == 0


async def test_a_second_scan_and_many_at_once_freeze_nothing_twice(superuser) -> None:
    senders = [await town.resident(balance=20_000) for _ in range(3)]
    receiver = await town.resident()
    for sender in senders:
        await burst(sender, receiver)

    counts = await asyncio.gather(*(scan_anomalies() for _ in range(5)))
    again = await scan_anomalies()
    await jobs.work_off()

    assert sum(counts) + again == 3
    assert await freezes(superuser) == 3
    assert await superuser.fetchval("select count(*) from risk_case") == 3


class Killed(BaseException):
    """As kill -9 leaves it: nothing after this point runs."""


@pytest.mark.parametrize("healer", ["next scan", "job of the postings"])
async def test_a_scan_killed_between_freeze_and_case_is_completed(
    superuser, monkeypatch: pytest.MonkeyPatch, healer: str
) -> None:
    sender, receiver = await town.resident(balance=20_000), await town.resident()
    await burst(sender, receiver)
    before = await superuser.fetchval("select scanned_until from risk_scan")

    async def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(risk_cases, "follow", die)
        with pytest.raises(Killed):
            await scan_anomalies()
    assert await status(sender) is AccountStatus.DEBITS_BLOCKED
    assert await case_of(sender) is None
    assert await superuser.fetchval("select scanned_until from risk_scan") == before

    if healer == "next scan":
        assert await scan_anomalies() == 0  # the dead scanner's lease still runs
        await people.pass_time(superuser, 31)
        await scan_anomalies()
    else:
        await jobs.work_off()
    assert await case_of(sender) is not None
    await people.pass_time(superuser, 31)
    await scan_anomalies()
    await jobs.work_off()

    assert await superuser.fetchval("select count(*) from risk_case") == 1
    assert await freezes(superuser) == 1
    told = "select count(*) from notice where kind = 'WALLET_FROZEN'"
    assert await superuser.fetchval(told) == 1


async def test_what_commits_behind_the_cursor_is_found_by_the_next_scan(superuser) -> None:
    sender, receiver = await town.resident(balance=20_000), await town.resident()
    await burst(sender, receiver)
    # As if the scan had passed these minutes before the batch became visible.
    await superuser.execute("update risk_scan set scanned_until = ledger.now() + interval '4 min'")
    await people.pass_time(superuser, 241)

    assert await scan_anomalies() == 1


async def test_after_unfreezing_the_same_evidence_freezes_nothing_and_new_evidence_does(
    superuser,
) -> None:
    sender, receiver = await town.resident(balance=20_000), await town.resident()
    await burst(sender, receiver)
    assert await scan_anomalies() == 1
    case = await case_of(sender)
    assert case is not None
    lift = risk_cases.unfreeze(case, actor_id=77, reason="本人操作", key="lift")
    assert (await desk.post(lift)).outcome is Outcome.POSTED
    await jobs.work_off()

    assert await scan_anomalies() == 0
    assert await status(sender) is AccountStatus.OPEN
    await burst(sender, receiver, 11)
    assert await scan_anomalies() == 0
    await burst(sender, receiver, 1)
    assert await scan_anomalies() == 1
    assert await freezes(superuser) == 2


async def test_a_long_outage_is_caught_up_hour_by_hour(superuser) -> None:
    early, late = await town.resident(balance=20_000), await town.resident(balance=20_000)
    receiver = await town.resident()
    await burst(early, receiver)
    await people.pass_time(superuser, 5 * 3600)
    await burst(late, receiver)
    await people.pass_time(superuser, 1800)

    assert await scan_anomalies() == 2

    behind = "select ledger.now() - scanned_until from risk_scan"
    assert (await superuser.fetchval(behind)).total_seconds() < 60


async def test_a_rule_that_is_switched_off_finds_nothing(superuser) -> None:
    sender, receiver = await town.resident(balance=20_000), await town.resident()
    await superuser.execute("update risk_rule set enabled = false")
    await burst(sender, receiver)

    assert await scan_anomalies() == 0


async def test_two_weeks_of_an_ordinary_city_freeze_nobody(superuser) -> None:
    chance = random.Random(5)
    people_ = [await town.resident(balance=300_000, allowance=ALLOWANCE) for _ in range(6)]
    shops = [(await town.shop())[1] for _ in range(3)]
    frozen = 0
    for _ in range(14):
        for resident in people_:
            for _ in range(chance.randrange(0, 4)):
                amount = min(int(chance.lognormvariate(7.8, 0.8)) + 100, 20_000)
                await town.pay(resident, chance.choice(shops), amount)
                await people.pass_time(superuser, chance.randrange(30, 900))
        await people.pass_time(superuser, 12 * 3600)
        frozen += await scan_anomalies()

    assert frozen == 0
    assert await superuser.fetchval("select count(*) from ledger.payment where state = 2") > 60


async def test_no_debit_has_a_later_number_than_a_freeze_among_100_payments_in_flight(
    app, superuser
) -> None:
    payer = await town.resident(balance=100_000)
    payees = [await town.resident() for _ in range(10)]
    desks = [Desk(app.worker_url, lanes=2, queue_max=4096, relay=lambda: None) for _ in range(2)]
    payments = []
    async with unit_of_work() as work:
        for number in range(100):
            instruction = ledger.instruct(
                actor_id=payer.user_id,
                operation=Operation.TRANSFER,
                key=town.key("fly"),
                legs=ledger.move(payer.account_id, payees[number % 10].account_id, 100),
            )
            payments.append(await factories.proven(work.connection, instruction))
    freeze = ledger.instruct(
        actor_id=CITY_ACTOR_ID,
        operation=Operation.FREEZE,
        key="freeze",
        legs=ledger.touch(payer.account_id),
        detail={"rule": Rule.MANUAL},
    )
    for one in desks:
        one.start()
    try:
        flying = [desks[n % 2].post(one) for n, one in enumerate(payments)]
        flying.insert(50, desks[0].post(freeze))
        receipts = await asyncio.gather(*flying)
        late = await desks[1].post(
            await _proven(
                ledger.instruct(
                    actor_id=payer.user_id,
                    operation=Operation.TRANSFER,
                    key=town.key("late"),
                    legs=ledger.move(payer.account_id, payees[0].account_id, 100),
                )
            )
        )
    finally:
        for one in desks:
            await one.stop()

    frozen_at = await superuser.fetchval(
        "select seq from ledger.posting where account_id = $1 and operation = 50", payer.account_id
    )
    newest_debit = await superuser.fetchval(
        "select max(seq) from ledger.posting where account_id = $1 and amount < 0", payer.account_id
    )
    outcomes = {receipt.outcome for receipt in receipts}
    assert late.outcome is Outcome.ACCOUNT_FROZEN
    assert outcomes <= {Outcome.POSTED, Outcome.ACCOUNT_FROZEN}
    assert newest_debit is None or newest_debit < frozen_at


async def _proven(instruction):
    async with unit_of_work() as work:
        return await factories.proven(work.connection, instruction)


async def test_the_scan_can_read_a_month_by_time_alone(superuser) -> None:
    """Every month has the block range index, and it serves the scan's question."""
    async with superuser.transaction():
        # Of an empty month any way is cheap: leave the planner this one, if it exists.
        await superuser.execute("set local enable_seqscan = off; set local enable_indexscan = off")
        lines = await superuser.fetch(
            "explain select account_id from ledger.posting"
            " where at >= now() - interval '5 minutes' and at <= now() and amount < 0"
        )
    plan = "\n".join(line[0] for line in lines)

    assert "Bitmap Index Scan on posting_" in plan
    assert "Seq Scan" not in plan


async def test_a_lost_lease_neither_moves_the_cursor_nor_returns(superuser) -> None:
    async with unit_of_work() as work:
        lease = await risk.claim(work)
    assert lease is not None
    async with snapshot() as read:
        part = await risk.next_slice(read, lease)
    before = await superuser.fetchval("select scanned_until from risk_scan")
    await people.pass_time(superuser, 31)
    async with unit_of_work() as work:
        assert await risk.claim(work) is not None

    async with unit_of_work() as work:
        assert await risk.advance(work, lease, part) is None
        assert not await risk.renew(work, lease)
    assert await superuser.fetchval("select scanned_until from risk_scan") == before
