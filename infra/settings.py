"""Everything an installation can decide, read once from the environment (prefix ``WALLET_``)."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DEVELOPMENT_SECRET = "development-only-secret-do-not-use-elsewhere"  # noqa: S105 - says it
_DEVELOPMENT_KEY = base64.b64encode(DEVELOPMENT_SECRET[:32].encode()).decode()


class Settings(BaseSettings):
    """One attribute per key of ``.env.example``; secrets have a default in development only."""

    model_config = SettingsConfigDict(env_prefix="WALLET_", env_file=".env", extra="ignore")

    environment: Literal["development", "production"] = "production"
    database_url: SecretStr = SecretStr("")
    worker_database_url: SecretStr = SecretStr("")
    migration_database_url: SecretStr = SecretStr("")
    redis_url: SecretStr = SecretStr("")
    public_url: str = "http://127.0.0.1:8000"
    port: int = 8000
    log_level: str = "info"

    city_zone: str = "Asia/Shanghai"
    database_pool_size: int = Field(default=16, ge=2, le=200)
    lanes: int = Field(default=1, ge=1, le=4)
    lane_queue_max: int = Field(default=4096, ge=1)
    trusted_proxies: str = ""

    encryption_keys: SecretStr = SecretStr("")
    index_key: SecretStr = SecretStr("")
    password_pepper: SecretStr = SecretStr("")
    cursor_key: SecretStr = SecretStr("")
    password_cost: int = Field(default=12, ge=4, le=16)
    pin_cost: int = Field(default=6, ge=4, le=14)
    hasher_processes: int = Field(default=1, ge=1, le=16)
    access_token_seconds: int = Field(default=600, ge=60, le=3600)
    refresh_token_seconds: int = Field(default=30 * 86_400, ge=3600)

    sms_url: str = ""
    sms_secret: SecretStr = SecretStr("")
    bank_url: str = ""
    bank_secret: SecretStr = SecretStr("")
    bank_callback_secret: SecretStr = SecretStr("")

    code_hourly_max_per_phone: int = Field(default=5, ge=1)
    code_daily_max_per_phone: int = Field(default=10, ge=1)
    code_hourly_max_per_address: int = Field(default=30, ge=1)

    @model_validator(mode="after")
    def _fill_development_secrets(self) -> Settings:
        """Outside development a missing secret stops the process; inside, it gets a known value."""
        secrets = {
            "encryption_keys": f"1:{_DEVELOPMENT_KEY}",
            "index_key": DEVELOPMENT_SECRET,
            "password_pepper": DEVELOPMENT_SECRET,
            "cursor_key": DEVELOPMENT_SECRET,
            "sms_secret": DEVELOPMENT_SECRET,
            "bank_secret": DEVELOPMENT_SECRET,
            "bank_callback_secret": DEVELOPMENT_SECRET,
        }
        for name, value in secrets.items():
            if getattr(self, name).get_secret_value():
                continue
            if self.environment != "development":
                raise ValueError(f"WALLET_{name.upper()} must be set outside development")
            setattr(self, name, SecretStr(value))
        return self

    @property
    def development(self) -> bool:
        return self.environment == "development"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process."""
    return Settings()
