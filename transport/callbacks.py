"""`/callbacks/<name>`: where outside parties report back. The handlers judge who it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra import logging
from transport import graphql

BODY_BYTES_MAX = 64 * 1024
Handler = Callable[[dict[str, str], bytes, str], Awaitable[int]]
"""Takes headers (lower-case names), raw body and path; gives the HTTP status to answer."""
_log = logging.get("callbacks")


def routes(handlers: Mapping[str, Handler]) -> list[Route]:
    """One POST route per handler."""
    return [
        Route(f"/callbacks/{name}", _endpoint(name, handler), methods=["POST"])
        for name, handler in handlers.items()
    ]


def _endpoint(name: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def receive(request: Request) -> Response:
        headers = {key.lower(): value for key, value in request.headers.items()}
        try:
            body = await graphql.read_body(request.receive, headers, BODY_BYTES_MAX)
            status = await handler(headers, body, request.url.path)
        except graphql.Declined as declined:
            return JSONResponse({"code": declined.code}, status_code=declined.status)
        except Exception as error:
            # The other side sees a 500 and calls again.
            _log.error("callback_failed", callback=name, exc_info=error)
            return JSONResponse({"code": "INTERNAL"}, status_code=500)
        return Response(status_code=status)

    return receive
