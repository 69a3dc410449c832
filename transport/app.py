"""The whole of the web side: GraphQL first, everything else by Starlette's router."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import strawberry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute

from infra import logging
from transport import callbacks as callbacks_module
from transport import graphql, health, metrics, middleware
from transport import limits as limits_module

GRAPHQL_PATH = "/graphql"
_log = logging.get("app")


class Lifespan(Protocol):
    """Opens what the process needs and closes it; it gets the application."""

    def __call__(self, app: Starlette, /) -> AbstractAsyncContextManager[Any]: ...


class Application:
    """An ASGI application that hands /graphql to its endpoint before any routing.

    `endpoint.recheck()` makes open sockets check their sessions.
    """

    def __init__(self, endpoint: graphql.GraphQLEndpoint, others: Starlette) -> None:
        self.endpoint = endpoint
        self.others = others
        self._app = middleware.Surroundings(self._dispatch)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)

    async def _dispatch(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan" and scope["path"] == GRAPHQL_PATH:
            await self.endpoint(scope, receive, send)
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


def build(
    *,
    schema: strawberry.Schema,
    context_factory: graphql.ContextFactory,
    callbacks: Mapping[str, callbacks_module.Handler],
    readiness: Mapping[str, health.Check],
    lifespan: Lifespan | None,
    extra_routes: Sequence[BaseRoute] = (),
    must_close: graphql.MustClose | None = None,
    allowed_origins: frozenset[str] = frozenset(),
    limits: limits_module.Limits | None = None,
) -> Application:
    """The application: /graphql, /healthz, /readyz, /metrics, /callbacks/… and `extra_routes`."""
    endpoint = graphql.GraphQLEndpoint(
        schema,
        context_factory,
        limits=limits,
        must_close=must_close,
        allowed_origins=allowed_origins,
    )
    others = Starlette(
        routes=[
            *health.routes(readiness),
            *metrics.routes(),
            *callbacks_module.routes(callbacks),
            *extra_routes,
        ],
        lifespan=lifespan,
        exception_handlers={HTTPException: _declined, Exception: _failed},
    )
    return Application(endpoint, others)


async def _declined(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse(
        {"code": f"HTTP_{error.status_code}"}, status_code=error.status_code, headers=error.headers
    )


async def _failed(_request: Request, error: Exception) -> JSONResponse:
    _log.error("page_failed", exc_info=error)
    return JSONResponse({"code": "INTERNAL"}, status_code=500)
