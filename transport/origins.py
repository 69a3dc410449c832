"""Which web pages may call us: our own, and those of the origins that the settings name.

Browsers say where a page came from. Others don't, and carry no credentials that they weren't
given; so a request without an origin passes. There are no cookies here, and credentials are never
allowed across origins: a page must hold its own token.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from transport import failures

_METHODS = b"GET, POST"
_HEADERS = b"authorization, content-type, accept-language, x-request-id, graphql-require-preflight"
_EXPOSED = b"x-request-id, retry-after"
_PREFLIGHT_SECONDS = b"600"
_SECURE = {"http": "http", "ws": "http", "https": "https", "wss": "https"}


class Origins:
    """``named`` are the origins of others, ``own`` that of our public address (either may be "")"""

    def __init__(self, named: frozenset[str] = frozenset(), *, own: str = "") -> None:
        parts = urlsplit(own)
        self._named = named | ({f"{parts.scheme}://{parts.netloc}".lower()} if own else set())

    def allow(self, scope: Any) -> bool:
        """Whether the page that sent this may; true as well where no page did."""
        origin = _header(scope, b"origin")
        if origin is None or origin.lower() in self._named:
            return True
        parts = urlsplit(origin)
        host = _header(scope, b"host") or ""
        if parts.netloc.lower() != host.lower() or not host:
            return False
        # A page that came in the clear may have been written by anybody on its way.
        return parts.scheme == "https" or (parts.scheme == _SECURE[scope["scheme"]] == "http")


class CrossOrigin:
    """Around an ASGI application: answers preflights, refuses strangers, tells browsers."""

    def __init__(self, app: Any, origins: Origins) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        origin = _header(scope, b"origin")
        if scope["type"] != "http" or origin is None:
            # A socket's handshake asks `Origins` itself, for it is answered in another way.
            await self._app(scope, receive, send)
        elif not self._origins.allow(scope):
            await _refuse(scope, send)
        elif scope["method"] == "OPTIONS":
            await send(
                {"type": "http.response.start", "status": 204, "headers": _preflight(origin)}
            )
            await send({"type": "http.response.body"})
        else:

            async def send_on(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], *_told(origin)]
                await send(message)

            await self._app(scope, receive, send_on)


def _told(origin: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"Origin"),
    ]


def _preflight(origin: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _HEADERS),
        (b"access-control-max-age", _PREFLIGHT_SECONDS),
        (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]


async def _refuse(scope: Any, send: Any) -> None:
    error = failures.answer(
        "Pages of this origin may not call us.",
        "ORIGIN_NOT_ALLOWED",
        scope.get("wallet.request_id", ""),
    )
    body = json.dumps({"errors": [error]}).encode()
    headers = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"vary", b"Origin"),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _header(scope: Any, name: bytes) -> str | None:
    """The last of several, as everywhere here."""
    found = None
    for key, value in scope["headers"]:
        if key == name:
            found = value.decode("latin-1")
    return found
