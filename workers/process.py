"""What a process of ours holds while it lives: pool, hints, lanes, relay. API and worker alike."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis

from domain.refusals import Overloaded
from infra import bank, database, hints, kms, mail, metrics, push, sms, valkey
from infra.queue import open_pool
from infra.settings import Settings
from services import live, outbox
from services.ledger import desk
from services.unit_of_work import call_after_commit, snapshot
from workers.relay import Relay

log = structlog.get_logger()
_SWEEP_SECONDS = 1.0
_VALKEY_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Process:
    """The parts others look at: readiness, metrics, the relay for the cron."""

    redis: Redis
    desk: desk.Desk
    relay: Relay


@asynccontextmanager
async def open_process(settings: Settings, url: str, *, listen: bool) -> AsyncIterator[Process]:
    """Open all, in order; close in reverse, the lanes drained before their relay goes.

    ``listen``: whether this process has watchers (the API) or only publishes (the worker).
    """
    async with AsyncExitStack() as stack:
        await kms.open_keys()
        await database.open_database(url, pool_size=settings.database_pool_size)
        stack.push_async_callback(database.close_database)
        redis_url = settings.redis_url.get_secret_value()
        # Longer than the longest blocking read; a Valkey that hangs must not hang us.
        redis = valkey.client(redis_url, socket_timeout=_VALKEY_TIMEOUT_SECONDS)
        stack.push_async_callback(redis.aclose)
        pool = await open_pool(redis_url)
        stack.push_async_callback(pool.aclose)
        channel = hints.Hints(redis)
        channel.start(listen=listen)
        hints.use(channel)
        stack.push_async_callback(channel.stop)
        relay = Relay(pool)
        relay.start()
        stack.push_async_callback(relay.stop)
        stack.callback(call_after_commit(relay.wake))
        counter = desk.Desk(
            url, lanes=settings.lanes, queue_max=settings.lane_queue_max, relay=relay.wake
        )
        counter.start()
        desk.use(counter)
        stack.push_async_callback(counter.stop)
        bank.use(await stack.enter_async_context(bank.from_settings(settings)))
        sms.use(await stack.enter_async_context(sms.from_settings(settings)))
        push.use(await stack.enter_async_context(push.from_settings(settings)))
        mail.use(await stack.enter_async_context(mail.from_settings(settings)))
        if listen:
            sweeper = asyncio.create_task(_sweep())
            stack.push_async_callback(_end, sweeper)
        _spare_collector()
        yield Process(redis, counter, relay)


async def _sweep() -> None:
    """Hints may be lost: once a second, wake whoever's stream grew unheard. One query a kind."""
    known: dict[str, int] = {}
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        try:
            async with snapshot() as read:
                metrics.OUTBOX_LAG_SECONDS.set(await outbox.lag_seconds(read))
                if hints.current().watched():
                    await live.sweep(read, known)
        except Overloaded as error:
            log.warning("sweep_delayed", error=type(error).__name__)
        except Exception:
            log.exception("sweep_failed")


def _spare_collector() -> None:
    """What is loaded stays: walking it would stop everybody for a tenth of a second, often."""
    gc.collect()
    gc.freeze()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
