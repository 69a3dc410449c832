"""History and balances of the past, against a model in Python."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain import refusals
from domain.transactions import KINDS, Direction, Filter, Kind
from infra import hints
from resolvers import transactions, wallets
from services import live
from services.ledger import desk, reading
from services.unit_of_work import snapshot
from tests import factories, people
from tests import movement as town

pytestmark = pytest.mark.usefixtures("counter")
MONTH_SECONDS = 31 * 86_400


async def busy_wallet(superuser: asyncpg.Connection, *, months: int = 3, rounds: int = 8):
    """A wallet with top-ups and payments over some months."""
    chance = random.Random(5)
    payer = await town.resident(balance=50_000, allowance=(20_000, 10))
    _, shop = await town.shop()
    for _ in range(months):
        for _ in range(rounds):
            if chance.random() < 0.4:
                await desk.post(factories.top_up(payer.account_id, chance.randrange(1, 5_000)))
            else:
                await town.pay(payer, shop, chance.randrange(1, 3_000))
            await people.pass_time(superuser, chance.randrange(3_600, 86_400))
        await people.pass_time(superuser, MONTH_SECONDS)
    return payer


async def everything(viewer) -> list[reading.Posting]:
    return await transactions.transactions(
        viewer, Filter(), limit=1_000, after=None, before=None, backwards=False
    )


async def test_pages_cover_the_filtered_history_once_in_order(
    superuser: asyncpg.Connection,
) -> None:
    payer = await busy_wallet(superuser)
    rows = await everything(payer)
    assert [row.key for row in rows] == sorted((row.key for row in rows), reverse=True)
    times = st.none() | st.sampled_from([row.at for row in rows])
    amounts = st.none() | st.sampled_from([abs(row.amount_minor) for row in rows])
    loop = asyncio.get_running_loop()

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        narrow=st.builds(
            Filter,
            kinds=st.lists(st.sampled_from(Kind), unique=True).map(tuple),
            direction=st.none() | st.sampled_from(Direction),
            since=times,
            until=times,
            amount_min_minor=amounts,
            amount_max_minor=amounts,
        ),
        size=st.integers(1, 9),
        backwards=st.booleans(),
    )
    def check(narrow: Filter, size: int, backwards: bool) -> None:
        paged = asyncio.run_coroutine_threadsafe(pages(narrow, size, backwards), loop).result(30)
        wanted = [row for row in rows if fits(row, narrow)]
        assert paged == (wanted[::-1] if backwards else wanted)

    async def pages(narrow: Filter, size: int, backwards: bool) -> list[reading.Posting]:
        found: list[reading.Posting] = []
        while True:
            edge = found[-1].key if found else None
            page = await transactions.transactions(
                payer,
                narrow,
                limit=size,
                after=None if backwards else edge,
                before=edge if backwards else None,
                backwards=backwards,
            )
            found += page
            if len(page) < size:
                return found

    await asyncio.to_thread(check)


def fits(row: reading.Posting, narrow: Filter) -> bool:
    amount = abs(row.amount_minor)
    return (
        (not narrow.kinds or KINDS[row.operation] in narrow.kinds)
        and (narrow.direction is None or (row.amount_minor > 0) == (narrow.direction == "IN"))
        and (narrow.since is None or row.at >= narrow.since)
        and (narrow.until is None or row.at < narrow.until)
        and (narrow.amount_min_minor is None or amount >= narrow.amount_min_minor)
        and (narrow.amount_max_minor is None or amount <= narrow.amount_max_minor)
    )


async def test_the_balance_at_any_instant_equals_the_sum_until_then(
    superuser: asyncpg.Connection,
) -> None:
    payer = await busy_wallet(superuser)
    rows = await everything(payer)
    first, last = rows[-1].at, rows[0].at
    chance = random.Random(7)
    span = (last - first).total_seconds()
    instants = [first + timedelta(seconds=chance.uniform(-0.05, 1) * span) for _ in range(60)]
    instants += [row.at for row in rows] + [row.at - timedelta(microseconds=1) for row in rows]

    for instant in instants:
        wanted = sum(row.amount_minor for row in rows if row.at <= instant)
        assert await wallets.balance_at(payer, instant) == wanted

    with pytest.raises(refusals.InvalidInput):
        await wallets.balance_at(payer, datetime.now(UTC) + timedelta(days=3_650))


async def test_a_past_balance_is_read_by_index_and_stops_at_the_first_month_that_has_one(
    superuser: asyncpg.Connection,
) -> None:
    payer = await busy_wallet(superuser, months=4, rounds=4)
    await superuser.execute("analyze ledger.posting")
    [oldest] = (await everything(payer))[-1:]

    async with snapshot() as read:
        rows = await read.fetch(
            f"explain (analyze, format text) {reading._BALANCE_AT}",
            payer.account_id,
            oldest.at + timedelta(days=40),
        )
    plan = "\n".join(row[0] for row in rows)

    scans = [line for line in plan.splitlines() if " Scan" in line]
    ran = [line for line in scans if "never executed" not in line]
    assert "Sort" not in plan
    assert all("Index" in line for line in scans), plan
    assert len(ran) <= 2, plan


async def test_strangers_transactions_are_nobodys(superuser: asyncpg.Connection) -> None:
    one, other = await town.resident(balance=100), await town.resident(balance=200)
    [mine] = await everything(one)

    assert await transactions.by_keys(one, [mine.key]) == {mine.key: mine}
    assert await transactions.by_keys(other, [mine.key]) == {}
    with pytest.raises(refusals.NotSignedIn):
        await everything(town.ANONYMOUS)


async def test_new_transactions_are_followed_and_resumed_without_gap_or_double() -> None:
    payer = await town.resident(balance=10_000, allowance=(5_000, 9))
    _, shop = await town.shop()
    async with snapshot() as read:
        start = live.seal(
            f"account:{payer.account_id}", await reading.newest(read, payer.account_id)
        )
    stream = transactions.transaction_events(payer, after=start)
    waiting = asyncio.create_task(anext(stream))

    async with asyncio.timeout(10):
        paid = [await town.pay(payer, shop, amount) for amount in (1, 2, 3)]
        seen = [await waiting, await anext(stream), await anext(stream)]
        await stream.aclose()
        resumed = transactions.transaction_events(payer, after=seen[0].cursor)
        again = [await anext(resumed), await anext(resumed)]
        await resumed.aclose()

    assert [event.subject.subject_id for event in seen] == [one.id for one in paid]
    assert again == seen[1:]
    assert [one.sequence for one in seen] == sorted(one.sequence for one in seen)


async def test_whoever_stops_watching_is_not_watched_for() -> None:
    payer = await town.resident(balance=10)
    topic = f"account:{payer.account_id}"
    stream = transactions.transaction_events(payer, after=None)
    waiting = asyncio.create_task(anext(stream))
    async with asyncio.timeout(10):
        while topic not in hints.current().watched():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    assert topic not in hints.current().watched()
