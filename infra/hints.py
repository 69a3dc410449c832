"""Hints through Valkey: "look at this topic". They may be lost or late; the data is in PostgreSQL.

One stream for the whole installation, read by every API process and routed in memory: cheaper
than a subscription per socket, and a slow process loses nothing but old hints.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

STREAM = "wallet:hints"
_LENGTH_MAX = 10_000
log = structlog.get_logger()


class Hints:
    """Publishes topics and wakes this process's watchers. ``errors`` counts lost round trips."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._watchers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._listeners: list[tuple[str, Callable[[str], None]]] = []
        self._waiting: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self.errors = 0

    def start(self, *, listen: bool) -> None:
        self._tasks = [asyncio.create_task(self._send())]
        if listen:
            self._tasks.append(asyncio.create_task(self._receive()))

    async def stop(self) -> None:
        # redis may swallow a cancellation while it connects: so the loops look at this too.
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def publish(self, topics: Iterable[str]) -> None:
        for topic in topics:
            self.wake(topic)  # this process need not wait for Valkey, which may hang
            self._waiting[topic] = None
        if self._waiting:
            self._wake.set()

    def watch(self, topic: str) -> asyncio.Event:
        event = asyncio.Event()
        self._watchers[topic].add(event)
        return event

    def unwatch(self, topic: str, event: asyncio.Event) -> None:
        self._watchers[topic].discard(event)
        if not self._watchers[topic]:
            del self._watchers[topic]

    def on(self, prefix: str, call: Callable[[str], None]) -> None:
        """Have ``call`` told every topic that begins with ``prefix``."""
        self._listeners.append((prefix, call))

    def watched(self) -> list[str]:
        return list(self._watchers)

    def wake(self, topic: str) -> None:
        for event in self._watchers.get(topic, ()):
            event.set()
        for prefix, call in self._listeners:
            if topic.startswith(prefix):
                call(topic)

    async def _send(self) -> None:
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            topics, self._waiting = list(self._waiting), {}
            try:
                await self._redis.xadd(
                    STREAM, {"t": "\n".join(topics)}, maxlen=_LENGTH_MAX, approximate=True
                )
            except (RedisError, OSError):
                self.errors += 1

    async def _receive(self) -> None:
        last = "$"
        while not self._stopping:
            try:
                answer = await self._redis.xread({STREAM: last}, count=500, block=5000)
                for _, entries in answer or ():
                    for entry, fields in entries:
                        last = entry
                        for topic in fields[b"t"].decode().split("\n"):
                            self.wake(topic)
            except (RedisError, OSError):
                self.errors += 1
                await asyncio.sleep(0.2)  # the sweep of the subscriptions covers this


_current: Hints | None = None


def use(hints: Hints | None) -> None:
    """Let ``publish`` of this process go through these hints."""
    global _current
    _current = hints


def current() -> Hints:
    assert _current is not None, "hints are not started"
    return _current


def publish(topics: Iterable[str]) -> None:
    """Publish if this process has hints; a command-line tool has none: watchers sweep anyway."""
    if _current is not None:
        _current.publish(topics)
