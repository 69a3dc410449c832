"""The composition root: hands transport the schema, the callers, the callbacks. No rule lives here.

``python -m transport.serve`` serves `app`; see docs/operations.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import schema
from domain.refusals import Overloaded, RateLimited
from infra import database, hashing, hints, logging, migrate, transit
from infra.buckets import Rate
from infra.settings import get_settings
from infra.throttle import Throttle
from resolvers import exports, sessions, topups
from resolvers.viewer import ANONYMOUS
from schema import fields
from schema.context import Context, language
from transport import console, downloads, socket
from transport.app import GRAPHQL_PATH, Door, build
from transport.arrival import Arrival
from transport.failures import Unavailable
from transport.rates import Gate, Rates
from workers.process import Process, open_process

settings = get_settings()
logging.configure(level=settings.log_level, development=settings.development)
transit.ensure(settings, serves=True)
throttle = Throttle()
_process: Process | None = None
_CLOSES = {"OVER": socket.SESSION_ENDED, "COMES_BACK": socket.COME_BACK}


async def context(arrival: Arrival) -> Context:
    """The caller of a request or socket, by one read."""
    spoken = language(arrival.headers.get("accept-language", ""))
    try:
        viewer, state = await sessions.caller(
            arrival.authorization, address=arrival.address, request_id=arrival.request_id
        )
    except Overloaded as busy:
        raise Unavailable(busy.message(spoken)) from None
    return Context(
        viewer=viewer,
        session=state,
        language=spoken,
        request_id=arrival.request_id,
        address=arrival.address,
        may_introspect=settings.development or viewer.staff,
        holder=str(viewer.user_id) if state == "valid" else "",
    )


def too_fast(arrival: Arrival, seconds: int) -> str:
    """What who asks too fast is told, in their language."""
    spoken = language(arrival.headers.get("accept-language", ""))
    return RateLimited(retry_after_seconds=seconds).message(spoken)


async def must_close(known: Context) -> int | None:
    """The code that a socket has to be closed with; if it stays, it goes on as who it is now."""
    standing, known.viewer = await sessions.current(known.viewer)
    return _CLOSES.get(standing)


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[None]:
    """Open what this process needs; at the end drain the lanes before the pool goes."""
    global _process
    async with AsyncExitStack() as stack:
        await hashing.open_hasher()
        stack.push_async_callback(hashing.close_hasher)
        url = settings.database_url.get_secret_value()
        _process = await stack.enter_async_context(open_process(settings, url, listen=True))
        hints.current().on("session:", _recheck)
        hints.current().on("user:", _recheck_user)
        throttle.open(settings.redis_url.get_secret_value())
        stack.push_async_callback(throttle.close)
        yield


def _recheck(topic: str) -> None:
    """A session ended somewhere: its sockets here need not wait for their sweep."""
    session_id = topic.removeprefix("session:")
    app.endpoint.recheck(lambda known: str(known.viewer.session_id) == session_id)


def _recheck_user(topic: str) -> None:
    """Somebody's status or role may have changed."""
    user_id = topic.removeprefix("user:")
    app.endpoint.recheck(lambda known: str(known.viewer.user_id) == user_id)


async def _database_ready() -> None:
    async with database.session(transaction=False) as connection:
        await connection.fetchval("select 1")


async def _migrations_ready() -> bool:
    async with database.session(transaction=False) as connection:
        return not await migrate.pending(connection)


async def _valkey_ready() -> None:
    assert _process is not None
    await _process.redis.ping()


_rates = Rates(
    address=Rate(settings.rate_address_per_minute, settings.rate_address_burst),
    user=Rate(settings.rate_user_per_minute, settings.rate_user_burst),
    costly=Rate(settings.rate_costly_per_minute, settings.rate_costly_burst),
)


_gate = Gate(throttle, _rates, costly=fields.costly_fields(schema.schema), say=too_fast)


async def _export(token: str) -> downloads.File | None:
    try:
        return await exports.download(ANONYMOUS, token)
    except Overloaded as busy:
        raise Unavailable(busy.message("en")) from None


# Whoever works on the wallet needs no token to look at its metrics; elsewhere nobody sees them.
_no_token = "" if settings.development else None

app = build(
    schema=schema.schema,
    gate=_gate,
    door=Door(
        public_url=settings.public_url,
        allowed_origins=settings.origins,
        trusted_networks=settings.trusted_networks,
        https_only=not settings.development,
        metrics_token=settings.metrics_token.get_secret_value() or _no_token,
    ),
    context_factory=context,
    callbacks={"bank": topups.bank_called},
    readiness={
        "database": _database_ready,
        "migrations": _migrations_ready,
        "valkey": _valkey_ready,
    },
    lifespan=lifespan,
    must_close=must_close,
    extra_routes=[
        *console.routes(
            graphql_path=GRAPHQL_PATH,
            prepared=console.load_operations(Path(__file__).parent / "console" / "operations"),
            environment=settings.environment,
        ),
        *downloads.routes({"exports": (_export, "pengcheng-wallet-data.zip")}, gate=_gate),
    ],
)
