"""`/healthz`: the process answers. `/readyz`: what it depends on answers too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from infra import logging

Check = Callable[[], Awaitable[object]]
TIMEOUT_SECONDS = 2.0
_log = logging.get("health")


def routes(checks: Mapping[str, Check], *, timeout_seconds: float = TIMEOUT_SECONDS) -> list[Route]:
    """The two routes. A check fails by raising, by returning False, or by taking too long."""

    async def healthz(_request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"}, headers={"cache-control": "no-store"})

    async def readyz(_request: Request) -> JSONResponse:
        names = list(checks)
        outcomes = await asyncio.gather(*(_outcome(n, checks[n], timeout_seconds) for n in names))
        ready = all(outcome == "ok" for outcome in outcomes)
        return JSONResponse(
            {
                "status": "ready" if ready else "not ready",
                "checks": dict(zip(names, outcomes, strict=True)),
            },
            status_code=200 if ready else 503,
            headers={"cache-control": "no-store"},
        )

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


async def _outcome(name: str, check: Check, timeout_seconds: float) -> str:
    try:
        async with asyncio.timeout(timeout_seconds):
            return "failed" if await check() is False else "ok"
    except TimeoutError:
        return "timeout"
    except Exception as error:
        _log.warning("not_ready", check=name, exc_info=error)
        return "failed"
