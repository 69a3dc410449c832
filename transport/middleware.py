"""Around every request: its id, one line in the log, and headers that keep browsers careful."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog

from infra import logging
from transport import arrival, proxies

App = Callable[[Any, Any, Any], Awaitable[None]]
_log = logging.get("access")
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
# Two years, and whatever is below our name; only said by TLS, as browsers want it.
_STRICT = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines from inside, by TLS or not; logged only when they fail."""


_SECRET = re.compile(r"/[^/]{32,}")
"""A part of a path that long is a link's token, whatever the method and the answer."""


class Surroundings:
    """Pure ASGI, because Starlette's middleware classes cost a task per request.

    ``https_only``: whether what came in the clear is refused, but for `_QUIET`.
    """

    def __init__(self, app: App, *, seen_by: proxies.Proxies, https_only: bool) -> None:
        self._app = app
        self._proxies = seen_by
        self._https_only = https_only

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        self._proxies.see_through(scope)
        secure = scope["scheme"] in ("https", "wss")
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
                message["headers"] = _with_ours(message.get("headers", ()), request_id, secure)
            elif message["type"] == "websocket.http.response.start":
                status = message["status"]
            elif message["type"] == "websocket.close":
                status = message.get("code", 1000)
            await send(message)

        try:
            if self._https_only and not secure and scope["path"] not in _QUIET:
                await _refuse(scope, receive, send_on)
            else:
                await self._app(scope, receive, send_on)
        finally:
            _write_line(scope, status, time.perf_counter() - started)


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    """No redirect: a client that sent its token in the clear should notice, not be led on."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    body = b'{"code": "HTTPS_REQUIRED"}'
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _with_ours(given: Any, request_id: str, secure: bool) -> list[tuple[bytes, bytes]]:
    # A page that needs more says so by its own policy, one that may be kept by its own header.
    named = {name.lower() for name, _ in given}
    headers = [*given, (b"x-request-id", request_id.encode())]
    headers += [one for one in _SECURITY if one[0] not in named]
    if secure:
        headers.append(_STRICT)
    return headers


def _write_line(scope: Any, status: int, seconds: float) -> None:
    path = _SECRET.sub("/…", scope["path"])
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
