"""The main job of the wallet, step by step, as a resident, a shop, and staff see it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.demo import changing_phones, freezing, joining, paying, refunding
from tests.demo.stage import Person, Stage, World


@dataclass
class Cast:
    """Who takes part: two newcomers, and people of the demo city."""

    payer: Person
    friend: Person
    shop: Person
    finance: Person
    colleague: Person
    risk: Person
    merchant_id: str = ""
    joined_at: str = ""


async def play(world: World, say: Callable[[str], None], *, colour: bool = False) -> int:
    """Play it all; the number of steps. Raises Unexpected at the first wrong outcome."""
    stage = Stage(world, say, colour)
    started = time.perf_counter()
    async with AsyncExitStack() as exits:
        cast = await _join(stage, exits)
        await _put_money_in(stage, cast)
        payments = await _pay(stage, cast)
        await _refund(stage, cast, payments)
        await _freeze(stage, cast)
        await _change_phones(stage, exits, cast.payer)
    took_seconds = time.perf_counter() - started
    say(f"\ndemo: {stage.steps} steps, all as promised, in {took_seconds:.1f} s")
    return stage.steps


async def _join(stage: Stage, exits: AsyncExitStack) -> Cast:
    stage.chapter("1  Registration: phone, code, review")
    payer = await joining.register(stage, "林晓雨")
    exits.push_async_callback(payer.close)
    friend = await joining.register(stage, "赵大鹏")
    exits.push_async_callback(friend.close)
    others = []
    for role, number in (("MERCHANT", 0), ("FINANCE", 0), ("FINANCE", 1), ("RISK", 0)):
        person = Person.of_city(stage, stage.world.login(role, number))
        exits.push_async_callback(person.close)
        await person.sign_in()
        others.append(person)
    await others[0].follow()
    return Cast(payer, friend, *others)


async def _put_money_in(stage: Stage, cast: Cast) -> None:
    stage.chapter("2  PIN, card, top-up, transfer")
    await joining.protect(stage, cast.payer)
    await joining.top_up(stage, cast.payer, "500.00")
    await joining.top_up_in_vain(stage, cast.payer)
    cast.joined_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    await joining.transfer(stage, cast.payer, cast.friend, "120.00")


async def _pay(stage: Stage, cast: Cast) -> list[paying.Payment]:
    stage.chapter("3  Scan to pay, live on both sides")
    payer, shop = cast.payer, cast.shop
    cast.merchant_id = await paying.scan(stage, payer, stage.world.merchants[0])
    by_pin = await paying.pay_by_pin(stage, payer, shop, cast.merchant_id, "36.80")
    await paying.repeat(stage, payer, cast.merchant_id)
    at_once = await paying.pay_without_pin(stage, payer, shop, cast.merchant_id, "12.50")
    await paying.methods(stage, payer)
    await paying.history(stage, payer, cast.joined_at, "500.00")
    missed = await paying.lose_connection(stage, payer, cast.merchant_id)
    return [by_pin, at_once, missed[0]]


async def _refund(stage: Stage, cast: Cast, payments: list[paying.Payment]) -> None:
    stage.chapter("4  Refunds: finance decides, or a policy that finance signed")
    approved, rejected, by_policy = payments
    await refunding.end_policies(cast.finance)
    await refunding.approve(stage, cast.payer, approved, (cast.finance, cast.colleague))
    await refunding.reject(stage, cast.payer, rejected, cast.finance)
    await refunding.by_policy(stage, cast.payer, by_policy, cast.finance)
    await refunding.stranger(stage, cast.friend, rejected)


async def _freeze(stage: Stage, cast: Cast) -> None:
    stage.chapter("5  An anomaly: frozen, appealed, lifted")
    friend = cast.friend
    await joining.set_pin(stage, friend)
    await freezing.burst(stage, friend, cast.merchant_id)
    case_id = await freezing.frozen(stage, friend, cast.merchant_id)
    await freezing.appeal(stage, friend, case_id, cast.risk)
    await freezing.pays_again(stage, friend, cast.merchant_id)


async def _change_phones(stage: Stage, exits: AsyncExitStack, old: Person) -> None:
    stage.chapter("6  A new phone: known by a code, and the old one out")
    new = await changing_phones.new_phone(stage, old)
    exits.push_async_callback(new.close)
    await changing_phones.lost_answer(stage, new)
    await changing_phones.revoke(stage, old, new)
