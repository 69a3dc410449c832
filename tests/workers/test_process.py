"""What a process holds: it hands its commits over, finds what hints did not tell, ends cleanly."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from domain.refusals import Overloaded
from infra import hints, queue, settings
from services.ledger import desk
from services.unit_of_work import Snapshot, snapshot, unit_of_work
from tests import factories as make
from tests.money.desks import until
from workers.process import Process, open_process

_HANDED_OVER = (
    "select exists (select from ledger.outbox where attempts > 0)"
    " and not exists (select from ledger.outbox where attempts = 0)"
)


@pytest.fixture
async def configured(servers, database) -> AsyncIterator[settings.Settings]:
    """Settings with gateways that nobody calls here."""
    yield settings.get_settings().model_copy(
        update={
            "redis_url": type(settings.get_settings().redis_url)(servers.redis_url),
            "sms_url": "http://127.0.0.1:9",
            "bank_url": "http://127.0.0.1:9",
        }
    )
    hints.use(None)
    desk.use(None)


@asynccontextmanager
async def opened(configured: settings.Settings, url: str) -> AsyncIterator[Process]:
    async with asyncio.timeout(60), open_process(configured, url, listen=True) as process:
        yield process


async def test_what_commits_here_is_handed_to_arq_and_told_to_who_watches(
    configured, database, superuser, worker
) -> None:
    account = await make.open_account(worker, 71)
    async with opened(configured, database.worker_url) as process:
        await process.redis.flushall()
        watcher = hints.current().watch(f"account:{account}")
        await desk.post(make.top_up(account, 5))
        async with asyncio.timeout(10):
            await watcher.wait()
        await until(superuser, _HANDED_OVER)
        async with asyncio.timeout(10):
            while not await process.redis.zcard(queue.QUEUE):  # noqa: ASYNC110 - in Valkey
                await asyncio.sleep(0.01)
        hints.current().unwatch(f"account:{account}", watcher)


async def test_its_sweep_finds_what_another_process_never_hinted(
    configured, database, worker
) -> None:
    account = await make.open_account(worker, 71)
    async with opened(configured, database.api_url):
        watcher = hints.current().watch(f"account:{account}")
        async with asyncio.timeout(10):
            await watcher.wait()  # the first sweep: it can't know what the watcher has read
        watcher.clear()
        await make.send(worker, make.top_up(account, 5))
        async with asyncio.timeout(10):
            await watcher.wait()
        hints.current().unwatch(f"account:{account}", watcher)


async def test_a_valkey_that_hangs_delays_no_payment_no_watcher_and_not_the_end(
    configured, database, servers, superuser, worker
) -> None:
    account = await make.open_account(worker, 71)
    async with opened(configured, database.worker_url):
        watcher = hints.current().watch(f"account:{account}")
        os.kill(servers.valkey_pid, signal.SIGSTOP)
        try:
            for number in range(3):
                await desk.post(make.top_up(account, 5))
                async with asyncio.timeout(10):
                    await watcher.wait()
                watcher.clear()
                await until(
                    superuser, "select posted = $2 from ledger.account where id = $1",
                    account, 5 * (number + 1),
                )  # fmt: skip
        finally:
            hints.current().unwatch(f"account:{account}", watcher)
            os.kill(servers.valkey_pid, signal.SIGCONT)
    waits = await superuser.fetchval("select count(*) from ledger.outbox where not dead")
    assert waits == 3


async def test_it_ends_while_valkey_is_away_and_its_outbox_keeps_the_rest(
    configured, database, superuser, worker
) -> None:
    nowhere = type(configured.redis_url)("unix:///nowhere/valkey.sock")
    account = await make.open_account(worker, 71)
    for _ in range(5):
        away = configured.model_copy(update={"redis_url": nowhere})
        async with opened(away, database.worker_url):
            await desk.post(make.top_up(account, 5))
    assert await superuser.fetchval("select count(*) from ledger.outbox where not dead") == 5


async def test_what_was_accepted_is_posted_before_it_ends(
    configured, database, superuser, worker
) -> None:
    account = await make.open_account(worker, 71)
    async with opened(configured, database.worker_url):
        posts = [asyncio.create_task(desk.post(make.top_up(account, 1))) for _ in range(50)]
        await asyncio.sleep(0)
    await asyncio.gather(*posts)
    print(f"accepted before the end: {len(posts)}")
    posted = await superuser.fetchval("select posted from ledger.account where id = $1", account)
    assert posted == 50


async def test_a_link_lost_within_a_session_is_overloaded_and_not_a_bug(
    configured, database, superuser
) -> None:
    hits = 0

    async def lose(begin: Callable[[], AbstractAsyncContextManager[Snapshot]]) -> None:
        nonlocal hits
        async with begin() as read:
            pid = await read.fetchval("select pg_backend_pid()")
            hits += await superuser.fetchval("select pg_terminate_backend($1, 5000)", pid)
            await read.fetchval("select 1")

    async with opened(configured, database.api_url):
        for begin in (snapshot, unit_of_work):
            with pytest.raises(Overloaded):
                await lose(begin)
        async with snapshot() as read:  # the pool has recovered
            assert await read.fetchval("select 1") == 1
    print(f"links lost within a session: {hits}")
    assert hits == 2
