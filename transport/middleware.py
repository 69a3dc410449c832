"""Around every request: its id, one line in the log, and headers that keep browsers careful."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog

from infra import logging
from transport import arrival

App = Callable[[Any, Any, Any], Awaitable[None]]
_log = logging.get("access")
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines; logged only when they fail."""


class Surroundings:
    """Pure ASGI, because Starlette's middleware classes cost a task per request."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        proposed = next((v for k, v in scope["headers"] if k == b"x-request-id"), b"")
        request_id = arrival.request_id(proposed.decode("latin-1"))
        scope["wallet.request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        status = 0

        async def send_on(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_ours(message.get("headers", ()), request_id)
            elif message["type"] == "websocket.close":
                status = message.get("code", 1000)
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            _write_line(scope, status, time.perf_counter() - started)


def _with_ours(given: Any, request_id: str) -> list[tuple[bytes, bytes]]:
    headers = [*given, (b"x-request-id", request_id.encode()), *_SECURITY]
    # A page that needs more says so by its own policy.
    if not any(name.lower() == _POLICY[0] for name, _ in headers):
        headers.append(_POLICY)
    return headers


def _write_line(scope: Any, status: int, seconds: float) -> None:
    path = scope["path"]
    if path in _QUIET and status < 400:
        return
    _log.info(
        "request",
        method=scope.get("method", "WEBSOCKET"),
        # Paths of ours hold no data; anything else may, and is not ours to keep.
        path=path if status not in (404, 1008, 0) and len(path) <= 200 else "?",
        status=status,
        milliseconds=round(seconds * 1000, 2),
    )
