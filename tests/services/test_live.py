"""Streams: gap-free and duplicate-free whatever is lost, cursors of one topic and one epoch."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator

import asyncpg
import pytest

from domain.refusals import InvalidInput
from infra import hints
from infra.hints import Hints
from resolvers.live import Event, Gap, follow
from services import live
from services.ledger import desk, reading
from services.ledger.reading import Posting
from services.live import Position
from services.unit_of_work import Snapshot, snapshot
from tests import factories as make
from tests.money.desks import kill

SEEDS = (1, 2, 3)
FOLLOWERS, POSTERS, POSTINGS_EACH = 4, 4, 25


@pytest.fixture
async def account(worker: asyncpg.Connection, counter: desk.Desk) -> int:
    return await make.open_account(worker, 71)


def transactions(account: int, after: str | None) -> AsyncGenerator[Event[Posting] | Gap]:
    """What the subscription of an account's owner follows."""

    async def read(view: Snapshot, place: Position) -> list[tuple[Position, Posting]]:
        return await reading.events(view, account, place)

    return follow(
        f"account:{account}", after, newest=lambda view: reading.newest(view, account), read=read
    )


async def start_of(account: int) -> str:
    """The cursor of an account's stream as it is now."""
    async with snapshot() as view:
        return live.seal(f"account:{account}", await reading.newest(view, account))


async def take(stream: AsyncGenerator[Event[Posting] | Gap], count: int) -> list[Event[Posting]]:
    """So many events; then the client is gone."""
    events: list[Event[Posting]] = []
    async with contextlib.aclosing(stream), asyncio.timeout(20):
        async for event in stream:
            assert isinstance(event, Event)
            events.append(event)
            if len(events) == count:
                break
    return events


class Forgetful(Hints):
    """Loses some hints, and tells of others that nobody gave."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.chance = chance
        self.counts: Counter[str] = Counter()

    def publish(self, topics) -> None:
        for topic in topics:
            if self.chance.random() < 0.5:
                self.counts["lost"] += 1
                continue
            for _ in range(self.chance.choice((1, 1, 3))):
                self.counts["told"] += 1
                self.wake(topic)


@contextlib.asynccontextmanager
async def sweeping() -> AsyncIterator[None]:
    """What a process does once a second, more often."""

    async def sweep() -> None:
        known: dict[str, int] = {}
        while True:
            async with snapshot() as read:
                await live.sweep(read, known)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(sweep())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def follow_unsteadily(
    account: int, cursor: str, wanted: int, chance: random.Random, counts: Counter[str]
) -> list[int]:
    """The numbers that a client sees whose connection breaks again and again."""
    seen: list[int] = []
    while len(seen) < wanted:
        some = min(chance.randint(1, 9), wanted - len(seen))
        events = await take(transactions(account, cursor), some)
        cursor = events[-1].cursor
        seen += [event.sequence for event in events]
        counts["cut"] += 1
        if chance.random() < 0.3:  # a client that lost the last answers comes with an old cursor
            back = chance.randint(0, len(events) - 1)
            cursor = events[back].cursor
            del seen[len(seen) - (len(events) - 1 - back) :]
            counts["taken back"] += 1
    return seen


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_stream_has_no_gap_and_nothing_twice_whatever_is_lost_on_the_way(
    account: int, seed: int
) -> None:
    chance = random.Random(seed)
    before, forgetful = hints.current(), Forgetful(chance)
    hints.use(forgetful)
    wanted = POSTERS * POSTINGS_EACH

    async def post() -> None:
        for _ in range(POSTINGS_EACH):
            await desk.post(make.top_up(account, 1))
            await asyncio.sleep(chance.random() * 0.01)

    try:
        cursor = await start_of(account)
        async with sweeping():
            followers = [
                asyncio.create_task(
                    follow_unsteadily(account, cursor, wanted, chance, forgetful.counts)
                )
                for _ in range(FOLLOWERS)
            ]
            await asyncio.gather(*(post() for _ in range(POSTERS)))
            seen = await asyncio.gather(*followers)
        assert forgetful.watched() == []
    finally:
        hints.use(before)
    print(f"seed {seed}: {dict(forgetful.counts)}")
    assert all(forgetful.counts[fault] > 0 for fault in ("lost", "told", "cut", "taken back"))
    assert seen == [list(range(1, wanted + 1))] * FOLLOWERS


async def test_without_a_cursor_a_stream_begins_now(account: int) -> None:
    await desk.post(make.top_up(account, 1))
    stream = transactions(account, None)
    waiting = asyncio.create_task(take(stream, 1))
    async with asyncio.timeout(10):
        while not waiting.done():
            await desk.post(make.top_up(account, 1))
            await asyncio.sleep(0.01)
    [event] = await waiting
    assert event.sequence > 1


async def test_a_lost_hint_is_made_good_by_the_sweep(account: int, worker) -> None:
    """Posted by a process that nobody hears: its hint is lost for certain."""
    watcher = hints.current().watch(f"account:{account}")
    known: dict[str, int] = {}
    async with snapshot() as read:
        await live.sweep(read, known)
    watcher.clear()
    async with snapshot() as read:
        await live.sweep(read, known)
    assert not watcher.is_set()
    await make.send(worker, make.top_up(account, 1))
    assert not watcher.is_set()
    async with snapshot() as read:
        await live.sweep(read, known)
    assert watcher.is_set()
    hints.current().unwatch(f"account:{account}", watcher)
    async with snapshot() as read:
        await live.sweep(read, known)
    assert known == {}


async def test_the_sweep_knows_every_kind_of_numbered_stream_and_ignores_others(
    app, superuser
) -> None:
    topics = ["account:1", "notices:1", "user:1", "session:1"]
    topics.append("payment:01990000-0000-7000-8000-000000000000")
    watchers = {topic: hints.current().watch(topic) for topic in topics}
    async with snapshot() as read:
        await live.sweep(read, {})
    assert watchers["account:1"].is_set()  # the bank's own account is always there
    for topic, watcher in watchers.items():
        hints.current().unwatch(topic, watcher)


async def test_a_stream_outlives_lost_connections_to_postgresql(account: int, superuser) -> None:
    hits = 0
    cursor = await start_of(account)
    task = asyncio.create_task(take(transactions(account, cursor), 5))
    for _ in range(5):
        pids = await superuser.fetch(
            "select pid from pg_stat_activity where application_name = 'wallet'"
            " and datname = current_database()"
        )
        hits += await kill(superuser, [row["pid"] for row in pids])
        await desk.post(make.top_up(account, 1))
    events = await task
    print(f"connections killed: {hits}")
    assert hits > 0
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5]


async def test_a_cursor_is_good_for_its_own_stream_only(account: int, worker) -> None:
    other = await make.open_account(worker, 72)
    cursor = await start_of(account)
    for wrong in (await start_of(other), cursor[:-2], "A" + cursor, "", "é"):
        with pytest.raises(InvalidInput) as refused:
            await take(transactions(account, wrong), 1)
        assert refused.value.path == ("after",)
    assert hints.current().watched() == []


async def test_after_a_restore_an_old_cursor_is_answered_by_a_gap(account: int, superuser) -> None:
    cursor = await start_of(account)
    await superuser.execute("update ledger.city set epoch = gen_random_uuid()")
    async with contextlib.aclosing(transactions(account, cursor)) as stream:
        answers = [event async for event in stream]
    assert [type(answer) for answer in answers] == [Gap]
    assert hints.current().watched() == []
