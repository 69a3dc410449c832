"""Group commit by natural batching, without a timer: a lane takes whatever waits for it.

Rows of one ``affinity`` share a lane: two lanes that credit one merchant would only wait for each
other's commit. A crowd is helped by an idle lane all the same: its batch is then ready to go.
The rows are opaque here. A lane resends a batch whose fate it does not know, which is safe only
because every row carries a key that the function behind ``call`` honours.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import chain
from typing import Generic, TypeVar

import asyncpg
import structlog

from infra import metrics

Row = TypeVar("Row")
Answer = TypeVar("Answer")
log = structlog.get_logger()

_LINK_LOST = {"08", "57"}  # SQLSTATE classes: connection, operator intervention
_AGAIN = {"40001", "40P01", "55P03", "57014", "23505"}


class LaneFull(Exception):
    """More waits than may wait: say no at once, the caller may try again."""


class OutcomeUnknown(Exception):
    """The database could not be asked. The same row with the same key may be sent again."""


@dataclass(slots=True)
class _Waiting(Generic[Row, Answer]):
    row: Row
    weight: int
    answer: asyncio.Future[Answer]


class Lanes(Generic[Row, Answer]):
    """``lanes`` connections of their own, each sending batches of ≤ ``batch_max`` rows.

    ``queue_max`` bounds what waits for all of them.
    ``call`` sends one batch and returns an answer per row, after its commit; ``committed`` is told
    of every batch. ``attempts_max`` bounds how often a batch is resent before ``OutcomeUnknown``.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        call: Callable[[asyncpg.Connection, list[Row]], Awaitable[list[Answer]]],
        *,
        committed: Callable[[list[Row], list[Answer]], None],
        lanes: int = 1,
        batch_max: int = 256,
        weight_max: int = 2048,
        queue_max: int = 4096,
        attempts_max: int = 8,
    ) -> None:
        self._connect = connect
        self._call = call
        self._committed = committed
        self._batch_max = batch_max
        self._crowd = max(1, batch_max // 2)
        self._weight_max = weight_max
        self._queue_max = queue_max
        self._attempts_max = attempts_max
        self._queues: list[deque[_Waiting[Row, Answer]]] = [deque() for _ in range(lanes)]
        self._wakes = [asyncio.Event() for _ in range(lanes)]
        self._idle = 0
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []
        self.batches = 0
        self.rows = 0
        self.resends = 0

    @property
    def waiting(self) -> int:
        """How many rows wait for a lane."""
        return sum(map(len, self._queues))

    def start(self) -> None:
        metrics.LANE_QUEUE.set_function(lambda: self.waiting)
        self._tasks = [asyncio.create_task(self._run(lane)) for lane in range(len(self._queues))]

    async def stop(self, *, drain_seconds: float = 10) -> None:
        """Take nothing new, answer what was accepted, then end."""
        self._closing = True
        try:
            async with asyncio.timeout(drain_seconds):
                # Polled at shutdown only, so that the lanes need no second signal.
                while self.waiting or self._idle < len(self._queues):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
        except TimeoutError:
            log.warning("lanes_not_drained", waiting=self.waiting)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for waiting in chain.from_iterable(self._queues):
            _fail(waiting, OutcomeUnknown())

    def put(self, row: Row, *, weight: int, affinity: int = 0) -> asyncio.Future[Answer]:
        """The future answer. Cancelling it does not undo a row that was sent already."""
        if self._closing or self.waiting >= self._queue_max:
            raise LaneFull
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        lane = affinity % len(self._queues)
        self._queues[lane].append(_Waiting(row, weight, answer))
        self._wakes[lane].set()
        if len(self._queues[lane]) == self._crowd:
            for wake in self._wakes:
                wake.set()
        return answer

    async def _run(self, lane: int) -> None:
        connection: asyncpg.Connection | None = None
        try:
            while True:
                while not (queue := self._next(lane)):
                    self._wakes[lane].clear()
                    self._idle += 1
                    try:
                        await self._wakes[lane].wait()
                    finally:
                        self._idle -= 1
                if batch := self._take(queue):
                    connection = await self._attend(connection, batch)
        finally:
            if connection is not None:
                connection.terminate()

    def _next(self, lane: int) -> deque[_Waiting[Row, Answer]] | None:
        """The lane's own queue, or a crowded one to help with."""
        if self._queues[lane]:
            return self._queues[lane]
        longest = max(self._queues, key=len)
        return longest if len(longest) >= self._crowd else None

    async def _attend(
        self, connection: asyncpg.Connection | None, batch: list[_Waiting[Row, Answer]]
    ) -> asyncpg.Connection | None:
        """Send a batch. Whatever happens, nobody in it waits for ever and the lane lives on."""
        try:
            return await self._send(connection, batch)
        except Exception:
            log.exception("lane_failed")
            _terminate(connection)
            return None
        finally:
            for waiting in batch:
                _fail(waiting, OutcomeUnknown())

    def _take(self, queue: deque[_Waiting[Row, Answer]]) -> list[_Waiting[Row, Answer]]:
        batch: list[_Waiting[Row, Answer]] = []
        weight = 0
        limit = self._crowd if self._idle and len(queue) >= self._crowd else self._batch_max
        while queue and len(batch) < limit:
            weight += queue[0].weight
            if weight > self._weight_max and batch:
                break
            waiting = queue.popleft()
            if not waiting.answer.cancelled():
                batch.append(waiting)
        return batch

    async def _send(
        self, connection: asyncpg.Connection | None, batch: list[_Waiting[Row, Answer]]
    ) -> asyncpg.Connection | None:
        """Send until answered; a batch refused whole is halved until the culprit is alone."""
        rows = [waiting.row for waiting in batch]
        for attempt in range(self._attempts_max):
            try:
                if connection is None or connection.is_closed():
                    connection = None  # a refused connection says nothing about the batch
                    connection = await self._connect()
                answers = await self._call(connection, rows)
            except Exception as error:  # asyncpg raises almost anything after a killed backend
                self.resends += 1
                state = getattr(error, "sqlstate", None)
                lost = state is None or (state[:2] in _LINK_LOST and state not in _AGAIN)
                if lost or connection is None:
                    log.warning("lane_link_lost", error=type(error).__name__, attempt=attempt)
                    _terminate(connection)
                    connection = None
                    await asyncio.sleep(min(0.02 * 2**attempt, 1.0) * random.uniform(0.5, 1))
                elif len(batch) > 1:
                    half = len(batch) // 2
                    connection = await self._send(connection, batch[:half])
                    return await self._send(connection, batch[half:])
                elif state in _AGAIN:
                    await asyncio.sleep(min(0.01 * 2**attempt, 0.2) * random.uniform(0.5, 1))
                else:
                    _fail(batch[0], error)
                    return connection
            else:
                self._answer(batch, rows, answers)
                return connection
        for waiting in batch:
            _fail(waiting, OutcomeUnknown())
        return connection

    def _answer(
        self, batch: list[_Waiting[Row, Answer]], rows: list[Row], answers: list[Answer]
    ) -> None:
        self.batches += 1
        self.rows += len(rows)
        metrics.LANE_BATCH.observe(len(rows))
        for waiting, answer in zip(batch, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)
        self._committed(rows, answers)


def _fail(waiting: _Waiting[Row, Answer], error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)


def _terminate(connection: asyncpg.Connection | None) -> None:
    if connection is not None:
        connection.terminate()
