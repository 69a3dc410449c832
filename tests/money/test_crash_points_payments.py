"""Crashes inside calls that move money between wallets, and the same call with the same key."""

from __future__ import annotations

import asyncpg

from domain.identity import Role
from domain.ledger import FreezeLevel
from domain.proofs import Pin
from resolvers import payments, transfers, wallets
from services import merchants
from services.unit_of_work import unit_of_work
from tests import movement as town
from tests.money.crashes import Case, Verbs, leaves
from tests.people import PIN, pass_time
from tests.people import phone as new_phone
from workers.payments import expire_payments

VERBS = Verbs()
WALLET = (
    "select posted, seq, day_out, day_free_count, free_max, free_count_max,"
    " (select pin_tries_left from users u where u.id = a.owner_id),"
    " (select array_agg(p.state order by p.id) from ledger.payment p where p.payer_id = a.id),"
    " (select count(*) from ledger.outbox o where a.id = any(o.accounts))"
    " from ledger.account a where id = $1"
)


@VERBS.covering("resolvers.payments.create_payment")
async def paying_without_a_pin(superuser: asyncpg.Connection) -> Case:
    payer = await town.resident(balance=1_000, allowance=(500, 5))
    _, shop = await town.shop()
    key = town.key("pay")

    async def run() -> None:
        await town.pay(payer, shop, 300, note="两本书", key=key)

    return Case(run, leaves(superuser, WALLET, payer.account_id))


@VERBS.covering(
    "resolvers.payments.confirm_payment", "resolvers.proofs._by_pin", "resolvers.proofs._settle"
)
async def confirming_a_payment(superuser: asyncpg.Connection) -> Case:
    payer = await town.resident(balance=1_000)
    _, shop = await town.shop()
    opened, key = await town.pay(payer, shop, 300), town.key("confirm")

    async def run() -> None:
        await payments.confirm_payment(payer, payment_id=opened.id, proof=Pin(PIN), key=key)

    return Case(run, leaves(superuser, WALLET, payer.account_id))


@VERBS.covering("resolvers.payments.cancel_payment")
async def cancelling_a_payment(superuser: asyncpg.Connection) -> Case:
    payer = await town.resident(balance=1_000)
    _, shop = await town.shop()
    opened, key = await town.pay(payer, shop, 300), town.key("cancel")

    async def run() -> None:
        await payments.cancel_payment(payer, payment_id=opened.id, key=key)

    return Case(run, leaves(superuser, WALLET, payer.account_id))


@VERBS.covering("workers.payments._expire_some")
async def expiring_payments(superuser: asyncpg.Connection) -> Case:
    payer = await town.resident(balance=1_000)
    _, shop = await town.shop()
    await town.pay(payer, shop, 300)
    await pass_time(superuser, 3_600)
    return Case(expire_payments, leaves(superuser, WALLET, payer.account_id))


@VERBS.covering("resolvers.transfers.create_transfer", "resolvers.transfers._recipient")
async def transferring(superuser: asyncpg.Connection) -> Case:
    number, key = new_phone(), town.key("send")
    sender = await town.resident(balance=1_000)
    receiver = await town.resident(number=number)

    async def run() -> None:
        await transfers.create_transfer(
            sender, phone=number, amount_minor=300, memo="午饭", proof=Pin(PIN), key=key
        )

    async def effect() -> object:
        return (
            await leaves(superuser, WALLET, sender.account_id)(),
            await leaves(superuser, WALLET, receiver.account_id)(),
        )

    return Case(run, effect)


@VERBS.covering("resolvers.wallets.set_payment_allowance")
async def setting_an_allowance(superuser: asyncpg.Connection) -> Case:
    viewer, key = await town.resident(balance=1_000), town.key("allowance")

    async def run() -> None:
        await wallets.set_payment_allowance(
            viewer, amount_max_minor=500, daily_count_max=3, proof=Pin(PIN), key=key
        )

    return Case(run, leaves(superuser, WALLET, viewer.account_id))


@VERBS.covering("resolvers.wallets.freeze_my_wallet")
async def freezing_ones_own_wallet(superuser: asyncpg.Connection) -> Case:
    viewer, key = await town.resident(balance=1_000), town.key("freeze")

    async def run() -> None:
        await wallets.freeze_my_wallet(viewer, level=FreezeLevel.FULL, key=key)

    return Case(run, leaves(superuser, WALLET, viewer.account_id))


@VERBS.covering()
async def opening_a_shop(superuser: asyncpg.Connection) -> Case:
    user_id = await town.person(Role.MERCHANT, "陈思远", None)

    async def run() -> None:
        async with unit_of_work() as work:
            shop = await merchants.open_shop(
                work, user_id=user_id, name="荔枝书店", category="BOOKS"
            )
            assert shop == await merchants.of_user(work, user_id)

    return Case(
        run,
        leaves(
            superuser,
            "select name, status, (select count(*) from ledger.account where owner_id = $1)"
            " from merchant where user_id = $1",
            user_id,
        ),
    )


async def test_payments_and_transfers_survive_a_crash_at_every_point(counter, superuser) -> None:
    await VERBS.survive(superuser)
