"""The lanes against a real PostgreSQL: bounds, halving, lost links, left callers, the drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest

from domain.refusals import Overloaded
from infra.lanes import LaneFull, Lanes, OutcomeUnknown
from services.ledger.desk import Desk
from tests import factories as make
from tests.money.desks import kill, lane_pids, until

_SETTINGS = {"application_name": "wallet lane", "lock_timeout": "100ms"}
_WAITING = (
    "select exists (select from pg_stat_activity where application_name = 'wallet lane'"
    " and datname = current_database() and wait_event_type = 'Lock')"
)
_EFFECT = """
create table gate(id int primary key);
insert into gate select generate_series(0, 9);
create table effect(key text primary key);
create function apply(keys text[], divisors int[], gates int[]) returns int[] language plpgsql as $$
begin
  perform from gate where id = any(gates) order by id for update;
  insert into effect select k from unnest(keys) k on conflict do nothing;
  return (select array_agg(10 / d order by i) from unnest(divisors) with ordinality as u(d, i));
end $$;
grant all on gate, effect to public;
"""


@dataclass(frozen=True)
class Row:
    """``divisor`` 0 is poison; ``gate`` is a row that others may have locked."""

    key: str
    divisor: int = 1
    gate: int = 0


Put = Callable[[Row], asyncio.Future[int]]
Lane = Lanes[Row, int]


async def _call(connection: asyncpg.Connection, rows: list[Row]) -> list[int]:
    return await connection.fetchval(
        "select apply($1, $2, $3)",
        [row.key for row in rows],
        [row.divisor for row in rows],
        [row.gate for row in rows],
    )


@asynccontextmanager
async def opened(
    url: str, *, queue_max: int = 100, attempts_max: int = 20, count: int = 1, batch_max: int = 256
) -> AsyncIterator[Lane]:
    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(url, server_settings=_SETTINGS, timeout=5)

    lanes: Lane = Lanes(
        connect,
        _call,
        committed=lambda rows, answers: None,
        lanes=count,
        batch_max=batch_max,
        queue_max=queue_max,
        attempts_max=attempts_max,
    )
    lanes.start()
    try:
        yield lanes
    finally:
        await lanes.stop(drain_seconds=0.2)


@pytest.fixture
async def url(database, superuser) -> str:
    await superuser.execute(_EFFECT)
    return database.api_url


@asynccontextmanager
async def held(url: str, gate: int) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A gate that somebody else has locked; what is given lets it go."""
    holder = await asyncpg.connect(url)
    lock = holder.transaction()
    await lock.start()
    await holder.execute("select from gate where id = $1 for update", gate)
    try:
        yield lock.rollback
    finally:
        await holder.close()


async def effects(superuser: asyncpg.Connection) -> list[str]:
    return [row["key"] for row in await superuser.fetch("select key from effect order by key")]


async def test_past_its_bound_the_queue_refuses_at_once_and_loses_nothing(url, superuser) -> None:
    async with opened(url, queue_max=5) as lanes, held(url, 0) as let_go:
        accepted = [lanes.put(Row("a0"), weight=1)]
        await until(superuser, _WAITING)
        accepted += [lanes.put(Row(f"a{n}"), weight=1) for n in range(1, 6)]
        refused = 0
        for n in range(10):
            with pytest.raises(LaneFull):
                lanes.put(Row(f"refused{n}"), weight=1)
            refused += 1
        assert lanes.waiting == 5
        await let_go()
        assert await asyncio.gather(*accepted) == [10] * 6
    print(f"refused at a full queue: {refused}")
    assert await effects(superuser) == [f"a{n}" for n in range(6)]


async def test_a_poisoned_row_fails_alone_and_its_neighbours_are_answered(url, superuser) -> None:
    async with opened(url) as lanes, held(url, 0) as let_go:
        first = lanes.put(Row("first"), weight=1)
        await until(superuser, _WAITING)  # so that all others make one batch
        rows = [Row(f"r{n:02}", divisor=0 if n == 11 else 1) for n in range(32)]
        answers = [lanes.put(row, weight=1) for row in rows]
        await let_go()
        got = await asyncio.gather(first, *answers, return_exceptions=True)
        halvings = lanes.resends
    poisoned = got.pop(12)
    print(f"batches refused whole: {halvings}")
    assert isinstance(poisoned, asyncpg.DivisionByZeroError)
    assert got == [10] * 32
    assert halvings >= 6  # 32 → 16 → 8 → 4 → 2 → 1
    assert "r11" not in await effects(superuser)
    assert len(await effects(superuser)) == 32


async def test_the_batch_of_a_locked_row_is_halved_and_its_neighbours_are_answered(
    url, superuser
) -> None:
    async with opened(url) as lanes, held(url, 0) as let_go_0, held(url, 7) as let_go_7:
        first = lanes.put(Row("first"), weight=1)
        await until(superuser, _WAITING)
        others = [lanes.put(Row(f"o{n}", gate=1), weight=1) for n in range(7)]
        waits = lanes.put(Row("waits", gate=7), weight=1)
        await let_go_0()
        assert await asyncio.gather(first, *others) == [10] * 8
        assert not waits.done()
        timeouts = lanes.resends
        await let_go_7()
        assert await waits == 10
    print(f"batches halved for a lock: {timeouts}")
    assert timeouts >= 3  # 8 → 4 → 2 → 1
    assert len(await effects(superuser)) == 9


async def test_what_shares_an_affinity_shares_a_lane_and_stops_no_other(url, superuser) -> None:
    async with opened(url, count=2) as lanes, held(url, 0) as let_go:
        stuck = lanes.put(Row("stuck"), weight=1, affinity=2)
        await until(superuser, _WAITING)
        behind = [lanes.put(Row(f"b{n}", gate=1), weight=1, affinity=2) for n in range(4)]
        beside = [lanes.put(Row(f"n{n}", gate=1), weight=1, affinity=7) for n in range(4)]
        assert await asyncio.gather(*beside) == [10] * 4
        assert not any(answer.done() for answer in (stuck, *behind))
        await let_go()
        assert await asyncio.gather(stuck, *behind) == [10] * 5
        assert lanes.rows == 9


async def test_an_idle_lane_helps_a_crowd(url, superuser) -> None:
    async with opened(url, count=2, batch_max=8) as lanes, held(url, 0) as let_go:
        stuck = lanes.put(Row("stuck"), weight=1, affinity=2)
        await until(superuser, _WAITING)
        crowd = [lanes.put(Row(f"c{n}", gate=1), weight=1, affinity=2) for n in range(8)]
        done, waiting = await asyncio.wait(crowd, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert done
        assert not stuck.done()
        await let_go()
        assert await asyncio.gather(stuck, *crowd) == [10] * 9
        assert lanes.rows == 9
    print(f"helped with {len(done)}, left {len(waiting)}")


async def test_a_row_whose_caller_left_in_time_is_not_sent_and_a_sent_one_stands(
    url, superuser
) -> None:
    async with opened(url) as lanes, held(url, 0) as let_go:
        sent = lanes.put(Row("sent"), weight=1)
        await until(superuser, _WAITING)
        left = [lanes.put(Row(f"left{n}"), weight=1) for n in range(3)]
        stays = lanes.put(Row("stays"), weight=1)
        for answer in (sent, *left):
            answer.cancel()
        await let_go()
        assert await stays == 10
    assert await effects(superuser) == ["sent", "stays"]


async def test_stopping_answers_what_was_accepted_and_takes_nothing_new(url, superuser) -> None:
    async with opened(url) as lanes, held(url, 0) as let_go:
        answers = [lanes.put(Row("a0"), weight=1)]
        await until(superuser, _WAITING)
        answers += [lanes.put(Row(f"a{n}"), weight=1) for n in range(1, 9)]
        stopping = asyncio.create_task(lanes.stop())
        await asyncio.sleep(0)
        with pytest.raises(LaneFull):
            lanes.put(Row("late"), weight=1)
        await let_go()
        await stopping
        drained = [answer.result() for answer in answers]
    print(f"answered while stopping: {len(drained)}")
    assert drained == [10] * 9
    assert len(await effects(superuser)) == 9


async def test_what_can_not_be_drained_in_time_is_told_that_its_fate_is_unknown(
    url, superuser
) -> None:
    async with opened(url) as lanes, held(url, 0):
        answers = [lanes.put(Row("sent"), weight=1)]
        await until(superuser, _WAITING)
        answers.append(lanes.put(Row("waiting"), weight=1))
        await lanes.stop(drain_seconds=0.01)
        got = await asyncio.wait_for(asyncio.gather(*answers, return_exceptions=True), 5)
    assert [type(error) for error in got] == [OutcomeUnknown, OutcomeUnknown]


async def test_a_lost_link_is_opened_anew_and_the_batch_sent_again(url, superuser) -> None:
    hits = 0
    async with opened(url) as lanes:
        for n in range(5):
            async with held(url, 0) as let_go:
                answers = [lanes.put(Row(f"a{n}{i}"), weight=1) for i in range(4)]
                await until(superuser, _WAITING)
                hits += await kill(superuser, await lane_pids(superuser))
                await let_go()
                assert await asyncio.gather(*answers) == [10] * 4
        resends = lanes.resends
    print(f"links lost: {hits}, batches sent again: {resends}")
    assert hits == 5
    assert resends >= 5
    assert len(await effects(superuser)) == 20


async def test_without_a_database_callers_learn_that_the_outcome_is_unknown(url, superuser) -> None:
    nowhere = url.replace("/t_", "/gone_")
    async with opened(nowhere, attempts_max=3) as lanes:
        answers = [lanes.put(Row(f"a{n}"), weight=1) for n in range(3)]
        got = await asyncio.gather(*answers, return_exceptions=True)
    assert [type(error) for error in got] == [OutcomeUnknown] * 3


async def test_a_full_desk_says_overloaded_which_a_client_may_try_again(
    database, superuser, worker
) -> None:
    account = await make.open_account(worker, 71)
    desk = Desk(database.worker_url, lanes=1, queue_max=2, relay=lambda: None)
    desk.start()
    holder = await asyncpg.connect(database.superuser_url)
    lock = holder.transaction()
    await lock.start()
    await holder.execute("select from ledger.account where id = $1 for update", account)
    wanted = [make.top_up(account, 1) for _ in range(4)]
    posts = [asyncio.create_task(desk.post(wanted[0]))]
    await until(superuser, _WAITING)
    posts += [asyncio.create_task(desk.post(one)) for one in wanted[1:3]]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await desk.post(wanted[3])
    assert refused.value.retryable
    await lock.rollback()
    await holder.close()
    await asyncio.gather(*posts)
    await desk.post(wanted[3])
    await desk.stop()
    assert await worker.fetchval("select posted from ledger.account where id = $1", account) == 4
