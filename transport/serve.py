"""``python -m transport.serve``: the API under uvicorn, with the options that it needs.

It looks at the settings first, so that a process that must not start says why before it listens.
"""

from __future__ import annotations

import argparse
from typing import Any

import uvicorn

from infra import transit
from infra.settings import Settings, get_settings

APPLICATION = "asgi:app"
GRACE_SECONDS = 10
# For TLS 1.2, as 1.3 has no others: forward secrecy and authenticated encryption. uvicorn's own
# choice would be the suites that came with TLS 1.0.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"

# The server pings sockets by the protocol of GraphQL; uvicorn's own ping closes them with a code
# that clients don't come back from. Compression costs memory per socket. Proxies are believed by
# `transport.proxies`, and uvicorn's own idea of them would come first. The access log is ours.
OPTIONS: dict[str, Any] = {
    "loop": "uvloop",
    "http": "transport.careful:CarefulProtocol",
    "ws_max_size": 256 * 1024,
    "ws_per_message_deflate": False,
    "ws_ping_interval": None,
    "ws_ping_timeout": None,
    "proxy_headers": False,
    "access_log": False,
    "server_header": False,
    "timeout_graceful_shutdown": GRACE_SECONDS,
}


def options(settings: Settings) -> dict[str, Any]:
    """uvicorn's options for an installation: those of all, and its certificate if it has one."""
    if not settings.tls_certificate:
        return OPTIONS
    return OPTIONS | {
        "ssl_certfile": settings.tls_certificate,
        "ssl_keyfile": settings.tls_key,
        "ssl_ciphers": _CIPHERS,
    }


def main(arguments: list[str] | None = None) -> None:
    """Serve until a signal; ends with the faults of the settings if there are any."""
    parser = argparse.ArgumentParser(prog="python -m transport.serve", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    chosen = parser.parse_args(arguments)
    settings = get_settings()
    transit.ensure(settings, serves=True)
    uvicorn.run(
        APPLICATION,
        host=chosen.host,
        port=chosen.port,
        workers=chosen.workers,
        **options(settings),
    )


if __name__ == "__main__":
    main()
