"""The whole of the web side: GraphQL first, everything else by Starlette's router."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import strawberry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute

from infra import logging
from transport import callbacks as callbacks_module
from transport import graphql, health, metrics, middleware, origins, proxies, rates
from transport import limits as limits_module

GRAPHQL_PATH = "/graphql"
_DIGITS_MAX = 6  # of a length: what is shorter is thrown away as fast as it comes
_log = logging.get("app")


class Lifespan(Protocol):
    """Opens what the process needs and closes it; it gets the application."""

    def __call__(self, app: Starlette, /) -> AbstractAsyncContextManager[Any]: ...


@dataclass(frozen=True)
class Door:
    """How the outside reaches us.

    Pages of `public_url` and of `allowed_origins` may call /graphql. Only `trusted_networks` are
    believed about who asks and whether by TLS, which `https_only` makes a condition. /metrics is
    for who sends `metrics_token`: for everybody if that is "", and not there if it is None.
    """

    public_url: str = ""
    allowed_origins: frozenset[str] = frozenset()
    trusted_networks: tuple[proxies.Network, ...] = ()
    https_only: bool = False
    metrics_token: str | None = ""


class Application:
    """An ASGI application that hands /graphql to its endpoint before any routing.

    `endpoint.recheck()` makes open sockets check their sessions.
    """

    def __init__(
        self,
        endpoint: graphql.GraphQLEndpoint,
        others: Starlette,
        *,
        allowed: origins.Origins,
        door: Door,
    ) -> None:
        self.endpoint = endpoint
        self.others = others
        self._graphql = origins.CrossOrigin(endpoint, allowed)
        self._app = middleware.Surroundings(
            self._dispatch,
            seen_by=proxies.Proxies(door.trusted_networks),
            https_only=door.https_only,
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)

    async def _dispatch(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and _large(scope["headers"]):
            body = Body(receive, send)
            receive, send = body.receive, body.send
        if scope["type"] != "lifespan" and scope["path"] == GRAPHQL_PATH:
            await self._graphql(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            await self._other(scope, receive, send)
        else:
            await self.others(scope, receive, send)

    async def _other(self, scope: Any, receive: Any, send: Any) -> None:
        # Starlette raises again what `_failed` has logged and answered, for servers to log twice.
        with contextlib.suppress(Exception):
            await self.others(scope, receive, send)


def _large(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether a body is on its way that may have no end, or one that nobody here takes."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and len(value) > _DIGITS_MAX)
        for name, value in headers
    )


class Body:
    """Hangs up after the answer on who goes on sending a body that nobody has read."""

    def __init__(self, receive: Any, send: Any) -> None:
        self._receive, self._send = receive, send
        self._unread = True

    async def receive(self) -> Any:
        message = await self._receive()
        self._unread = bool(message.get("more_body"))
        return message

    async def send(self, message: Any) -> None:
        if self._unread and message["type"] == "http.response.start":
            kept = (one for one in message.get("headers", ()) if one[0] != b"connection")
            message = {**message, "headers": [*kept, (b"connection", b"close")]}
        await self._send(message)


def build(
    *,
    schema: strawberry.Schema,
    context_factory: graphql.ContextFactory,
    callbacks: Mapping[str, callbacks_module.Handler],
    readiness: Mapping[str, health.Check],
    lifespan: Lifespan | None,
    extra_routes: Sequence[BaseRoute] = (),
    must_close: graphql.MustClose | None = None,
    door: Door = Door(),
    limits: limits_module.Limits | None = None,
    gate: rates.Unlimited | None = None,
) -> Application:
    """The application: /graphql, /healthz, /readyz, /metrics, /callbacks/… and `extra_routes`."""
    allowed = origins.Origins(door.allowed_origins, own=door.public_url)
    endpoint = graphql.GraphQLEndpoint(
        schema,
        context_factory,
        limits=limits,
        must_close=must_close,
        allowed=allowed,
        gate=gate,
    )
    others = Starlette(
        routes=[
            *health.routes(readiness),
            *metrics.routes(door.metrics_token),
            *callbacks_module.routes(callbacks),
            *extra_routes,
        ],
        lifespan=lifespan,
        exception_handlers={HTTPException: _declined, Exception: _failed},
    )
    return Application(endpoint, others, allowed=allowed, door=door)


async def _declined(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse(
        {"code": f"HTTP_{error.status_code}"}, status_code=error.status_code, headers=error.headers
    )


async def _failed(_request: Request, error: Exception) -> JSONResponse:
    _log.error("page_failed", exc_info=error)
    return JSONResponse({"code": "INTERNAL"}, status_code=500)
