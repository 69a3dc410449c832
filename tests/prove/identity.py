"""SUITE=identity: what is good once, used a thousand times at once; then every field by every role.

A round lets a thousand callers go together with one verification code, one login challenge, one
refresh token, one answer of a passkey (for a payment, under one key and under many, and for a
login), one PIN with its code, one step-up, and one code of an authenticator. Each is
used once, and the money and the sessions that it allowed are there once. After the rounds, the
walk of the test suite asks every root field, and every field behind it, as every kind of caller,
and each call about people is killed after every single statement and made again.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from redis.asyncio import Redis

from infra import database as pool
from infra import embedded, hashing, hints
from services.ledger import desk
from tests import present, proof_races, races
from tests.conftest import Database
from tests.prove import stage

AT_ONCE = 1_000
COUNTERS = (
    "codes used once", "login challenges answered once", "refresh tokens with one successor",
    "payments by a passkey, repeated", "payments by a passkey, under many keys",
    "payments by PIN and code, under many keys", "logins by a passkey", "step-ups used once",
    "codes of an authenticator used once",
    "callers in all",
)  # fmt: skip
WALKS = ("tests/schema/test_access.py", "tests/schema/test_access_walk.py")
_NOUNS = "identity", "notices", "privacy", "proofs", "recovery", "sessions", "staff", "vault"
CRASHES = tuple(f"tests/money/test_crash_points_{noun}.py" for noun in _NOUNS)


def prove(*, duration_seconds: float, seed: int) -> int:
    raced = stage.run(
        "identity", play, counters=COUNTERS, duration_seconds=duration_seconds, seed=seed
    )
    walked = stage.walk("identity: every field by every caller", WALKS)
    crashed = stage.walk("identity: a crash after every statement", CRASHES, CRASH_POINTS="every")
    return max(raced, walked, crashed)


async def play(servers: embedded.Servers, seed: int, counts: Counter[str]) -> None:
    """One round in a database of its own; the seed says in which order."""
    async with stage.fresh_database(servers) as database, _opened(servers, database) as superuser:
        rounds = [
            _code, _challenge, _token, _repeated, _many_keys, _pin, _passkey_login, _step_up, _totp,
        ]  # fmt: skip
        random.Random(seed).shuffle(rounds)
        for race in rounds:
            counts[await race(superuser)] += 1
            counts["callers in all"] += AT_ONCE


@asynccontextmanager
async def _opened(
    servers: embedded.Servers, database: Database
) -> AsyncIterator[asyncpg.Connection]:
    """What an API process has open, with a desk; gives a superuser's connection."""
    async with contextlib.AsyncExitStack() as stack:
        await hashing.open_hasher(waiting_max=AT_ONCE)
        stack.push_async_callback(hashing.close_hasher)
        await pool.open_database(database.api_url)
        stack.push_async_callback(pool.close_database)
        redis = await stack.enter_async_context(Redis.from_url(servers.redis_url))
        running = hints.Hints(redis)
        running.start(listen=True)
        stack.push_async_callback(running.stop)
        hints.use(running)
        stack.callback(hints.use, None)
        counter = desk.Desk(database.worker_url, lanes=1, queue_max=4 * AT_ONCE, relay=_unheard)
        counter.start()
        stack.push_async_callback(counter.stop)
        desk.use(counter)
        stack.callback(desk.use, None)
        present.superuser_url = database.superuser_url
        superuser = await asyncpg.connect(database.superuser_url)
        stack.push_async_callback(superuser.close)
        yield superuser


def _unheard() -> None:
    """No worker runs here: what is to be told stays in the outbox."""


async def _code(superuser: asyncpg.Connection) -> str:
    answers = await races.uses_of_one_code(superuser, count=AT_ONCE)
    assert answers.pop("used") == 1
    assert answers.keys() <= {"CODE_INVALID", "CODE_EXPIRED"}, answers
    return "codes used once"


async def _challenge(superuser: asyncpg.Connection) -> str:
    answers = await races.answers_to_one_challenge(superuser, count=AT_ONCE)
    assert answers == {"signed in": 1, "LOGIN_CHALLENGE_INVALID": AT_ONCE - 1}, answers
    return "login challenges answered once"


async def _token(superuser: asyncpg.Connection) -> str:
    [successor] = await races.refreshes_of_one_token(superuser, count=AT_ONCE)
    assert successor is not None
    return "refresh tokens with one successor"


async def _repeated(superuser: asyncpg.Connection) -> str:
    answers = await proof_races.payments_by_one_passkey_answer(superuser, count=AT_ONCE)
    assert answers == ({"done": AT_ONCE}, 1, proof_races.AMOUNT), answers
    return "payments by a passkey, repeated"


async def _many_keys(superuser: asyncpg.Connection) -> str:
    answers = await proof_races.payments_by_one_passkey_answer_under_many_keys(
        superuser, count=AT_ONCE
    )
    assert answers == (_once("CHALLENGE_INVALID"), 1, proof_races.AMOUNT), answers
    return "payments by a passkey, under many keys"


async def _pin(superuser: asyncpg.Connection) -> str:
    answers = await proof_races.payments_by_one_pin_and_code(superuser, count=AT_ONCE)
    assert answers == (_once("CHALLENGE_INVALID"), 1, proof_races.AMOUNT), answers
    return "payments by PIN and code, under many keys"


async def _passkey_login(_: asyncpg.Connection) -> str:
    answers = await proof_races.logins_by_one_passkey_answer(count=AT_ONCE)
    assert answers == _once("CHALLENGE_INVALID"), answers
    return "logins by a passkey"


async def _step_up(_: asyncpg.Connection) -> str:
    answers = await proof_races.uses_of_one_step_up(count=AT_ONCE)
    assert answers == _once("PROOF_REQUIRED"), answers
    return "step-ups used once"


async def _totp(superuser: asyncpg.Connection) -> str:
    answers = await proof_races.uses_of_one_totp_code(superuser, count=AT_ONCE)
    assert answers.pop("done") == 1
    assert answers.keys() <= {"TOTP_INVALID", "RATE_LIMITED"}, answers
    return "codes of an authenticator used once"


def _once(refusal: str) -> dict[str, int]:
    return {"done": 1, refusal: AT_ONCE - 1}
