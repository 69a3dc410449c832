"""Clients of Valkey by ``WALLET_REDIS_URL``: over TLS they check certificate and host name."""

from __future__ import annotations

from typing import Any

from arq.connections import RedisSettings
from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool, parse_url

from infra import settings


def client(url: str, **options: Any) -> Redis:
    """A client; ``options`` are redis-py's, the query of the URL wins over them."""
    return Redis.from_url(url, **_checks(url), **options)


def pool(url: str, **options: Any) -> ConnectionPool:
    """A pool of connections for a client of another class, which has to close it."""
    return ConnectionPool.from_url(url, **_checks(url), **options)


def for_arq(url: str) -> RedisSettings:
    """The same address as arq wants it. Its own reading of a URL drops what is said about TLS."""
    told: dict[str, Any] = {**_checks(url), **parse_url(url)}
    return RedisSettings(
        host=told.get("host", "localhost"),
        port=told.get("port", 6379),
        unix_socket_path=told.get("path"),
        database=told.get("db", 0),
        username=told.get("username"),
        password=told.get("password"),
        ssl=url.startswith("rediss:"),
        ssl_cert_reqs=told.get("ssl_cert_reqs", "required"),
        ssl_check_hostname=told.get("ssl_check_hostname", False),
        ssl_ca_certs=told.get("ssl_ca_certs"),
    )


def _checks(url: str) -> dict[str, Any]:
    """redis-py compares no host names unless it is told to."""
    if not url.startswith("rediss:"):
        return {}
    authorities = settings.get_settings().tls_authorities
    return {"ssl_check_hostname": True, "ssl_ca_certs": authorities or None}
