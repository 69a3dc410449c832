"""Outside development nothing travels in the clear: what the settings lack for that, in sentences.

A process that serves or works says all of it at once and ends before it has sent a password or
taken a request. Hops that never leave the machine (Unix sockets) need no TLS.
"""

from __future__ import annotations

from typing import NoReturn
from urllib.parse import parse_qs, urlsplit

from infra import tls
from infra.settings import Settings

_OTHERS = {
    "bank_url": "the bank",
    "sms_url": "the SMS gateway",
    "push_url": "the push gateway",
    "mail_url": "the mail gateway",
}


def faults(settings: Settings, *, serves: bool) -> list[str]:
    """One sentence a fault, naming the setting; none in development.

    ``serves``: whether this process answers clients (the API) or not (the worker).
    """
    if settings.development:
        return []
    found = [
        *(_towards_clients(settings) if serves else []),
        *_public(settings),
        *_pages(settings),
        *_databases(settings, serves=serves),
        *_valkey(settings.redis_url.get_secret_value()),
        *(fault for name, who in _OTHERS.items() for fault in _gateway(settings, name, who)),
        *_authorities(settings.tls_authorities),
    ]
    return list(dict.fromkeys(found))


def ensure(settings: Settings, *, serves: bool) -> None:
    """End the process, with every fault on standard error, unless there is none."""
    _end_if(faults(settings, serves=serves))


def ensure_database(settings: Settings, name: str) -> None:
    """The same for a command that uses nothing but one database: ``migration_database_url``, say.

    When that setting is empty, such a command uses ``database_url``.
    """
    if not settings.development:
        name = name if getattr(settings, name).get_secret_value() else "database_url"
        found = [_database(name, getattr(settings, name).get_secret_value())]
        _end_if([fault for fault in found if fault] + _authorities(settings.tls_authorities))


def _end_if(found: list[str]) -> None:
    if found:
        _end(found)


def _end(found: list[str]) -> NoReturn:
    head = "The wallet does not start: outside development everything travels by TLS."
    raise SystemExit("\n  - ".join([head, *found]))


def _towards_clients(settings: Settings) -> list[str]:
    certificate, key = settings.tls_certificate, settings.tls_key
    if bool(certificate) != bool(key):
        missing = "WALLET_TLS_KEY" if certificate else "WALLET_TLS_CERTIFICATE"
        return [f"{missing} is missing: certificate and key are set together or not at all."]
    if certificate:
        try:
            tls.ensure_pair(certificate, key)
        except OSError as error:
            return [
                "WALLET_TLS_CERTIFICATE and WALLET_TLS_KEY can't be used"
                f" ({type(error).__name__}): two readable PEM files that belong together."
            ]
    if not certificate and not settings.trusted_networks:
        return [
            "WALLET_TLS_CERTIFICATE and WALLET_TLS_KEY must name our own certificate, or"
            " WALLET_TRUSTED_PROXIES the proxies that do TLS towards clients."
        ]
    return []


def _public(settings: Settings) -> list[str]:
    parts = urlsplit(settings.public_url)
    if parts.scheme == "https" and parts.hostname:
        return []
    return ["WALLET_PUBLIC_URL must be an https:// address: apps and the bank are sent there."]


def _pages(settings: Settings) -> list[str]:
    pages = {
        "WALLET_ALLOWED_ORIGINS": settings.origins,
        "WALLET_PASSKEY_ORIGINS": settings.passkey_origins.split(","),
    }
    return [
        f"{name} must not name http:// pages: anybody on their way may have written them."
        for name, origins in pages.items()
        if any(origin.strip().lower().startswith("http:") for origin in origins)
    ]


def _databases(settings: Settings, *, serves: bool) -> list[str]:
    urls = {
        name: getattr(settings, name).get_secret_value()
        for name in ("database_url", "worker_database_url")
    }
    # A worker may have a login of its own only; both are looked at where both are given.
    if urls["worker_database_url"] and not serves and not urls["database_url"]:
        del urls["database_url"]
    if not urls["worker_database_url"]:
        del urls["worker_database_url"]
    return [fault for name, url in urls.items() if (fault := _database(name, url))]


def _database(name: str, url: str) -> str | None:
    parts = urlsplit(url)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    # Either place may name hosts, and the clients don't agree which of them counts.
    hosts = [host for host in (parts.hostname or "", *query.get("host", "").split(",")) if host]
    sockets = all(host.startswith("/") for host in hosts)
    if hosts and (sockets or query.get("sslmode") == "verify-full"):
        return None
    return (
        f"WALLET_{name.upper()} must say sslmode=verify-full, or name a Unix socket"
        " (?host=/directory)."
    )


def _valkey(url: str) -> list[str]:
    parts = urlsplit(url)
    if parts.scheme == "unix" and parts.path:
        return []
    if parts.scheme != "rediss" or not parts.hostname:
        return ["WALLET_REDIS_URL must begin with rediss:// (TLS) or unix:// (a Unix socket)."]
    query = parse_qs(parts.query)
    checks = set(query.get("ssl_cert_reqs", ())) <= {"required"}
    if not checks or not set(query.get("ssl_check_hostname", ())) <= {"true"}:
        return ["WALLET_REDIS_URL must not switch off the check of Valkey's certificate."]
    return []


def _gateway(settings: Settings, name: str, who: str) -> list[str]:
    parts = urlsplit(getattr(settings, name))
    if parts.scheme == "https" and parts.hostname:
        return []
    return [f"WALLET_{name.upper()} must be an https:// address: {who} gets personal data from us."]


def _authorities(path: str) -> list[str]:
    try:
        tls.verifying(path)
    except OSError as error:
        return [
            f"WALLET_TLS_AUTHORITIES can't be used ({type(error).__name__}): a readable PEM file"
            " of certificates."
        ]
    return []
