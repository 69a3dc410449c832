"""`/metrics` in Prometheus' text format."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra import metrics


async def _metrics(_request: Request) -> Response:
    return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


def routes() -> list[Route]:
    """The one route."""
    return [Route("/metrics", _metrics)]
