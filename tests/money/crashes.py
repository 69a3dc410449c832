"""Kill the backend at the k-th point of a call, for every k that there is.

``crash_points`` is for any verb: it runs a fresh case once for each point, kills PostgreSQL's
backend there, repeats the same call undisturbed, and compares what is in the database with what one
clean run leaves. The points are around each COMMIT: before it the driver finds the link dead, after
it, as after any statement outside of a transaction, the whole call dies as with its process. With
``CRASH_POINTS=every`` in the environment (`make prove`) there is one after every statement. The
money lanes have two points for each instruction: the answer is lost and the lane asks again, and
the process dies with the answer in its hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import asyncpg
import structlog

from domain.refusals import Overloaded
from infra.database import PlainConnection
from services.ledger import desk, posting
from tests.money import checking

ROOT = Path(__file__).resolve().parents[2]
POINTS_MAX = 100
EVERY = os.environ.get("CRASH_POINTS") == "every"
_CALLS = ("execute", "executemany", "fetch", "fetchrow", "fetchval")
_REPEATS_MAX = 5
_LIVES = "select exists (select from pg_stat_activity where pid = $1)"
_PATIENCE_SECONDS = 20


class ProcessDied(BaseException):
    """What no handler of the product may catch: nothing of the call goes on."""


@dataclass
class Case:
    """One subject of its own: ``run`` may be called again; ``effect`` reads what it left."""

    run: Callable[[], Awaitable[object]]
    effect: Callable[[], Awaitable[object]]


MakeCase = Callable[[asyncpg.Connection], Awaitable[Case]]
"""Makes a case; the connection is a superuser's."""


@dataclass
class Points:
    """How often a backend was killed, and at which statements; functions a clean run entered."""

    killed: int
    statements: list[str]
    entered: set[str]


@dataclass
class Verbs:
    """The cases of a noun, with the functions whose transactions each of them goes through."""

    cases: list[tuple[MakeCase, frozenset[str]]] = field(default_factory=list)

    def covering(self, *functions: str) -> Callable[[MakeCase], MakeCase]:
        """Take the decorated case in; ``functions`` as in ``resolvers.payments.create_payment``."""

        def take(make_case: MakeCase) -> MakeCase:
            self.cases.append((make_case, frozenset(functions)))
            return make_case

        return take

    async def survive(self, superuser: asyncpg.Connection) -> None:
        """Every point of every case; then the ledger finds nothing wrong with itself."""
        for make_case, covered in self.cases:
            points = await crash_points(make_case, superuser)
            name = getattr(make_case, "__name__", "?")
            print(f"{name}: killed at {points.killed} points: {points.statements}")
            assert points.killed >= (3 if EVERY else 2), name
            ended = ("COMMIT", POSTED)
            assert any(one.startswith(ended) for one in points.statements), name
            assert covered <= points.entered, (name, covered - points.entered)
        faults = (await checking.verified(superuser)).faults
        assert faults == [], faults


_COMMIT = "COMMIT;"
POSTED = "posted, and nobody left to tell"
LOST = "posted, answer lost"


class _Countdown:
    """Sits in the pool's connection class; BEGIN and COMMIT are statements like the others."""

    def __init__(self, superuser: asyncpg.Connection, at: int) -> None:
        self._superuser = superuser
        self._left = at
        self.killed_at: str | None = None

    def is_now(self, statement: str) -> bool:
        self._left -= 1
        if self._left == 0:
            self.killed_at = " ".join(statement.split())[:60]
        return self._left == 0

    async def kill(self, connection: asyncpg.Connection) -> None:
        pid = connection.get_server_pid()
        await self._superuser.fetchval("select pg_terminate_backend($1)", pid)
        # Asked here because PostgreSQL's own wait looks every 100 ms only.
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while await self._superuser.fetchval(_LIVES, pid):  # noqa: ASYNC110
                await asyncio.sleep(0.001)


@contextlib.contextmanager
def _counted(countdown: _Countdown) -> Iterator[None]:
    pooled = {name: _pooled(name, countdown) for name in _CALLS}
    lane, post = _lane(countdown), _posted(countdown)
    with contextlib.ExitStack() as stack:
        for name in _CALLS:
            stack.enter_context(_replaced(PlainConnection, name, pooled[name]))
        stack.enter_context(_replaced(asyncpg.Connection, "fetchrow", lane))
        stack.enter_context(_replaced(desk, "post", post))
        yield


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    before = vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        delattr(owner, name) if before is None else setattr(owner, name, before)


def _pooled(name: str, countdown: _Countdown) -> Callable[..., Awaitable[object]]:
    plain = getattr(asyncpg.Connection, name)

    async def call(self: asyncpg.Connection, query: str, *values: Any, **options: Any) -> object:
        if not EVERY and query == _COMMIT and countdown.is_now("before COMMIT"):
            await countdown.kill(self)
        answer = await plain(self, query, *values, **options)
        open_still = self.is_in_transaction()
        if (EVERY or not open_still) and countdown.is_now(query):
            await countdown.kill(self)
            if not open_still:
                raise ProcessDied
        return answer

    return call


def _lane(countdown: _Countdown) -> Callable[..., Awaitable[object]]:
    plain = asyncpg.Connection.fetchrow

    async def call(self: asyncpg.Connection, query: str, *values: Any, **options: Any) -> object:
        answer = await plain(self, query, *values, **options)
        if query == posting.CALL and countdown.is_now(LOST):
            await countdown.kill(self)
            raise asyncpg.ConnectionDoesNotExistError
        return answer

    return call


def _posted(countdown: _Countdown) -> Callable[..., Awaitable[object]]:
    plain = desk.post

    async def call(instruction: Any) -> object:
        answer = await plain(instruction)
        if countdown.is_now(POSTED):
            raise ProcessDied
        return answer

    return call


@contextlib.contextmanager
def _entered() -> Iterator[set[str]]:
    """The functions of resolvers and workers that run meanwhile."""
    rooms = {str(ROOT / room): room for room in ("resolvers", "workers")}
    found: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        room = rooms.get(str(path.parent))
        if event == "call" and room is not None:
            found.add(f"{room}.{path.stem}.{frame.f_code.co_qualname}")

    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)


async def _repeat(case: Case) -> None:
    """The same call, as its caller repeats it: also while the pool finds out what is dead."""
    for _ in range(_REPEATS_MAX):
        try:
            await case.run()
        except Overloaded:
            continue
        return
    await case.run()


async def crash_points(make_case: MakeCase, superuser: asyncpg.Connection) -> Points:
    """Every point of the verb. Raises AssertionError where a repeated call has another effect.

    The pool of ``infra.database`` must be open, and nobody else may use it meanwhile.
    """
    clean = await make_case(superuser)
    with _entered() as entered:
        await clean.run()
    wanted = await clean.effect()
    points = Points(0, [], entered)
    for at in itertools.count(1):
        assert at < POINTS_MAX, "the verb does not end"
        case = await make_case(superuser)
        countdown = _Countdown(superuser, at)
        # Drivers raise almost anything, and all of it is logged.
        with (
            structlog.testing.capture_logs(),
            _counted(countdown),
            contextlib.suppress(Exception, ProcessDied),
        ):
            await case.run()
        if countdown.killed_at is not None:
            points.killed += 1
            points.statements.append(countdown.killed_at)
            with structlog.testing.capture_logs():
                await _repeat(case)
        effect = await case.effect()
        assert effect == wanted, f"{countdown.killed_at!r}: {effect} instead of {wanted}"
        if countdown.killed_at is None:
            return points
    raise AssertionError


def leaves(
    superuser: asyncpg.Connection, question: str, *values: object
) -> Callable[[], Awaitable[object]]:
    """An effect: the rows that answer a question."""

    async def effect() -> object:
        return [tuple(row) for row in await superuser.fetch(question, *values)]

    return effect
