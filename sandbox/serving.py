"""What the sandbox's servers share: arguments, the port line, signed bodies, errors as JSON."""

from __future__ import annotations

import argparse
import html
import json
import os
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Lifespan

from sandbox import signing

BODY_BYTES_MAX = 16_384
HOST = "127.0.0.1"

_Message = TypeVar("_Message")


class Refused(Exception):
    """An answer that is not the wanted one: HTTP ``status`` and a stable ``code``."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


def arguments(description: str) -> argparse.ArgumentParser:
    """The options every sandbox server has. Secrets may come by environment: `ps` shows options."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, required=True, help="0 picks a free one")
    parser.add_argument("--data", type=Path, required=True, help="directory of the database file")
    parser.add_argument("--seed", type=int, default=None, help="misbehave by this seed")
    parser.add_argument(
        "--secret",
        default=os.environ.get("SANDBOX_SECRET", ""),
        help="shared with the client (or SANDBOX_SECRET)",
    )
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options, with a secret for certain."""
    options = parser.parse_args()
    if not options.secret:
        parser.error("--secret or SANDBOX_SECRET is needed")
    return options


async def signed_body(request: Request, secret: str) -> bytes:
    """The body, if its sender holds the secret: else 401; 413 past the bound."""
    body = await bounded_body(request)
    path = request.scope["raw_path"].decode("latin-1")
    if request.scope["query_string"]:
        path += "?" + request.scope["query_string"].decode("latin-1")
    if not signing.is_signed(
        request.headers,
        body,
        method=request.method,
        path=path,
        secret=secret,
        unix_seconds=time.time(),
    ):
        raise Refused(401, "UNAUTHENTICATED", "the signature is missing, wrong or too old")
    return body


async def bounded_body(request: Request) -> bytes:
    """The body up to `BODY_BYTES_MAX`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise Refused(413, "TOO_LARGE", f"at most {BODY_BYTES_MAX} bytes")
    return bytes(body)


async def control_body(request: Request) -> bytes:
    """The body of an unsigned control request. A form on a foreign page can't send this type."""
    if request.headers.get("content-type", "").split(";")[0] != "application/json":
        raise Refused(415, "JSON_ONLY", "send application/json")
    return await bounded_body(request)


def decode(body: bytes, kind: type[_Message]) -> _Message:
    """The message, or 422. The reason names a field, never a value."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Refused(422, "INVALID", str(error)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Refused(400, "NOT_JSON", "the body is not JSON") from None


def limit(request: Request, *, default: int, maximum: int) -> int:
    """The query's ``limit``, held between 1 and ``maximum``."""
    text = request.query_params.get("limit", "")
    return min(max(int(text), 1), maximum) if text.isdecimal() and len(text) < 10 else default


def page(*, title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """A table that needs nothing from elsewhere, runs no script and refreshes itself."""
    cells = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    head = "".join(f"<th scope=col>{html.escape(name)}</th>" for name in heads)
    return HTMLResponse(
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=2>"
        f"<title>{html.escape(title)}</title><style>body{{font:15px/1.5 system-ui,sans-serif;"
        "margin:2rem;color:#1b2733}table{border-collapse:collapse;width:100%}td,th{text-align:"
        "left;padding:.4rem .8rem;border-bottom:1px solid #d9e0e6;vertical-align:top}"
        f"</style><h1>{html.escape(title)}</h1><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{cells}</tbody></table></html>",
        headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"},
    )


def application(routes: list, *, lifespan: Lifespan | None = None) -> Starlette:
    """A Starlette app for this machine only, whose every error is JSON with a code."""
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        # A page in a browser must not reach the sandbox under a name of its own.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
        exception_handlers={
            Refused: _refused,
            HTTPException: _http_error,
            ClientDisconnect: _gone,
            Exception: _broken,
        },
    )


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return JSONResponse({"code": error.code, "message": error.message}, error.status)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}
    code = codes.get(error.status_code, "HTTP_ERROR")
    return JSONResponse(
        {"code": code, "message": error.detail}, error.status_code, headers=error.headers
    )


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)


async def _broken(_: Request, __: Exception) -> Response:
    return JSONResponse({"code": "INTERNAL", "message": "the sandbox has a fault"}, 500)


class _Announcing(uvicorn.Server):
    """Prints the port once requests are served, so that a launcher need not poll."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and sockets:
            print(json.dumps({"port": sockets[0].getsockname()[1]}), flush=True)


def serve(app: ASGIApp, *, port: int) -> None:
    """Serve on 127.0.0.1 until SIGTERM or Ctrl-C; one sentence and exit 1 if the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        sys.exit(f"port {port} of {HOST} can't be used: {error.strerror}")
    config = uvicorn.Config(
        app, access_log=False, log_level="warning", ws="none", timeout_graceful_shutdown=2
    )
    try:
        _Announcing(config).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()
