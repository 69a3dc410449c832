"""Secrets: needed outside development, not the known ones, and never in an error's text."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from infra import settings

NAMES = ("ENCRYPTION_KEYS", "INDEX_KEY", "PASSWORD_PEPPER", "CURSOR_KEY", "AUDIT_KEY")
NAMES += ("SMS_SECRET", "PUSH_SECRET", "MAIL_SECRET", "BANK_SECRET", "BANK_CALLBACK_SECRET")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A complete production environment of secrets that are told apart."""
    for name in NAMES:
        monkeypatch.setenv(f"WALLET_{name}", f"well-kept-{name}-0123456789-0123456789")
    monkeypatch.setenv("WALLET_ENVIRONMENT", "production")
    monkeypatch.setenv("WALLET_DATABASE_URL", "postgresql://wallet_api:well-kept-url@h/d")
    return monkeypatch


def read() -> settings.Settings:
    return settings.Settings(_env_file=None)  # type: ignore[call-arg]


def refusal() -> str:
    with pytest.raises(ValidationError) as caught:
        read()
    return str(caught.value)


def test_a_complete_environment_is_accepted(given: pytest.MonkeyPatch) -> None:
    assert not read().development


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_secret_is_named_and_the_others_are_not_printed(
    given: pytest.MonkeyPatch, name: str
) -> None:
    given.setenv(f"WALLET_{name}", "")
    said = refusal()
    assert f"WALLET_{name} must be set" in said
    assert "well-kept" not in said


def test_no_wrong_value_is_printed(given: pytest.MonkeyPatch) -> None:
    given.setenv("WALLET_PASSWORD_COST", "well-kept-in-the-wrong-place")
    assert "well-kept" not in refusal()


@pytest.mark.parametrize("name", NAMES)
def test_what_development_uses_is_refused_elsewhere(given: pytest.MonkeyPatch, name: str) -> None:
    given.setenv("WALLET_ENVIRONMENT", "development")
    given.setenv(f"WALLET_{name}", "")
    known = getattr(read(), name.lower()).get_secret_value()
    given.setenv("WALLET_ENVIRONMENT", "production")
    given.setenv(f"WALLET_{name}", known)
    assert f"WALLET_{name} is the one of development" in refusal()


def test_a_short_key_of_our_own_is_refused(given: pytest.MonkeyPatch) -> None:
    given.setenv("WALLET_INDEX_KEY", "k3y")
    said = refusal()
    assert "WALLET_INDEX_KEY needs 32 characters" in said
    assert "k3y" not in said


def test_the_metrics_may_stay_away_but_not_behind_a_weak_token(given: pytest.MonkeyPatch) -> None:
    assert not read().metrics_token.get_secret_value()
    given.setenv("WALLET_METRICS_TOKEN", "t0ken")
    said = refusal()
    assert "WALLET_METRICS_TOKEN needs 32 characters" in said
    assert "t0ken" not in said
    given.setenv("WALLET_METRICS_TOKEN", settings.DEVELOPMENT_SECRET)
    assert "WALLET_METRICS_TOKEN is the one of development" in refusal()
    given.setenv("WALLET_METRICS_TOKEN", "a token of thirty-two characters")
    assert read().metrics_token.get_secret_value() == "a token of thirty-two characters"


def test_each_pepper_of_the_ring_must_be_long(given: pytest.MonkeyPatch) -> None:
    given.setenv("WALLET_PASSWORD_PEPPER", f"{'a new one ' * 4},{'an old one ' * 4}")
    read()
    given.setenv("WALLET_PASSWORD_PEPPER", f"{'a new one ' * 4},short")
    said = refusal()
    assert "WALLET_PASSWORD_PEPPER needs 32 characters" in said
    assert "short" not in said
