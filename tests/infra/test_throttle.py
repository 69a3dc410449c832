"""Buckets shared through a real Valkey; stricter ones while it is gone or hangs."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from infra import embedded, throttle
from infra.buckets import Buckets, Demand, Rate
from tests.fronts import Front

HOURLY = Rate(1, 20)  # a token comes back after a minute: none does during a test
WITHIN_SECONDS = 20.0  # only ends a test that has failed


async def until(throttle_: throttle.Throttle, *, shared: bool) -> None:
    async with asyncio.timeout(WITHIN_SECONDS):
        while throttle_.shared is not shared:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.005)


@pytest.fixture
def key() -> str:
    return f"test:{uuid.uuid4().hex}"


@pytest.fixture
async def front(servers: embedded.Servers) -> AsyncIterator[Front]:
    async with Front(urlsplit(servers.redis_url).path) as opened:
        yield opened


@pytest.fixture
async def shared(front: Front, servers: embedded.Servers) -> AsyncIterator[throttle.Throttle]:
    """One that waits for a Valkey on a busy machine."""
    async with opened(url(front, servers), round_trip_seconds=WITHIN_SECONDS) as one:
        yield one


@asynccontextmanager
async def opened(url: str, **options: float) -> AsyncIterator[throttle.Throttle]:
    one = throttle.Throttle(**options)
    one.open(url)
    try:
        await until(one, shared=True)
        yield one
    finally:
        await one.close()


def url(front: Front, servers: embedded.Servers) -> str:
    return f"redis://:{urlsplit(servers.redis_url).password}@127.0.0.1:{front.port}/0"


async def allowed(asked: throttle.Throttle, demand: Demand, times: int) -> int:
    verdicts = await asyncio.gather(*(asked.ask(demand) for _ in range(times)))
    return sum(verdict.allowed for verdict in verdicts)


async def test_two_processes_together_never_get_more_than_a_bucket_holds(
    shared: throttle.Throttle, servers: embedded.Servers, key: str
) -> None:
    # Each asks in many batches, so that the batches of both meet.
    demand = Demand(key, Rate(1, 137))
    async with opened(servers.redis_url, round_trip_seconds=WITHIN_SECONDS) as other:
        met = await asyncio.gather(*(allowed(one, demand, 40) for one in (shared, other) * 5))
        assert shared.shared
        assert other.shared
    assert sum(met) == 137
    print(f"allowed by turns: {met}")


@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from("ab"), st.integers(1, 9)),
            min_size=1,
            max_size=2,
            unique_by=lambda one: one[0],
        ),
        min_size=1,
        max_size=80,
    )
)
@hypothesis_settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_valkey_decides_by_the_same_rule(shared: throttle.Throttle, steps) -> None:
    run = uuid.uuid4().hex
    rates = {"a": Rate(1, 20), "b": Rate(1, 7)}
    ours = Buckets(size_max=10)
    for step in steps:
        demands = [Demand(f"{name}:{run}", rates[name], cost) for name, cost in step]
        verdict = await shared.ask(*demands)
        expected = ours.take(demands, now_us=0)
        assert verdict.allowed == expected.allowed
        assert verdict.demand == expected.demand
        # Its clock runs on meanwhile; ours stands still.
        assert expected.wait_us - WITHIN_SECONDS * 1e6 < verdict.wait_us <= expected.wait_us
    assert shared.shared


async def test_a_bucket_fills_by_time_and_leaves_nothing_in_valkey(
    shared: throttle.Throttle, servers: embedded.Servers, key: str
) -> None:
    demand = Demand(key, Rate(60_000, 5))  # a token a millisecond
    assert await allowed(shared, demand, 5) == 5
    async with Redis.from_url(servers.redis_url) as redis, asyncio.timeout(WITHIN_SECONDS):
        while await redis.exists(throttle.PREFIX + key):  # noqa: ASYNC110 - it is in Valkey
            await asyncio.sleep(0.005)
    assert await allowed(shared, demand, 5) == 5


async def test_a_refusal_says_how_long_and_bars_at_no_cost(
    shared: throttle.Throttle, key: str
) -> None:
    demand = Demand(key, HOURLY)
    assert await allowed(shared, demand, 20) == 20
    assert shared.barred_seconds(key) == 0
    verdict = await shared.ask(demand)
    assert verdict.demand == demand
    assert 50 < verdict.wait_us / 1e6 <= 60
    assert 50 < shared.barred_seconds(key) <= 60
    # Who asked for much is not barred from asking for little.
    wide = Demand(f"{key}:wide", HOURLY, 15)
    assert [await allowed(shared, wide, 1) for _ in range(2)] == [1, 0]
    assert shared.barred_seconds(wide.key) == 0
    assert await allowed(shared, Demand(wide.key, HOURLY), 9) == 5


async def test_an_emptied_valkey_is_asked_on(
    shared: throttle.Throttle, servers: embedded.Servers, key: str
) -> None:
    async with Redis.from_url(servers.redis_url) as redis:
        await redis.script_flush()
    assert await allowed(shared, Demand(key, HOURLY), 30) == 20
    assert shared.shared


async def test_a_bucket_that_somebody_spoiled_in_valkey_makes_nobody_wait(
    shared: throttle.Throttle, servers: embedded.Servers, key: str
) -> None:
    async with Redis.from_url(servers.redis_url) as redis:
        await redis.rpush(throttle.PREFIX + key, "no moment")
        assert await allowed(shared, Demand(key, HOURLY), 30) == 5
        await redis.delete(throttle.PREFIX + key)
    await until(shared, shared=True)
    assert await allowed(shared, Demand(key, HOURLY), 30) == 20


@pytest.mark.parametrize("how", ["gone", "hanging"])
async def test_without_valkey_each_process_allows_a_quarter_and_comes_back_to_it(
    front: Front, servers: embedded.Servers, key: str, how: str
) -> None:
    async with opened(url(front, servers)) as asked:
        await front.go_away() if how == "gone" else front.hang()
        demand = Demand(key, HOURLY)
        assert await allowed(asked, demand, 30) == 5
        # Nobody waits for Valkey now: the answer is there before it is waited for.
        assert not asked.shared
        assert asked.ask(demand).done()
        await front.come_back() if how == "gone" else front.hang(False)
        await until(asked, shared=True)


async def test_a_late_answer_ends_the_time_alone_without_a_new_connection(
    front: Front, servers: embedded.Servers, key: str
) -> None:
    async with opened(url(front, servers)) as asked:
        connections = front.handshakes
        front.hang()
        assert await allowed(asked, Demand(key, HOURLY), 30) == 5
        front.hang(False)
        await until(asked, shared=True)
        assert front.handshakes == connections


async def test_everybody_who_waits_for_a_valkey_that_hangs_is_answered(
    front: Front, servers: embedded.Servers, key: str
) -> None:
    async with opened(url(front, servers)) as asked:
        front.hang()
        started = time.monotonic()
        met = await asyncio.gather(*(allowed(asked, Demand(key, HOURLY), 1) for _ in range(200)))
        print(f"answered after {(time.monotonic() - started) * 1000:.1f} ms")
        assert sum(met) == 5


async def test_it_counts_alone_before_it_has_reached_valkey_and_after_it_was_closed(
    front: Front, servers: embedded.Servers, key: str
) -> None:
    made = throttle.Throttle(round_trip_seconds=WITHIN_SECONDS)
    assert await allowed(made, Demand(key, HOURLY), 30) == 5
    made.open(url(front, servers))
    await until(made, shared=True)
    front.hang()
    asked = [made.ask(Demand(f"{key}:last", HOURLY)) for _ in range(30)]
    await made.close()
    assert Counter(verdict.allowed for verdict in await asyncio.gather(*asked)) == {
        True: 5,
        False: 25,
    }


async def test_memory_of_who_is_barred_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "BUCKETS_MAX", 50)
    made = throttle.Throttle()
    for number in range(200):
        for _ in range(2):
            await made.ask(Demand(f"{number}", Rate(1, 1)))
    assert made.barred_seconds("0") == 0
    assert made.barred_seconds("199") > 0
    assert len(made._barred) == 50
