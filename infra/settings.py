"""Everything an installation can decide, read once from the environment (prefix ``WALLET_``)."""

from __future__ import annotations

import base64
import ipaddress
from functools import cached_property, lru_cache
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DEVELOPMENT_SECRET = "development-only-secret-do-not-use-elsewhere"  # noqa: S105 - says it
SECRET_LENGTH_MIN = 32
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_OWN_SECRETS = frozenset(
    {
        "encryption_keys",
        "index_key",
        "password_pepper",
        "cursor_key",
        "audit_key",
        "metrics_token",
    }
)
_DEVELOPMENT_KEY = base64.b64encode(DEVELOPMENT_SECRET[:32].encode()).decode()


class Settings(BaseSettings):
    """One attribute per key of ``.env.example``; secrets have a default in development only."""

    # A validation error would print what it was given, and with it the secrets.
    model_config = SettingsConfigDict(
        env_prefix="WALLET_", env_file=".env", extra="ignore", hide_input_in_errors=True
    )

    environment: Literal["development", "production"] = "production"
    database_url: SecretStr = SecretStr("")
    worker_database_url: SecretStr = SecretStr("")
    migration_database_url: SecretStr = SecretStr("")
    redis_url: SecretStr = SecretStr("")
    public_url: str = "http://127.0.0.1:8000"
    port: int = 8000
    log_level: str = "info"
    demo_file: str = ""
    passkey_rp_id: str = ""
    passkey_origins: str = ""

    tls_certificate: str = ""
    tls_key: str = ""
    tls_authorities: str = ""
    trusted_proxies: str = ""
    allowed_origins: str = ""

    database_pool_size: int = Field(default=16, ge=2, le=200)
    lanes: int = Field(default=2, ge=1, le=4)
    lane_queue_max: int = Field(default=4096, ge=1)

    encryption_keys: SecretStr = SecretStr("")
    sealing_key: int = Field(default=0, ge=0, le=65535)
    master_keys: SecretStr = SecretStr("")
    index_key: SecretStr = SecretStr("")
    password_pepper: SecretStr = SecretStr("")
    cursor_key: SecretStr = SecretStr("")
    audit_key: SecretStr = SecretStr("")
    password_cost: int = Field(default=12, ge=4, le=16)
    pin_cost: int = Field(default=6, ge=4, le=14)
    hasher_processes: int = Field(default=1, ge=1, le=16)
    access_token_seconds: int = Field(default=600, ge=60, le=600)
    refresh_token_seconds: int = Field(default=30 * 86_400, ge=3600)
    session_seconds: int = Field(default=180 * 86_400, ge=3600)
    staff_session_seconds: int = Field(default=12 * 3600, ge=3600)

    accounts_max_per_person: int = Field(default=3, ge=1, le=50)
    recovery_delay_seconds: int = Field(default=43_200, ge=43_200, le=86_400)
    caution_seconds: int = Field(default=86_400, ge=1, le=604_800)
    caution_day_max_minor: int = Field(default=50_000, ge=0)

    sms_url: str = ""
    sms_secret: SecretStr = SecretStr("")
    push_url: str = ""
    push_secret: SecretStr = SecretStr("")
    mail_url: str = ""
    mail_secret: SecretStr = SecretStr("")
    bank_url: str = ""
    bank_secret: SecretStr = SecretStr("")
    bank_callback_secret: SecretStr = SecretStr("")

    metrics_token: SecretStr = SecretStr("")

    rate_address_per_minute: int = Field(default=6000, ge=1, le=6_000_000)
    rate_address_burst: int = Field(default=3000, ge=1, le=1_000_000)
    rate_user_per_minute: int = Field(default=600, ge=1, le=6_000_000)
    rate_user_burst: int = Field(default=120, ge=1, le=1_000_000)
    rate_costly_per_minute: int = Field(default=60, ge=1, le=6_000_000)
    rate_costly_burst: int = Field(default=60, ge=1, le=1_000_000)

    code_hourly_max_per_phone: int = Field(default=5, ge=1)
    code_daily_max_per_phone: int = Field(default=10, ge=1)
    code_hourly_max_per_address: int = Field(default=30, ge=1)
    code_hourly_max_total: int = Field(default=2_000, ge=1)
    code_daily_max_total: int = Field(default=20_000, ge=1)

    @model_validator(mode="after")
    def _fill_development_secrets(self) -> Settings:
        """Outside development a missing secret stops the process; inside, it gets a known value.

        The known value itself is no secret anywhere else, and a short key can be tried out.
        """
        secrets = {
            "encryption_keys": f"1:{_DEVELOPMENT_KEY}",
            "index_key": DEVELOPMENT_SECRET,
            "password_pepper": DEVELOPMENT_SECRET,
            "cursor_key": DEVELOPMENT_SECRET,
            "audit_key": DEVELOPMENT_SECRET,
            "sms_secret": DEVELOPMENT_SECRET,
            "push_secret": DEVELOPMENT_SECRET,
            "mail_secret": DEVELOPMENT_SECRET,
            "bank_secret": DEVELOPMENT_SECRET,
            "bank_callback_secret": DEVELOPMENT_SECRET,
        }
        for name, value in secrets.items():
            given = getattr(self, name).get_secret_value()
            if given:
                if self.environment != "development":
                    _ensure_secret(name, given, known=value)
                continue
            if self.environment != "development":
                raise ValueError(f"WALLET_{name.upper()} must be set outside development")
            setattr(self, name, SecretStr(value))
        token = self.metrics_token.get_secret_value()
        if token and self.environment != "development":
            _ensure_secret("metrics_token", token, known=DEVELOPMENT_SECRET)
        return self

    @model_validator(mode="after")
    def _read_lists(self) -> Settings:
        """Said at the start, not at the first request that would need them."""
        assert self.trusted_networks is not None
        assert self.origins is not None
        return self

    @cached_property
    def trusted_networks(self) -> tuple[Network, ...]:
        """The proxies that are believed. ValueError for what is no network, or is everybody."""
        return tuple(_network(word) for word in _words(self.trusted_proxies))

    @cached_property
    def origins(self) -> frozenset[str]:
        """The origins of web pages that may call us. ValueError for what is none."""
        return frozenset(_origin(word) for word in _words(self.allowed_origins))

    @property
    def development(self) -> bool:
        return self.environment == "development"


def _words(text: str) -> list[str]:
    return [word for word in text.replace(",", " ").split() if word]


def _network(word: str) -> Network:
    try:
        network = ipaddress.ip_network(word)
    except ValueError:
        raise ValueError(f"WALLET_TRUSTED_PROXIES: {word!r} is no address or network") from None
    if not network.prefixlen:
        raise ValueError(f"WALLET_TRUSTED_PROXIES: {word!r} is everybody, whom nobody may trust")
    return network


def _origin(word: str) -> str:
    parts = urlsplit(word)
    if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != word:
        raise ValueError(
            f"WALLET_ALLOWED_ORIGINS: {word!r} is no origin (https://host, nothing behind it)"
        )
    return word.lower()


def _ensure_secret(name: str, given: str, *, known: str) -> None:
    if known in given or DEVELOPMENT_SECRET in given:
        raise ValueError(f"WALLET_{name.upper()} is the one of development, which everybody knows")
    shortest = min(map(len, given.split(","))) if name == "password_pepper" else len(given)
    if name in _OWN_SECRETS and shortest < SECRET_LENGTH_MIN:
        raise ValueError(f"WALLET_{name.upper()} needs {SECRET_LENGTH_MIN} characters or more")


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process."""
    return Settings()
