"""Faults injected while clients work: killed backends, lost answers, a wiped Valkey."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
from redis.asyncio import Redis

from tests.money.checking import CLOCK
from tests.money.desks import kill, lane_pids
from tests.money.proxy import Proxy

LOCKED = (
    "select pid from pg_stat_activity where application_name = 'wallet lane'"
    " and datname = current_database() and wait_event_type = 'Lock'"
)
_SWALLOW_MAX_SECONDS = 1.0


@dataclass
class Surgeon:
    """One of each per round; ``go`` injures at chance moments until it is cancelled."""

    url: str
    proxy: Proxy
    redis: Redis
    chance: random.Random
    counts: Counter[str]
    accounts: list[int]

    async def go(self) -> None:
        superuser = await asyncpg.connect(self.url)
        injuries = [self._kill, self._kill_executing, self._swallow, self._flush, self._midnight]
        try:
            while True:
                await asyncio.sleep(self.chance.uniform(0.02, 0.12))
                await self.chance.choices(injuries, [4, 4, 4, 2, 1])[0](superuser)
        finally:
            superuser.terminate()

    async def _kill(self, superuser: asyncpg.Connection) -> None:
        """Whatever the lane is doing: idle, executing or committing."""
        pids = await lane_pids(superuser)
        if pids:
            self.counts["backends killed at any moment"] += await kill(
                superuser, [self.chance.choice(pids)]
            )

    async def _kill_executing(self, superuser: asyncpg.Connection) -> None:
        """Hold an account so that a batch has to wait inside the function, and kill it there."""
        holder = await asyncpg.connect(self.url)
        try:
            async with holder.transaction():
                await holder.execute(
                    "select from ledger.account where id = any($1::bigint[]) order by id for"
                    " update",
                    self.accounts,
                )
                for _ in range(100):
                    waiting = [row["pid"] for row in await superuser.fetch(LOCKED)]
                    if waiting:
                        hit = await kill(superuser, waiting[:1])
                        self.counts["backends killed while executing"] += hit
                        return
                    await asyncio.sleep(0.001)
        finally:
            holder.terminate()

    async def _swallow(self, superuser: asyncpg.Connection) -> None:
        """Let a commit happen and its answer get lost."""
        before = self.proxy.swallowed
        self.proxy.swallowing = True
        try:
            async with asyncio.timeout(_SWALLOW_MAX_SECONDS):
                while self.proxy.swallowed == before:  # noqa: ASYNC110 - bytes have no event
                    await asyncio.sleep(0.001)
            self.counts["answers lost after the server spoke"] += 1
        except TimeoutError:
            pass  # nobody was asking through the proxy just then
        self.proxy.cut()

    async def _flush(self, superuser: asyncpg.Connection) -> None:
        await self.redis.flushall()
        self.counts["Valkey wiped"] += 1

    async def _midnight(self, superuser: asyncpg.Connection) -> None:
        await superuser.execute(CLOCK, timedelta(minutes=self.chance.choice([1, 20, 300])))
        self.counts["clock moved on"] += 1
