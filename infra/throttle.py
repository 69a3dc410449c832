"""Token buckets that all API processes share, in Valkey; stricter ones of our own without it.

What is asked while a round trip is under way goes with the next one, so a busy process makes few.
The clock is Valkey's. When it doesn't answer in time, this process counts for itself until a
probe gets through again: nobody waits longer than 50 ms, and nobody is let through unseen.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from contextlib import suppress
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from infra import metrics, valkey
from infra.buckets import ALLOWED, Buckets, Demand, Verdict

# One round trip may be under way when somebody asks, and the next is theirs: 50 ms at most. Not
# tighter, or a busy machine would look like an outage, and the limits shrink just then.
ROUND_TRIP_SECONDS = 0.025
PROBE_SECONDS = 0.25
PROBE_TIMEOUT_SECONDS = 1.0  # a new connection, maybe with a TLS handshake, and nobody waits for it
LOCAL_SHARE = 4  # without Valkey each process allows a quarter: there may be several
BUCKETS_MAX = 20_000
BATCH_MAX = 64
PREFIX = "wallet:rate:"
_TURNS_TO_READ = 4  # of the event loop, from the bytes to the task that waits for them
log = structlog.get_logger()

# KEYS: the buckets of one request after those of another. ARGV: per request the number of its
# buckets, and for each of them the price and the capacity in microseconds. Gives per request how
# long it must wait (0: it was allowed and has taken its tokens) and for which of its buckets.
SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answers, key, arg = {}, 0, 1
while arg <= #ARGV do
  local count, wait, at, later = tonumber(ARGV[arg]), 0, 0, {}
  for i = 1, count do
    local price, capacity = tonumber(ARGV[arg + 2 * i - 1]), tonumber(ARGV[arg + 2 * i])
    local full_at = tonumber(redis.call('GET', KEYS[key + i]) or now)
    later[i] = math.max(full_at, now) + price
    if wait == 0 and later[i] - now > capacity then
      wait, at = later[i] - now - capacity, i
    end
  end
  if wait == 0 then
    for i = 1, count do
      local left = math.ceil((later[i] - now) / 1000)
      redis.call('SET', KEYS[key + i], string.format('%.0f', later[i]), 'PX', left)
    end
  end
  answers[#answers + 1] = wait
  answers[#answers + 1] = at
  key, arg = key + count, arg + 1 + 2 * count
end
return answers
"""

_Asked = tuple[tuple[Demand, ...], "asyncio.Future[Verdict]"]


class Throttle:
    """One per process. Until `open` has reached Valkey, it counts for itself."""

    def __init__(self, *, round_trip_seconds: float = ROUND_TRIP_SECONDS) -> None:
        self._round_trip_seconds = round_trip_seconds
        self._redis: Redis | None = None
        self._sha = ""
        self._waiting: list[_Asked] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._local = Buckets(size_max=BUCKETS_MAX)
        self._barred: OrderedDict[str, float] = OrderedDict()
        self._shared = False

    @property
    def shared(self) -> bool:
        """Whether Valkey counts just now."""
        return self._shared

    def open(self, url: str) -> None:
        """Start looking for the Valkey at ``url``."""
        self._redis = valkey.client(url, max_connections=2)
        self._task = asyncio.create_task(self._run(self._redis))
        metrics.RATE_LOCAL.set_function(lambda: not self._shared)

    async def close(self) -> None:
        """Stop; whoever waits is answered by this process alone."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._shared = False
        self._decide_alone(self._taken())
        if self._redis is not None:
            await self._redis.aclose()

    def ask(self, *demands: Demand) -> asyncio.Future[Verdict]:
        """The verdict, soon; there is nothing to clean up if nobody waits for it."""
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        if self._shared:
            self._waiting.append((demands, answer))
            self._wake.set()
        else:
            self._decide_alone([(demands, answer)])
        return answer

    def barred_seconds(self, key: str) -> float:
        """For how long a bucket is known to be empty, 0 if it isn't: tokens come back by time only.

        Costs nothing, so that a flood is turned away before anything is read for it.
        """
        until = self._barred.get(key)
        if until is None:
            return 0.0
        left_seconds = until - time.monotonic()
        if left_seconds <= 0:
            del self._barred[key]
            return 0.0
        return left_seconds

    async def _run(self, redis: Redis) -> None:
        while True:
            if not self._shared:
                await self._probe(redis)
                continue
            await self._wake.wait()
            self._wake.clear()
            while self._shared and (batch := self._taken(BATCH_MAX)):
                await self._decide(redis, batch)

    async def _probe(self, redis: Redis) -> None:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                self._sha = await redis.script_load(SCRIPT)
        except (RedisError, OSError, TimeoutError):
            await asyncio.sleep(PROBE_SECONDS)
        else:
            self._share()

    def _share(self) -> None:
        self._barred.clear()  # by stricter rules than those that hold again
        self._shared = True

    async def _decide(self, redis: Redis, batch: list[_Asked]) -> None:
        call = asyncio.ensure_future(self._call(redis, batch))
        try:
            if not await _done(call, seconds=self._round_trip_seconds):
                self._alone(batch)
                # Late is not gone: if the answer comes, so will the next one.
                async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                    await asyncio.wait({call})
            answers = call.result()
        except Exception as error:
            # Whatever it is: nobody may wait for ever.
            log.warning("rate_limits_alone", error=type(error).__name__)
            self._alone(batch)
        except asyncio.CancelledError:
            self._alone(batch)
            raise
        else:
            if not self._shared:
                self._share()
            self._hand_out(batch, answers)
        finally:
            call.cancel()

    def _alone(self, batch: list[_Asked]) -> None:
        self._shared = False
        self._decide_alone(batch + self._taken())

    def _hand_out(self, batch: list[_Asked], answers: list[int]) -> None:
        for (demands, answer), wait_us, at in zip(batch, answers[::2], answers[1::2], strict=True):
            self._tell(answer, Verdict(wait_us, demands[at - 1]) if wait_us else ALLOWED)

    async def _call(self, redis: Redis, batch: list[_Asked]) -> Any:
        keys: list[str] = []
        arguments: list[int] = []
        for demands, _ in batch:
            arguments.append(len(demands))
            for one in demands:
                keys.append(PREFIX + one.key)
                arguments += (one.price_us, one.capacity_us)
        asked: list[Any] = [len(keys), *keys, *arguments]
        try:
            return await redis.execute_command("EVALSHA", self._sha, *asked)
        except NoScriptError:
            # Valkey was emptied or started again, unnoticed.
            return await redis.execute_command("EVAL", SCRIPT, *asked)

    def _taken(self, most: int | None = None) -> list[_Asked]:
        taken = self._waiting[:most]
        del self._waiting[:most]
        return taken

    def _decide_alone(self, batch: list[_Asked]) -> None:
        now_us = time.monotonic_ns() // 1000
        for demands, answer in batch:
            strict = [Demand(one.key, one.rate.stricter(LOCAL_SHARE), one.cost) for one in demands]
            self._tell(answer, self._local.take(strict, now_us=now_us))

    def _tell(self, answer: asyncio.Future[Verdict], verdict: Verdict) -> None:
        if verdict.demand is not None:
            self._bar(verdict.demand, verdict.wait_us)
        if not answer.done():
            answer.set_result(verdict)

    def _bar(self, demand: Demand, wait_us: int) -> None:
        # Whoever asks for one token less waits less: bar until a single one is there.
        wait_us -= demand.price_us - demand.rate.interval_us
        if wait_us > 0:
            self._barred[demand.key] = time.monotonic() + wait_us / 1e6
            self._barred.move_to_end(demand.key)
        while len(self._barred) > BUCKETS_MAX:
            self._barred.popitem(last=False)


async def _done(call: asyncio.Future[Any], *, seconds: float) -> bool:
    """Whether a call ends in time.

    After a pause of the whole process its answer may be there, unread: it is looked for before the
    clock is believed, or every pause would look like an outage.
    """
    await asyncio.wait({call}, timeout=seconds)
    for _ in range(_TURNS_TO_READ):
        if call.done():
            return True
        await asyncio.sleep(0)
    return False
