"""`/metrics` in Prometheus' text format."""

from __future__ import annotations

import hmac

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra import metrics


def routes(token: str | None) -> list[Route]:
    """The one route, for who sends the token as a bearer; "" is for everybody, None for nobody."""
    if token is None:
        return []
    expected = f"Bearer {token}".encode()

    async def show(request: Request) -> Response:
        given = request.headers.get("authorization", "").encode()
        if token and not hmac.compare_digest(given, expected):
            raise HTTPException(401, headers={"www-authenticate": "Bearer"})
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [Route("/metrics", show)]
