"""Hints through a real Valkey: between processes, within one, and when Valkey is away."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from infra import embedded
from infra.hints import STREAM, Hints

NOWHERE = "unix:///nowhere/valkey.sock"


@asynccontextmanager
async def process(url: str, *, listen: bool = True) -> AsyncIterator[Hints]:
    """What one process has open."""
    redis = Redis.from_url(url, socket_timeout=10)
    hints = Hints(redis)
    hints.start(listen=listen)
    try:
        yield hints
    finally:
        await hints.stop()
        await redis.aclose()


async def told(event: asyncio.Event, publish: Callable[[], None] | None = None) -> None:
    """Wait for a wake-up; what ``publish`` says may be lost before the reader listens."""
    async with asyncio.timeout(15):
        while not event.is_set():
            if publish is not None:
                publish()
            await asyncio.sleep(0.01)
    event.clear()


@pytest.fixture
async def redis(servers: embedded.Servers) -> AsyncIterator[Redis]:
    client = Redis.from_url(servers.redis_url)
    yield client
    await client.aclose()


async def test_a_topic_wakes_its_watchers_in_every_process_and_nobody_else(servers) -> None:
    async with (
        process(servers.redis_url) as here,
        process(servers.redis_url) as there,
        process(servers.redis_url, listen=False) as worker,
    ):
        watchers = [each.watch("account:1") for each in (here, here, there)]
        other = there.watch("account:2")
        for watcher in watchers:
            await told(watcher, lambda: worker.publish(["account:1"]))
        assert not other.is_set()


async def test_a_watcher_that_left_is_told_nothing_and_its_topic_is_forgotten(servers) -> None:
    async with process(servers.redis_url) as hints:
        gone, stays = hints.watch("account:1"), hints.watch("account:1")
        hints.unwatch("account:1", gone)
        hints.publish(["account:1"])
        await told(stays)
        assert not gone.is_set()
        hints.unwatch("account:1", stays)
        assert hints.watched() == []


async def test_whoever_listens_to_a_prefix_is_told_every_topic_that_begins_with_it(servers) -> None:
    heard: list[str] = []
    async with process(servers.redis_url) as here, process(servers.redis_url) as there:
        there.on("session:", heard.append)
        ready = there.watch("ready")
        await told(ready, lambda: here.publish(["ready"]))
        here.publish(["session:7", "account:7"])
        await told(ready, lambda: here.publish(["ready"]))
    assert heard == ["session:7"]


async def test_watchers_of_the_same_process_do_not_need_valkey() -> None:
    async with process(NOWHERE) as hints:
        event = hints.watch("account:1")
        hints.publish(["account:1"])
        assert event.is_set()
        async with asyncio.timeout(5):
            while not hints.errors:  # noqa: ASYNC110 - counted by tasks that nobody awaits
                await asyncio.sleep(0.01)


async def test_a_valkey_that_hangs_holds_nobody_up_in_the_same_process(servers) -> None:
    async with process(servers.redis_url) as hints:
        event = hints.watch("account:1")
        os.kill(servers.valkey_pid, signal.SIGSTOP)
        try:
            for _ in range(3):
                hints.publish(["account:1"])
                assert event.is_set()
                event.clear()
                await asyncio.sleep(0)
        finally:
            os.kill(servers.valkey_pid, signal.SIGCONT)


async def test_after_a_flush_and_after_losing_its_links_a_process_hears_again(
    servers, redis
) -> None:
    hits = 0
    async with process(servers.redis_url) as here, process(servers.redis_url) as there:
        event = there.watch("account:1")
        await told(event, lambda: here.publish(["account:1"]))
        for _ in range(3):
            await redis.flushall()
            assert await redis.xlen(STREAM) == 0
            hits += await redis.client_kill_filter(_type="normal", skipme=True)
            await told(event, lambda: here.publish(["account:1"]))
    print(f"links lost: {hits}")
    assert hits >= 3
