"""Kill the backend after the k-th statement of a unit of work, for every k that there is.

``crash_points`` is for any verb: it runs a fresh case once for each statement, kills PostgreSQL's
backend right after that statement, runs the same case again undisturbed, and compares what is in
the database with what one clean run leaves.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg

from infra.database import PlainConnection

_CALLS = ("execute", "executemany", "fetch", "fetchrow", "fetchval")
STATEMENTS_MAX = 100


@dataclass
class Case:
    """One subject of its own: ``run`` may be called again; ``effect`` reads what it left."""

    run: Callable[[], Awaitable[object]]
    effect: Callable[[], Awaitable[object]]


@dataclass
class Points:
    """How often a backend was killed, and after which statements."""

    killed: int
    statements: list[str]


class _Countdown:
    """Sits in the pool's connection class; BEGIN and COMMIT are statements like the others."""

    def __init__(self, superuser: asyncpg.Connection, after: int) -> None:
        self._superuser = superuser
        self._left = after
        self.killed_after: str | None = None

    async def said(self, connection: asyncpg.Connection, statement: str) -> None:
        self._left -= 1
        if self._left == 0:
            pid = connection.get_server_pid()
            self.killed_after = " ".join(statement.split())[:60]
            await self._superuser.fetchval("select pg_terminate_backend($1, 5000)", pid)


@contextlib.contextmanager
def _counted(countdown: _Countdown) -> Iterator[None]:
    before = {name: PlainConnection.__dict__.get(name) for name in _CALLS}
    for name in _CALLS:
        setattr(PlainConnection, name, _wrapped(name, countdown))
    try:
        yield
    finally:
        for name, method in before.items():
            delattr(PlainConnection, name) if method is None else setattr(
                PlainConnection, name, method
            )


def _wrapped(name: str, countdown: _Countdown) -> Callable[..., Awaitable[object]]:
    plain = getattr(asyncpg.Connection, name)

    async def call(self: asyncpg.Connection, query: str, *values: Any, **options: Any) -> object:
        answer = await plain(self, query, *values, **options)
        await countdown.said(self, query)
        return answer

    return call


async def crash_points(
    make_case: Callable[[], Awaitable[Case]], superuser: asyncpg.Connection
) -> Points:
    """Every point of the verb. Raises AssertionError where a retry has another effect.

    The pool of ``infra.database`` must be open, and nobody else may use it meanwhile.
    """
    clean = await make_case()
    await clean.run()
    wanted = await clean.effect()
    points = Points(0, [])
    for after in itertools.count(1):
        assert after < STATEMENTS_MAX, "the verb does not end"
        case = await make_case()
        countdown = _Countdown(superuser, after)
        with _counted(countdown), contextlib.suppress(Exception):  # drivers raise almost anything
            await case.run()
        if countdown.killed_after is None:
            return points
        points.killed += 1
        points.statements.append(countdown.killed_after)
        await case.run()
        effect = await case.effect()
        assert effect == wanted, f"after {countdown.killed_after!r}: {effect} instead of {wanted}"
    raise AssertionError
