"""Whether the time of an answer tells who has a wallet: phones that we know beside others."""

from __future__ import annotations

import asyncio
import math
import os
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import asyncpg

from benchmarks.figures import Figure, Suite
from domain import refusals
from domain.identity import ANONYMOUS, CodePurpose
from domain.recovery import Identity
from infra import database, embedded, encryption, hashing, logging, migrate, settings
from resolvers import identity, logins, password_resets, phone_replacements

SAMPLES = 10_000  # of each kind
_FIRST_USER = 1_000_000
_WARM_UP = 200
_SETTINGS = {
    "WALLET_ENVIRONMENT": "development",
    "WALLET_PASSWORD_COST": "4",
    "WALLET_CODE_HOURLY_MAX_TOTAL": "1000000",
    "WALLET_CODE_DAILY_MAX_TOTAL": "1000000",
}
Call = Callable[[str, str], Awaitable[object]]


def run(*, rounds: int, seconds: int) -> Suite:
    """The number of calls is given by the question, so rounds and seconds don't matter."""
    suite = Suite(
        title="Phones that we know, and others",
        settings=(
            "Wrong passwords, requests for a code, and what asks for one and then guesses it: a"
            f" reset of a password, and the move of a lost phone's account. For {SAMPLES:,} phones"
            f" of users and {SAMPLES:,} others in random order, one after another, at the resolvers"
            " (no HTTP, so less noise than a stranger has); real bcrypt at its lowest cost (4)."
            " t is Welch's, of all times and of the quicker nine tenths of each kind, where a"
            " difference would show through the noise; below 3 nothing is to be seen."
        ),
    )
    before = {name: os.environ.get(name) for name in _SETTINGS}
    os.environ.update(_SETTINGS)
    settings.get_settings.cache_clear()
    logging.configure(level="critical")  # one line for each of a hundred thousand wrong passwords
    try:
        with (
            tempfile.TemporaryDirectory(prefix="wallet-bench-") as data,
            embedded.start(Path(data)) as servers,
        ):
            asyncio.run(_ask(servers, suite))
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        settings.get_settings.cache_clear()
    return suite


async def _ask(servers: embedded.Servers, suite: Suite) -> None:
    await migrate.migrate(servers.postgres_url("wallet_owner"))
    servers.grant_logins()
    async with AsyncExitStack() as stack:
        await hashing.open_hasher()
        stack.push_async_callback(hashing.close_hasher)
        await database.open_database(servers.postgres_url("wallet_api"))
        stack.push_async_callback(database.close_database)
        superuser = await asyncpg.connect(servers.superuser_url(embedded.DATABASE))
        stack.push_async_callback(superuser.close)
        known = await _users(superuser)
        for name, call in _CALLS.items():
            _add(suite, name, await _measure(call, known))


async def _users(superuser: asyncpg.Connection) -> list[str]:
    """Their phones. Every hash is another's, as in life; the words behind it don't matter."""
    stored = await hashing.hash_password("Shekou-9-lighthouse")
    rows = []
    for user_id in range(_FIRST_USER, _FIRST_USER + SAMPLES + _WARM_UP):
        phone = _phone(user_id)
        sealed = encryption.encrypt("users.phone", user_id, phone)
        name = encryption.encrypt("users.name", user_id, "Bench")
        rows.append((user_id, sealed, encryption.blind_index("phone", phone), name, stored))
    await superuser.executemany(
        "insert into users(id, role, status, phone, phone_index, name, password_hash)"
        " values ($1, 'RESIDENT', 'ACTIVE', $2, $3, $4, $5)",
        rows,
    )
    await superuser.execute("vacuum analyze users")
    return [_phone(row[0]) for row in rows]


def _phone(number: int) -> str:
    return f"+86138{number:08d}"


async def _measure(call: Call, known: list[str]) -> tuple[list[float], list[float]]:
    """Milliseconds of each call for known and for unknown phones; each phone is asked once."""
    unknown = [_phone(_FIRST_USER * 2 + number) for number in range(len(known))]
    asked = [(phone, 0) for phone in known] + [(phone, 1) for phone in unknown]
    random.shuffle(asked)
    times: tuple[list[float], list[float]] = ([], [])
    for number, (phone, kind) in enumerate(asked):
        # Nobody's delay is another's: each call comes from an address of its own.
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        started = time.perf_counter()
        await call(phone, address)
        took_ms = (time.perf_counter() - started) * 1000
        if number >= 2 * _WARM_UP:
            times[kind].append(took_ms)
    return times


async def _login(phone: str, address: str) -> None:
    with suppress(refusals.WrongCredentials):
        await logins.login(ANONYMOUS, phone=phone, password="a guess", address=address)
        raise AssertionError("a guess was right")


async def _request_code(phone: str, address: str) -> object:
    return await identity.request_verification_code(
        ANONYMOUS,
        phone=phone,
        purpose=CodePurpose.REGISTER,
        address=address,
        language="zh-CN",
    )


async def _reset_password(phone: str, address: str) -> None:
    opened = await password_resets.request_password_reset(
        ANONYMOUS, phone=phone, address=address, language="zh-CN"
    )
    with suppress(refusals.ResetProofInvalid):
        await password_resets.complete_password_reset(
            ANONYMOUS,
            secret=opened.secret,
            code=_GUESS,
            proof=_SOMEBODY,
            new_password="Shekou-9-lighthouse",
            address=address,
        )
        raise AssertionError("a guess was right")


async def _replace_phone(phone: str, address: str) -> None:
    # To a number of one's own, which nobody has: the same digits in another range.
    opened = await phone_replacements.request_phone_replacement(
        ANONYMOUS,
        phone=phone,
        new_phone=phone.replace("+86138", "+86139"),
        address=address,
        language="zh-CN",
    )
    with suppress(refusals.PhoneChangeInvalid):
        await phone_replacements.request_phone_replacement_review(
            ANONYMOUS,
            secret=opened.secret,
            code=_GUESS,
            claimed=_SOMEBODY,
            statement="Lost on the bus",
            address=address,
        )
        raise AssertionError("a guess was right")


_GUESS = "000000"
_SOMEBODY = Identity(name="Bench", id_number_last6="123456")
_CALLS: dict[str, Call] = {
    "wrong passwords": _login,
    "requests for a code": _request_code,
    "guesses at a reset": _reset_password,
    "guesses at a lost phone": _replace_phone,
}


def _add(suite: Suite, name: str, times: tuple[list[float], list[float]]) -> None:
    for kind, each in zip(("known", "unknown"), times, strict=True):
        ordered = sorted(each)
        suite.add(
            Figure(
                f"{name}, {kind} phones",
                1000 / statistics.fmean(each),
                p50_ms=ordered[len(ordered) // 2],
                p99_ms=ordered[len(ordered) * 99 // 100],
                notes=f"n = {len(each):,}, mean {statistics.fmean(each):.4f} ms",
            )
        )
    suite.state(f"t of {name}, all", _welch(*times))
    suite.state(f"t of {name}, quicker nine tenths", _welch(*map(_quicker, times)))


def _quicker(times: list[float]) -> list[float]:
    return sorted(times)[: len(times) * 9 // 10]


def _welch(a: list[float], b: list[float]) -> float:
    """The difference of the means in units of its own standard error."""
    spread = statistics.variance(a) / len(a) + statistics.variance(b) / len(b)
    return (statistics.fmean(a) - statistics.fmean(b)) / math.sqrt(spread)
