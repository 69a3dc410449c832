"""Outside development nothing starts that would send or take anything in the clear."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from infra import children, settings, transit
from tests.certificates import Authority

KEYS = ("ENCRYPTION_KEYS", "INDEX_KEY", "PASSWORD_PEPPER", "CURSOR_KEY")
KEYS += ("AUDIT_KEY", "SMS_SECRET", "PUSH_SECRET", "MAIL_SECRET")
KEYS += ("BANK_SECRET", "BANK_CALLBACK_SECRET")
SECRETS = {f"WALLET_{name}": f"well-kept-{name}-0123456789-0123456789" for name in KEYS}
PRODUCTION = {"WALLET_ENVIRONMENT": "production"}
GOOD = {
    **PRODUCTION,
    "WALLET_PUBLIC_URL": "https://wallet.example",
    "WALLET_TRUSTED_PROXIES": "10.0.3.0/24",
    "WALLET_DATABASE_URL": "postgresql://a:well-kept@db.example/wallet?sslmode=verify-full",
    "WALLET_REDIS_URL": "rediss://:well-kept@valkey.example:6379/0",
    "WALLET_BANK_URL": "https://bank.example",
    "WALLET_SMS_URL": "https://sms.example",
    "WALLET_PUSH_URL": "https://push.example/v1",
    "WALLET_MAIL_URL": "https://mail.example",
    **SECRETS,
}
# What each setting may be instead, and the word of the sentence that then names it.
WRONG = {
    "WALLET_PUBLIC_URL": ("", "https:///nowhere", "http://wallet.example"),
    "WALLET_DATABASE_URL": (
        "",
        "postgresql://a:well-kept@db.example/wallet",
        "postgresql://a:well-kept@db.example/wallet?sslmode=require",
        "postgresql://a:well-kept@db.example/wallet?sslmode=verify-ca",
        "postgresql://a:well-kept@/wallet?host=db.example",
        "postgresql:///wallet?sslmode=verify-full",
        "postgresql://a:well-kept@db.example/wallet?host=/run/postgresql",
        "postgresql://a:well-kept@/wallet?host=/run/postgresql,db.example",
    ),
    "WALLET_REDIS_URL": (
        "",
        "redis://:well-kept@valkey.example:6379/0",
        "rediss://:well-kept@valkey.example:6379/0?ssl_cert_reqs=none",
        "rediss://:well-kept@valkey.example:6379/0?ssl_check_hostname=False",
        "rediss://:well-kept@valkey.example:6379/0?ssl_cert_reqs=none&ssl_cert_reqs=required",
        "rediss:///0",
    ),
    "WALLET_BANK_URL": ("", "http://bank.example", "bank.example"),
    "WALLET_SMS_URL": ("", "http://sms.example", "https:sms.example"),
    "WALLET_PUSH_URL": ("", "http://push.example"),
    "WALLET_MAIL_URL": ("", "http://mail.example"),
    "WALLET_ALLOWED_ORIGINS": ("http://app.example", "https://app.example http://m.example"),
    "WALLET_PASSKEY_ORIGINS": ("http://app.example", "android:apk-key-hash:x, http://m.example"),
    "WALLET_TLS_AUTHORITIES": ("/nowhere/authorities.pem",),
}
RIGHT = {
    "WALLET_ALLOWED_ORIGINS": ("https://app.example, https://m.example",),
    "WALLET_PASSKEY_ORIGINS": ("https://app.example, android:apk-key-hash:x",),
    "WALLET_DATABASE_URL": (
        "postgresql://a:well-kept@/wallet?host=/run/postgresql",
        "postgresql://a:well-kept@/wallet?host=db.example&sslmode=verify-full",
    ),
    "WALLET_REDIS_URL": (
        "unix://:well-kept@/run/valkey.sock?db=0",
        "rediss://:well-kept@v.example/0?ssl_check_hostname=true&ssl_cert_reqs=required",
    ),
}


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("WALLET_"):
            monkeypatch.delenv(name)


def read(monkeypatch: pytest.MonkeyPatch, given: dict[str, str]) -> settings.Settings:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return settings.Settings(_env_file=None)  # type: ignore[call-arg]


def faults(monkeypatch: pytest.MonkeyPatch, serves: bool = True, **changed: str) -> list[str]:
    return transit.faults(read(monkeypatch, GOOD | changed), serves=serves)


@pytest.mark.parametrize("serves", [True, False])
def test_a_whole_installation_has_no_fault(monkeypatch: pytest.MonkeyPatch, serves: bool) -> None:
    assert faults(monkeypatch, serves) == []


@pytest.mark.parametrize("serves", [True, False])
@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_each_hop_in_the_clear_is_one_sentence_that_names_its_setting_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, serves: bool, name: str, value: str
) -> None:
    [said] = faults(monkeypatch, serves, **{name: value})
    assert name in said
    assert said.endswith(".")
    assert "well-kept" not in said


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in RIGHT.items() for value in values]
)
def test_what_travels_by_checked_tls_or_a_unix_socket_is_good(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert faults(monkeypatch, **{name: value}) == []


@pytest.mark.parametrize("names", list(itertools.combinations(WRONG, 3)))
def test_several_faults_are_told_together(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    said = faults(monkeypatch, **{name: WRONG[name][-1] for name in names})
    assert len(said) == 3
    assert all(any(name in one for one in said) for name in names)


def test_the_worker_s_own_login_is_looked_at_and_may_be_its_only_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [said] = faults(monkeypatch, WALLET_WORKER_DATABASE_URL="postgresql://w@db.example/wallet")
    assert "WALLET_WORKER_DATABASE_URL" in said
    alone = {
        "WALLET_DATABASE_URL": "",
        "WALLET_WORKER_DATABASE_URL": GOOD["WALLET_DATABASE_URL"],
    }
    assert faults(monkeypatch, serves=False, **alone) == []
    assert len(faults(monkeypatch, serves=True, **alone)) == 1


def test_clients_are_reached_by_our_certificate_or_by_a_trusted_proxy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours = Authority(tmp_path).issue("wallet.example")
    other = Authority(tmp_path, "another").issue("wallet.example")
    both = {"WALLET_TLS_CERTIFICATE": ours.certificate, "WALLET_TLS_KEY": ours.key}
    no_proxy = {"WALLET_TRUSTED_PROXIES": ""}
    assert faults(monkeypatch, **both, **no_proxy) == []
    assert faults(monkeypatch, **both) == []
    wrong: list[dict[str, Any]] = [
        {**no_proxy, "WALLET_TLS_CERTIFICATE": "", "WALLET_TLS_KEY": ""},
        {"WALLET_TLS_CERTIFICATE": ours.certificate, "WALLET_TLS_KEY": ""},
        {"WALLET_TLS_CERTIFICATE": "", "WALLET_TLS_KEY": ours.key},
        {**both, "WALLET_TLS_KEY": other.key},
        {**both, "WALLET_TLS_KEY": "/nowhere"},
        {**both, "WALLET_TLS_CERTIFICATE": str(tmp_path)},
    ]
    for changed in wrong:
        [said] = faults(monkeypatch, **changed)
        assert "WALLET_TLS_" in said
        assert faults(monkeypatch, serves=False, **changed) == []


def test_development_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = read(monkeypatch, {"WALLET_ENVIRONMENT": "development"})
    assert transit.faults(made, serves=True) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WALLET_TRUSTED_PROXIES", "0.0.0.0/0"),
        ("WALLET_TRUSTED_PROXIES", "10.0.0.0/8 ::/0"),
        ("WALLET_TRUSTED_PROXIES", "10.0.0.1/24"),
        ("WALLET_TRUSTED_PROXIES", "proxy.example"),
        ("WALLET_ALLOWED_ORIGINS", "*"),
        ("WALLET_ALLOWED_ORIGINS", "https://app.example/"),
        ("WALLET_ALLOWED_ORIGINS", "null"),
    ],
)
def test_nobody_can_trust_everybody(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(ValidationError, match=name):
        read(monkeypatch, GOOD | {name: value})


# --- real processes ---------------------------------------------------------------------------

COMMANDS = {
    "API": ["-m", "transport.serve", "--port", "0"],
    "API with two processes": ["-m", "transport.serve", "--port", "0", "--workers", "2"],
    "API under a bare uvicorn": ["-m", "uvicorn", "asgi:app", "--port", "0"],
    "worker": ["-m", "arq", "workers.WorkerSettings"],
}


def started(command: list[str], given: dict[str, str]) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WALLET_")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=tempfile.gettempdir(),  # a developer's own .env is not ours
        env=kept | {"PYTHONPATH": str(children.CHECKOUT)} | PRODUCTION | given,
        capture_output=True,
        text=True,
        input="a password that is long enough\n",
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_process_that_may_not_start_says_all_at_once_and_fails(name: str) -> None:
    # Secrets only: every hop is missing.
    ended = started(COMMANDS[name], SECRETS)
    assert ended.returncode != 0
    said = [line for line in ended.stderr.splitlines() if line.startswith("  - ")]
    named = ["PUBLIC_URL", "DATABASE_URL", "REDIS_URL"]
    named += ["BANK_URL", "SMS_URL", "PUSH_URL", "MAIL_URL"]
    named += ["TRUSTED_PROXIES"] if "two" in name or name == "API" else []
    assert len(said) == len(named)
    for setting in named:
        assert any(f"WALLET_{setting}" in line for line in said), setting
    assert "Traceback" not in ended.stderr
    assert "well-kept" not in ended.stderr + ended.stdout


def test_a_bare_uvicorn_without_tls_towards_clients_is_refused() -> None:
    ended = started(COMMANDS["API under a bare uvicorn"], {**GOOD, "WALLET_TRUSTED_PROXIES": ""})
    assert ended.returncode != 0
    assert "WALLET_TLS_CERTIFICATE" in ended.stderr


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        (["-m", "infra.migrate"], "WALLET_MIGRATION_DATABASE_URL"),
        (["-m", "services.ledger.verification"], "WALLET_DATABASE_URL"),
        (
            ["-m", "services.identity.first_admin", "--phone", "13800000001", "--name", "Li Lei"],
            "WALLET_DATABASE_URL",
        ),
    ],
)
def test_a_command_that_opens_the_database_looks_at_its_way_there(
    command: list[str], setting: str
) -> None:
    ended = started(command, {**SECRETS, setting: "postgresql://a:well-kept@127.0.0.1:1/wallet"})
    assert ended.returncode == 1
    assert f"{setting} must say sslmode=verify-full" in ended.stderr
    assert "well-kept" not in ended.stderr
