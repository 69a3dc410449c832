"""Paying a merchant through the functions that GraphQL calls."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from domain import ledger, refusals
from domain.ledger import CITY_ACTOR_ID, Operation, Outcome
from domain.payments import MethodKind, Reason, State
from domain.proofs import Pin
from infra import database
from infra.remembered import Remembered
from resolvers import payments, transactions, wallets
from resolvers.live import Event, Gap
from resolvers.proof_challenges import Payment
from services import live, merchants
from services import payments as verbs
from services.ledger import desk
from services.unit_of_work import snapshot
from tests import movement as town
from tests import passkeys as keys
from tests import people
from workers.payments import expire_payments

pytestmark = pytest.mark.usefixtures("counter")
PIN = town.PIN


async def confirm(viewer, payment, **options):
    return await payments.confirm_payment(
        viewer,
        payment_id=payment.id,
        proof=Pin(options.get("pin", PIN)),
        key=options.get("key") or town.key("confirm"),
    )


async def freeze(account_id: int) -> None:
    receipt = await desk.post(
        ledger.instruct(
            actor_id=CITY_ACTOR_ID,
            operation=Operation.FREEZE,
            key=town.key("freeze"),
            legs=ledger.touch(account_id),
            detail={"rule": "TEST"},
        )
    )
    assert receipt.outcome is Outcome.POSTED


async def test_under_the_allowance_a_payment_is_paid_at_once_and_read_back_alike() -> None:
    payer = await town.resident(balance=10_000, allowance=(5_000, 5))
    seller, shop = await town.shop()

    paid = await town.pay(payer, shop, 2_500, note=" 两本书 ")

    assert (paid.state, paid.refundable_minor, paid.expires_at) == (State.SUCCEEDED, 2_500, None)
    assert await payments.payment(payer, paid.id) == paid
    assert await payments.payment(seller, paid.id) == paid
    assert await transactions.memos(seller, [paid.id]) == {paid.id: "两本书"}
    assert await town.balance(shop.account_id) == 2_500


async def test_without_allowance_a_payment_waits_for_the_pin() -> None:
    payer = await town.resident(balance=10_000)
    _, shop = await town.shop()

    opened = await town.pay(payer, shop, 2_500)
    read_back = await payments.payment(payer, opened.id)
    paid = await confirm(payer, opened)

    assert opened == read_back
    assert opened.state is State.AWAITING_CONFIRMATION
    assert opened.expires_at is not None
    assert [state for state, _ in paid.steps] == [State.AWAITING_CONFIRMATION, State.SUCCEEDED]
    assert await town.balance(payer.account_id) == 7_500


async def test_the_hot_path_reads_once_for_a_new_merchant_and_never_for_a_known_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    payer = await town.resident(balance=10_000, allowance=(5_000, 5))
    _, shop = await town.shop()
    opened: list[bool] = []
    original = database.session

    def counted(**options):
        opened.append(True)
        return original(**options)

    monkeypatch.setattr(database, "session", counted)
    await town.pay(payer, shop, 100)
    first = len(opened)
    await town.pay(payer, shop, 100)

    assert first == 1
    assert len(opened) == first


async def test_two_hundred_equal_calls_have_one_effect_and_equal_answers() -> None:
    payer = await town.resident(balance=10_000, allowance=(5_000, 5))
    _, shop = await town.shop()

    answers = await asyncio.gather(
        *(town.pay(payer, shop, 700, key="the-same") for _ in range(200))
    )

    assert len({(one.id, one.state, one.steps) for one in answers}) == 1
    assert await town.balance(shop.account_id) == 700
    with pytest.raises(refusals.IdempotencyKeyReused):
        await town.pay(payer, shop, 701, key="the-same")


async def test_a_double_click_on_confirm_pays_once() -> None:
    payer = await town.resident(balance=10_000)
    _, shop = await town.shop()
    opened = await town.pay(payer, shop, 2_500)

    same = await asyncio.gather(*(confirm(payer, opened, key="click") for _ in range(5)))
    with pytest.raises(refusals.PaymentNotPayable):
        await confirm(payer, opened)

    assert {one.state for one in same} == {State.SUCCEEDED}
    assert await town.balance(shop.account_id) == 2_500


async def test_of_confirm_and_cancel_at_once_one_wins() -> None:
    payer = await town.resident(balance=10_000)
    _, shop = await town.shop()
    for _ in range(5):
        before = await town.balance(shop.account_id)
        opened = await town.pay(payer, shop, 100)
        answers = await asyncio.gather(
            confirm(payer, opened),
            payments.cancel_payment(payer, payment_id=opened.id, key=town.key()),
            return_exceptions=True,
        )
        lost = [one for one in answers if isinstance(one, refusals.PaymentNotPayable)]
        won = [one for one in answers if not isinstance(one, Exception)]
        assert (len(lost), len(won)) == (1, 1)
        moved = await town.balance(shop.account_id) - before
        assert moved == (100 if won[0].state is State.SUCCEEDED else 0)


async def test_a_payment_that_nobody_confirmed_expires(superuser: asyncpg.Connection) -> None:
    payer = await town.resident(balance=10_000)
    _, shop = await town.shop()
    late, closed = [await town.pay(payer, shop, 100) for _ in range(2)]
    kept = await town.pay(payer, shop, 200)
    await confirm(payer, kept)

    await people.pass_time(superuser, 901)
    with pytest.raises(refusals.PaymentExpired):
        await confirm(payer, late)
    await asyncio.gather(expire_payments(), expire_payments())

    assert await town.state(closed.id) == State.EXPIRED
    assert await town.state(kept.id) == State.SUCCEEDED
    with pytest.raises(refusals.PaymentExpired):
        await confirm(payer, closed)
    assert await town.balance(shop.account_id) == 200


async def test_however_many_payments_are_overdue_all_expire(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer = await town.resident(balance=10_000)
    _, shop = await town.shop()
    opened = [await town.pay(payer, shop, 100) for _ in range(5)]
    monkeypatch.setattr(verbs, "EXPIRED_AT_ONCE_MAX", 2)

    await people.pass_time(superuser, 901)
    await expire_payments()

    assert {await town.state(one.id) for one in opened} == {State.EXPIRED}


async def test_a_repeated_call_is_answered_whatever_became_of_payment_and_merchant(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer = await town.resident(balance=10_000, allowance=(5_000, 5))
    _, shop = await town.shop()
    paid = await town.pay(payer, shop, 700, key="once")
    await superuser.execute("update merchant set status = 'CLOSED' where id = $1", shop.id)
    monkeypatch.setattr(merchants, "_known", Remembered(seconds=30, size_max=10))

    again = await town.pay(payer, shop, 700, key="once")

    assert (again.id, again.state) == (paid.id, State.SUCCEEDED)
    with pytest.raises(refusals.MerchantNotFound):
        await town.pay(payer, shop, 700, key="twice")
    assert await town.balance(shop.account_id) == 700


async def test_a_frozen_wallet_pays_nothing() -> None:
    payer = await town.resident(balance=10_000, allowance=(5_000, 5))
    _, shop = await town.shop()
    opened = await town.pay(payer, shop, 6_000)
    await freeze(payer.account_id)

    with pytest.raises(refusals.AccountFrozen):
        await town.pay(payer, shop, 100)
    with pytest.raises(refusals.AccountFrozen):
        await confirm(payer, opened)
    cancelled = await payments.cancel_payment(payer, payment_id=opened.id, key=town.key())
    ways = await payments.payment_methods(payer, amount_minor=100)

    assert cancelled.state is State.CANCELLED
    assert await town.balance(shop.account_id) == 0
    assert [(way.usable, way.reason) for way, _ in ways] == [(False, Reason.WALLET_FROZEN)]


async def test_over_the_daily_limit_and_over_the_balance_are_told_apart() -> None:
    payer = await town.resident(balance=600_000)
    _, shop = await town.shop()
    device, _ = await keys.added(payer)

    async def by_passkey(amount_minor: int) -> None:
        opened = await town.pay(payer, shop, amount_minor)
        proof = await keys.proof_of(payer, device, Payment(opened.id), str(amount_minor))
        await payments.confirm_payment(
            payer, payment_id=opened.id, proof=proof, key=str(amount_minor)
        )

    await by_passkey(400_000)
    with pytest.raises(refusals.DailyLimitExceeded):
        await by_passkey(100_001)
    wallet = await wallets.wallet(payer)
    poor = await town.resident(balance=10)
    with pytest.raises(refusals.InsufficientFunds):
        await confirm(poor, await town.pay(poor, shop, 11))

    assert wallet is not None
    assert wallet.daily_limit_left_minor == 100_000
    assert await town.balance(shop.account_id) == 400_000


async def test_a_wrong_pin_pays_nothing_and_a_right_one_with_the_same_key_does() -> None:
    payer = await town.resident(balance=10_000)
    _, shop = await town.shop()
    opened = await town.pay(payer, shop, 100)

    with pytest.raises(refusals.WrongPin):
        await confirm(payer, opened, pin="135790", key="once")
    assert await town.balance(shop.account_id) == 0
    paid = await confirm(payer, opened, key="once")

    assert paid.state is State.SUCCEEDED


async def test_strangers_and_payees_can_not_confirm_cancel_or_see() -> None:
    payer = await town.resident(balance=10_000)
    stranger = await town.resident(balance=10_000)
    seller, shop = await town.shop()
    opened = await town.pay(payer, shop, 100)

    with pytest.raises(refusals.NotFound):
        await payments.payment(stranger, opened.id)
    with pytest.raises(refusals.NotFound):
        await confirm(stranger, opened)
    with pytest.raises(refusals.NotFound):
        await payments.cancel_payment(stranger, payment_id=opened.id, key=town.key())
    with pytest.raises(refusals.NotPermitted):
        await confirm(seller, opened)
    with pytest.raises(refusals.NotFound):
        await anext(payments.payment_events(stranger, payment_id=opened.id, after=None))
    with pytest.raises(refusals.NotSignedIn):
        await confirm(town.ANONYMOUS, opened)

    assert await town.state(opened.id) == State.AWAITING_CONFIRMATION


@pytest.mark.parametrize("key", ["", "x" * 129, "a\0b", "\ud800"])
async def test_a_malformed_key_reaches_nothing(key: str, superuser: asyncpg.Connection) -> None:
    payer = await town.resident(balance=10_000)
    _, shop = await town.shop()
    with pytest.raises(refusals.InvalidInput):
        await payments.create_payment(
            payer, merchant_id=shop.id, amount_minor=100, note=None, key=key
        )
    with pytest.raises(refusals.InvalidInput):
        await town.pay(payer, shop, 10**15)
    assert await superuser.fetchval("select count(*) from ledger.payment") == 0


async def test_payer_and_merchant_follow_each_step_and_resume_without_gap_or_double() -> None:
    payer = await town.resident(balance=10_000)
    seller, shop = await town.shop()
    opened = await town.pay(payer, shop, 100)

    async def collect(viewer, count, after=None):
        events = []
        async for event in payments.payment_events(viewer, payment_id=opened.id, after=after):
            events.append(event)
            if len(events) == count:
                return events
        return events

    async with snapshot() as read:
        start = live.seal(f"payment:{opened.id}", live.Position(await live.epoch(read), 0))
    watching = [asyncio.create_task(collect(who, 2, start)) for who in (payer, seller)]
    await confirm(payer, opened)
    async with asyncio.timeout(10):
        seen = await asyncio.gather(*watching)
        [later] = await collect(payer, 1, seen[0][0].cursor)

    for events in seen:
        assert all(isinstance(event, Event) for event in events)
        assert [event.sequence for event in events] == [1, 2]
        assert [event.subject.state for event in events] == [
            State.AWAITING_CONFIRMATION,
            State.SUCCEEDED,
        ]
        assert [len(event.subject.steps) for event in events] == [1, 2]
    assert later == seen[0][1]
    with pytest.raises(refusals.InvalidInput):
        await collect(payer, 1, "forged")


async def test_after_a_restore_an_old_cursor_gives_a_gap(superuser: asyncpg.Connection) -> None:
    payer = await town.resident(balance=100)
    async with snapshot() as read:
        cursor = live.seal(f"account:{payer.account_id}", live.Position(await live.epoch(read), 0))
    await superuser.execute("update ledger.city set epoch = gen_random_uuid()")

    first = await anext(transactions.transaction_events(payer, after=cursor))

    assert isinstance(first, Gap)


async def test_ways_to_pay_follow_habit_balance_and_cards(superuser: asyncpg.Connection) -> None:
    payer = await town.resident(balance=1_000, allowance=(5_000, 9))
    _, shop = await town.shop()
    await town.pay(payer, shop, 100)

    enough = await payments.payment_methods(payer, amount_minor=900)
    too_much = await payments.payment_methods(payer, amount_minor=901)
    seller, _ = await town.shop()

    assert [(way.kind, way.usable, way.reason, way.recommended) for way, _ in enough] == [
        (MethodKind.BALANCE, True, Reason.USUAL, True)
    ]
    assert [(way.usable, way.reason, way.recommended) for way, _ in too_much] == [
        (False, Reason.INSUFFICIENT_BALANCE, False)
    ]
    assert await payments.payment_methods(seller, amount_minor=1) == []
