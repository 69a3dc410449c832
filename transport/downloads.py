"""`GET /<name>/<token>`: files behind links. The handlers judge whether a link is good.

Tokens are long, so that the log of requests leaves them out (`transport.middleware`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from transport import arrival, failures, rates


class File(Protocol):
    """What a handler found."""

    @property
    def size_bytes(self) -> int: ...

    def chunks(self) -> AsyncIterator[bytes]: ...


Handler = Callable[[str], Awaitable[File | None]]
"""Takes the token; gives the file, or None for a link that is wrong or over."""


def routes(
    handlers: Mapping[str, tuple[Handler, str]], *, gate: rates.Unlimited | None = None
) -> list[Route]:
    """One GET route per name; with the handler goes the name that the file is saved under.

    ``gate`` bounds how fast links may be tried from one address.
    """
    bounds = gate or rates.Unlimited()
    return [
        Route(f"/{name}/{{token}}", _endpoint(handler, filename, bounds), methods=["GET"])
        for name, (handler, filename) in handlers.items()
    ]


def _endpoint(
    handler: Handler, filename: str, gate: rates.Unlimited
) -> Callable[[Request], Awaitable[Response]]:
    async def send(request: Request) -> Response:
        if request.method != "GET":
            return JSONResponse({"code": "HTTP_405"}, status_code=405, headers={"allow": "GET"})
        came = arrival.of(request.scope)
        try:
            gate.ensure_open(came)
            await gate.operation(came)
            file = await handler(request.path_params["token"])
        except rates.TooFast as refused:
            return JSONResponse(
                {"code": "RATE_LIMITED"},
                status_code=429,
                headers={"retry-after": str(refused.retry_after_seconds)} | _NEVER_STORED,
            )
        except failures.Unavailable:
            return JSONResponse(
                {"code": "OVERLOADED"}, status_code=503, headers={"retry-after": "2"}
            )
        if file is None:
            return JSONResponse({"code": "HTTP_404"}, status_code=404, headers=_NEVER_STORED)
        headers = {
            "content-length": str(file.size_bytes),
            "content-disposition": f'attachment; filename="{filename}"',
        }
        return StreamingResponse(
            file.chunks(), media_type="application/zip", headers=headers | _NEVER_STORED
        )

    return send


_NEVER_STORED = {"cache-control": "no-store"}
