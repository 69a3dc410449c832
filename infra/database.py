"""PostgreSQL: the pool behind Tortoise, and transactions that survive cancellation.

Tortoise's own ``in_transaction()`` loses its connection when the task is cancelled while BEGIN is
under way (a client that hangs up does just that), so nobody uses it: see ``session`` below.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from ssl import SSLContext
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from tortoise import Tortoise
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.connection import get_connections

from infra import tls
from infra.settings import get_settings

MODELS = [
    "models.audit",
    "models.closings",
    "models.consents",
    "models.devices",
    "models.exports",
    "models.elevations",
    "models.identity",
    "models.key_rotations",
    "models.merchants",
    "models.notices",
    "models.passkeys",
    "models.password_resets",
    "models.phone_changes",
    "models.phone_replacements",
    "models.proof_challenges",
    "models.proofs",
    "models.recoveries",
    "models.refunds",
    "models.risk",
    "models.staffing",
    "models.topups",
    "models.totp",
    "models.transfers",
    "models.wallets",
]


class PlainConnection(asyncpg.Connection):
    """A connection that is not RESET at every release: halves the cost of a read.

    Safe because nobody here uses SET without LOCAL, LISTEN or session locks on pooled connections.
    """

    def get_reset_query(self) -> str:
        return ""


class Busy(Exception):
    """No connection became free in time."""


_UNREACHABLE = {"08", "53", "57"}  # SQLSTATE classes: connection, resources, operator intervention


def unreachable(error: BaseException) -> bool:
    """Whether PostgreSQL could not be asked (it restarts, say), so that asking again may help."""
    if isinstance(error, asyncpg.PostgresError):
        return str(getattr(error, "sqlstate", ""))[:2] in _UNREACHABLE
    # asyncpg says InterfaceError for a closed connection, and for a wrong argument with ValueError.
    closed = isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError)
    return closed or isinstance(error, OSError | Busy | asyncpg.InternalClientError)


def credentials(url: str, *, pool_size: int = 16) -> dict[str, object]:
    """Tortoise's credentials for a ``postgresql://`` URL; ``?host=/dir`` names a Unix socket."""
    parts = urlsplit(url)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    made: dict[str, object] = {
        "host": query.pop("host", None) or parts.hostname,
        "port": int(query.pop("port", 0) or parts.port or 5432),
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "database": parts.path.lstrip("/"),
        "minsize": 1,
        "maxsize": pool_size,
        "connection_class": PlainConnection,
        "server_settings": {"application_name": "wallet", "statement_timeout": "10s"},
    }
    ssl = _tls(query)
    if ssl is not None:
        made["ssl"] = ssl
    return made


async def connect(url: str, **options: Any) -> asyncpg.Connection:
    """A connection of its own, outside the pool, with the pool's view of TLS."""
    query = {key: values[-1] for key, values in parse_qs(urlsplit(url).query).items()}
    return await asyncpg.connect(url, ssl=_tls(query), **options)


def _tls(query: dict[str, str]) -> SSLContext | str | None:
    """What asyncpg is told: for ``verify-full`` our own context, else what the URL says."""
    mode = query.pop("sslmode", None)
    if mode != "verify-full":
        return mode
    authorities = query.pop("sslrootcert", "") or get_settings().tls_authorities
    return tls.verifying("" if authorities == "system" else authorities)


def tortoise_config(url: str, *, pool_size: int = 16) -> dict[str, object]:
    """The configuration of Tortoise: one database, our models, our migrations."""
    return {
        "connections": {
            "default": {
                "engine": "tortoise.backends.asyncpg",
                "credentials": credentials(url, pool_size=pool_size),
            }
        },
        "apps": {
            "models": {
                "models": MODELS,
                "default_connection": "default",
                "migrations": "migrations",
            }
        },
        "use_tz": True,
        "timezone": "UTC",
    }


async def open_database(url: str, *, pool_size: int = 16) -> None:
    """Give this process its pool. Tasks other than the caller's use it too (global fallback)."""
    await Tortoise.init(
        config=tortoise_config(url, pool_size=pool_size), _enable_global_fallback=True
    )


async def close_database() -> None:
    await Tortoise.close_connections()


_in_session: ContextVar[bool] = ContextVar("in_session", default=False)


def in_session() -> bool:
    """Whether this task already holds a connection of ``session``."""
    return _in_session.get()


@asynccontextmanager
async def session(
    *, transaction: bool, isolation: str | None = None, readonly: bool = False
) -> AsyncIterator[asyncpg.Connection]:
    """A connection for this task alone; Tortoise's queries inside use it too.

    Raises ``Busy`` when none is free within two seconds, ``RuntimeError`` when one is open already:
    a transaction inside a transaction would hide which of them commits.
    """
    if in_session():
        raise RuntimeError("a session is open already")
    connections = get_connections()
    base = cast("AsyncpgDBClient", connections.get("default"))
    async with _acquire(base) as connection:
        wrapper = TransactionWrapper(base)
        wrapper._connection = connection
        token = connections.set("default", wrapper)
        mark = _in_session.set(True)
        try:
            if transaction:
                async with connection.transaction(isolation=isolation, readonly=readonly):
                    yield connection
            else:
                yield connection
        finally:
            wrapper._finalized = True
            _in_session.reset(mark)
            connections.reset(token)


@asynccontextmanager
async def _acquire(base: AsyncpgDBClient) -> AsyncIterator[asyncpg.Connection]:
    if base._pool is None:
        async with base._pool_init_lock:
            if base._pool is None:
                await base.create_connection(with_db=True)
    assert base._pool is not None
    context = base._pool.acquire(timeout=2)
    try:
        connection = await context.__aenter__()
    except TimeoutError as error:
        raise Busy from error
    try:
        yield cast("asyncpg.Connection", connection)
    finally:
        await context.__aexit__(None, None, None)


TORTOISE = tortoise_config(
    "postgresql:///wallet"
)  # for `tortoise makemigrations`, which needs no server
