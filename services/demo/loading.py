"""Loading the demo city: people first, then two weeks of what they do, moment by moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from domain.identity import Role
from domain.payments import State
from infra import bank, database, hashing, kms
from infra.settings import Settings
from services import audit_seals, payments, refunds, topups, transfers
from services.demo import city, clock, devices, people, second_factors
from services.demo.city import Decision, Deed, Moment, Payment, Refund, TopUp, Transfer
from services.demo.clock import Clock
from services.demo.errands import Errands
from services.demo.people import Resident, post, proven
from services.ledger import desk
from services.merchants import Merchant
from services.unit_of_work import snapshot, unit_of_work

Say = Callable[[str], None]
_PEOPLE_COME_AT = timedelta(hours=6)
# bcrypt at full cost would take half a minute; a login hashes anew at the installation's cost.
_PASSWORD_COST_MAX = 8


@dataclass(frozen=True, slots=True)
class Loaded:
    """The shops, and by phone everybody's device (see `services.demo.devices`).

    And the second factors of staff (see `services.demo.second_factors`).
    """

    shops: list[Merchant]
    devices: dict[str, dict[str, str]] = field(repr=False)
    second_factors: dict[str, dict[str, str]] = field(repr=False)


async def load(settings: Settings, owner: asyncpg.Connection, say: Say) -> Loaded:
    """Fill an empty database. ``owner``: a connection of the money tables' owner.

    Raises DemoFailed if anything was refused. The core's clock is right again in any case.
    """
    zone = str(await owner.fetchval("select zone from ledger.city"))
    midnight = datetime.now(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    start = midnight.astimezone(UTC) - timedelta(days=city.DAYS)
    async with clock.turned_back(owner, start) as hands, _opened(settings):
        await hands.set(start + _PEOPLE_COME_AT)
        shops, staff = await people.shops(), await people.staff()
        say(f"{len(shops)} shops opened, {len(city.STAFF)} members of staff")
        errands = Errands()
        residents = await people.residents(errands)
        say(f"{len(residents)} residents registered by code, reviewed, with PIN and card")
        known, factors = await devices.enrol(), await second_factors.enrol()
        life = Life(residents, shops, finance_ids=staff[Role.FINANCE])
        await _live(life, errands, hands, start, say)
        async with unit_of_work() as work:
            await audit_seals.seal(work)  # as a worker would have, minute by minute
    return Loaded(shops, known, factors)


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[None]:
    """What a worker's process has open; its login is the one that may settle the bank's money."""
    settings.password_cost = min(settings.password_cost, _PASSWORD_COST_MAX)
    url = (settings.worker_database_url or settings.database_url).get_secret_value()
    await kms.open_keys()
    await database.open_database(url, pool_size=settings.database_pool_size)
    await hashing.open_hasher(waiting_max=100)
    counter = desk.Desk(url, lanes=1, queue_max=settings.lane_queue_max, relay=lambda: None)
    counter.start()
    desk.use(counter)
    try:
        async with bank.from_settings(settings) as port:
            bank.use(port)
            yield
    finally:
        await counter.stop()
        desk.use(None)
        await hashing.close_hasher()
        await database.close_database()


async def _live(life: Life, errands: Errands, hands: Clock, start: datetime, say: Say) -> None:
    done, day_said = 0, -1
    moments = city.two_weeks()
    for moment in moments:
        if moment.after.days > day_said and moment.after.days % 4 == 0:
            day_said = moment.after.days
            say(f"day {day_said + 1} of {city.DAYS} …")
        await hands.set(start + moment.after)
        done += await _happen(life, moment)
        await errands.run()
    say(f"{done} top-ups, payments, transfers, refunds and decisions")


async def _happen(life: Life, moment: Moment) -> int:
    await asyncio.gather(*(life.do(deed) for deed in moment.deeds))
    return len(moment.deeds)


class Life:
    """Does deeds: each as its person would, refused by nobody."""

    def __init__(
        self, residents: list[Resident], shops: list[Merchant], *, finance_ids: list[int]
    ) -> None:
        self._residents = residents
        self._shops = shops
        self._finance_ids = finance_ids
        # By the number of the payment.
        self._payment_ids: dict[int, UUID] = {}
        self._refund_ids: dict[int, UUID] = {}

    async def do(self, deed: Deed) -> None:
        """Let it happen now, by the core's clock."""
        if isinstance(deed, TopUp):
            await self._top_up(deed)
        elif isinstance(deed, Payment):
            await self._pay(deed)
        elif isinstance(deed, Transfer):
            await self._transfer(deed)
        elif isinstance(deed, Refund):
            await self._refund(deed)
        else:
            await self._decide(deed)

    async def _top_up(self, deed: TopUp) -> None:
        who = self._residents[deed.resident]
        async with unit_of_work() as work:
            await topups.request(
                work,
                user_id=who.user_id,
                account_id=who.account_id,
                card_id=who.card_id,
                amount_minor=deed.amount_minor,
                key=f"demo-top-up-{work.now:%Y%m%d}",
            )

    async def _pay(self, deed: Payment) -> None:
        """At once under the allowance, else confirmed by PIN."""
        who, shop = self._residents[deed.resident], self._shops[deed.shop]
        key = f"demo-payment-{deed.number}"
        receipt = await post(
            payments.create(
                actor_id=who.user_id,
                payer_account_id=who.account_id,
                payee_account_id=shop.account_id,
                amount_minor=deed.amount_minor,
                note=deed.note,
                key=key,
            )
        )
        assert receipt.entry_id is not None
        self._payment_ids[deed.number] = receipt.entry_id
        if receipt.state == State.AWAITING_CONFIRMATION:
            async with snapshot() as read:
                found = await payments.of_account(read, who.account_id, [receipt.entry_id])
            waiting = found[receipt.entry_id]
            await post(await proven(payments.confirm(waiting, actor_id=who.user_id, key=key)))

    async def _transfer(self, deed: Transfer) -> None:
        who, to = self._residents[deed.resident], self._residents[deed.to]
        async with snapshot() as read:
            key = f"demo-transfer-{await read.fetchval('select ledger.now()'):%Y%m%d%H}"
        instruction = transfers.instruct(
            actor_id=who.user_id,
            payer_account_id=who.account_id,
            payee_account_id=to.account_id,
            amount_minor=deed.amount_minor,
            memo=deed.memo,
            key=key,
        )
        await post(await proven(instruction))

    async def _refund(self, deed: Refund) -> None:
        who = self._residents[deed.payment.resident]
        receipt = await post(
            refunds.request(
                actor_id=who.user_id,
                payer_account_id=who.account_id,
                payment_id=self._payment_ids[deed.payment.number],
                amount_minor=deed.payment.amount_minor,
                reason=deed.reason,
                key=f"demo-refund-{deed.payment.number}",
            )
        )
        assert receipt.entry_id is not None
        self._refund_ids[deed.payment.number] = receipt.entry_id

    async def _decide(self, deed: Decision) -> None:
        number = deed.refund.payment.number
        refund_id = self._refund_ids[number]
        async with snapshot() as read:
            refund = (await refunds.by_ids(read, [refund_id]))[refund_id]
        actor_id = self._finance_ids[number % len(self._finance_ids)]
        key = f"demo-decision-{number}"
        if deed.approved:
            await post(refunds.approve(refund, actor_id=actor_id, key=key))
        else:
            await post(
                refunds.reject(refund, actor_id=actor_id, key=key, reason=city.REJECTED_BECAUSE)
            )
