"""The staff console: one page, its hashed assets, and the headers that keep both to themselves.

The assets are built from ``console/`` and committed in gzip form (``make console``); nothing here
knows what an operation means, and no request of the page leaves its origin.
"""

from __future__ import annotations

import gzip
import json
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

EVERYBODY = "ALL"

_BUILT = Path(__file__).parent / "static" / "console"
_BASE = "/console/"
_ENTRY = "src/main.tsx"
_YEAR_SECONDS = 365 * 86_400

# Monaco writes style attributes and carries its icon font as data; scripts are never inline.
_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "font-src 'self' data:",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One prepared tab: a GraphQL document, and its variables as JSON text ("" for none)."""

    document: str
    variables: str = ""


def load_operations(directory: Path) -> dict[str, list[Operation]]:
    """The prepared operations by role name, in the order of their file names.

    ``directory`` holds one folder a role (``finance``), a set of roles (``support+admin``) or
    everybody (``all``); in it ``NN-name.graphql``, and ``NN-name.variables.json`` where the
    operation takes variables. Roles come out in capitals, everybody as ``ALL``.
    """
    operations: dict[str, list[Operation]] = {}
    for path in sorted(directory.glob("*/*.graphql"), key=lambda path: (path.name, path.parent)):
        variables = path.with_suffix(".variables.json")
        operation = Operation(
            document=path.read_text(encoding="utf-8"),
            variables=variables.read_text(encoding="utf-8") if variables.exists() else "",
        )
        for role in path.parent.name.upper().split("+"):
            operations.setdefault(role, []).append(operation)
    return operations


def routes(
    *,
    graphql_path: str,
    prepared: Mapping[str, Sequence[Operation]],
    environment: str,
) -> list[Route]:
    """The page at ``/console`` and its assets under ``/console/assets``.

    ``graphql_path`` is where the page sends queries and opens its WebSocket, on the same origin;
    ``environment`` is the label in the header bar. Raises FileNotFoundError without a build.
    """
    config = {
        "graphqlPath": graphql_path,
        "environment": environment,
        "prepared": {role: [asdict(one) for one in many] for role, many in prepared.items()},
    }
    page = _page(config).encode()

    async def show(_: Request) -> Response:
        return HTMLResponse(page, headers={**_HEADERS, "Cache-Control": "no-store"})

    return [
        Route("/console", show, name="console"),
        Route("/console/", show, include_in_schema=False),
        Route("/console/assets/{name}", _asset, name="console-asset"),
    ]


def _page(config: Mapping[str, Any]) -> str:
    manifest = json.loads((_BUILT / "manifest.json").read_text(encoding="utf-8"))
    entry = manifest[_ENTRY]
    styles = "".join(
        f'<link rel="stylesheet" href="{escape(_BASE + name)}">' for name in entry.get("css", [])
    )
    # The block is data to the browser, but "</script>" or "<!--" inside would still end it.
    block = json.dumps(config, ensure_ascii=False).replace("<", "\\u003c")
    return (
        '<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex"><link rel="icon" href="data:,">'
        f"<title>鹏城钱包 Pengcheng Wallet</title>{styles}"
        f'<script type="application/json" id="config">{block}</script>'
        f'<script type="module" src="{escape(_BASE + entry["file"])}"></script></head>'
        '<body><div id="root"></div>'
        "<noscript>管理控制台需要 JavaScript。The console needs JavaScript.</noscript>"
        "</body></html>"
    )


async def _asset(request: Request) -> Response:
    """A built file; its name carries its hash, so a browser may keep it for a year."""
    name = request.path_params["name"]
    files = _files()
    if name not in files:
        raise HTTPException(404, headers=_HEADERS)
    body, packed = files[name], name not in _plain_names()
    headers = {**_HEADERS, "Cache-Control": f"public, max-age={_YEAR_SECONDS}, immutable"}
    if packed:
        headers["Vary"] = "Accept-Encoding"
        if _takes_gzip(request.headers.get("accept-encoding", "")):
            headers["Content-Encoding"] = "gzip"
        else:
            body = gzip.decompress(body)
    return Response(body, media_type=_media_type(name), headers=headers)


@lru_cache(maxsize=1)
def _files() -> dict[str, bytes]:
    """Every asset as stored, by its public name: two megabytes, read once a process.

    Looking names up here instead of on the disk leaves no path for a request to walk.
    """
    return {
        path.name.removesuffix(".gz"): path.read_bytes() for path in (_BUILT / "assets").iterdir()
    }


@lru_cache(maxsize=1)
def _plain_names() -> frozenset[str]:
    names = (path.name for path in (_BUILT / "assets").iterdir())
    return frozenset(name for name in names if not name.endswith(".gz"))


def _takes_gzip(accept_encoding: str) -> bool:
    """Whether the header offers gzip, by name or by ``*``, and not with a weight of zero."""
    weights: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        coding, _, weight = part.partition(";")
        try:
            weights[coding.strip()] = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            weights[coding.strip()] = 0.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _media_type(name: str) -> str:
    """By a fixed table where it matters: a machine's own registry may call a script plain text."""
    fixed = {".js": "text/javascript", ".css": "text/css", ".ttf": "font/ttf"}
    suffix = Path(name).suffix
    return fixed.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
