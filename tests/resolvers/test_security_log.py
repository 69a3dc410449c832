"""What the security log says of acts and denials, and what it never says."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
import structlog

from domain import refusals
from domain.identity import ANONYMOUS
from domain.proofs import Pin
from resolvers import payments, refunds, security_log, sessions
from services import audit
from tests import movement as town
from tests import people as make
from tests.demo.device import DeviceKey

pytestmark = pytest.mark.usefixtures("counter")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The security log's lines of this test."""
    # A logger that has written once keeps the settings of that moment, which nothing can capture.
    monkeypatch.setattr(security_log, "_log", structlog.get_logger())
    with structlog.testing.capture_logs() as captured:
        yield captured


def security(lines: list[dict[str, Any]]) -> list[tuple[str, str, int | None]]:
    return [
        (line["act"], line["outcome"], line["user_id"])
        for line in lines
        if line["event"] == "security"
    ]


async def test_each_step_of_a_login_is_a_line_also_a_wrong_one(
    superuser: asyncpg.Connection, lines: list[dict[str, Any]]
) -> None:
    key, phone = DeviceKey(), make.phone()
    user_id = (await make.registered(superuser, phone, key=key)).viewer.user_id
    lines.clear()
    audit.came_from(address="203.0.113.9", request_id="r")
    with pytest.raises(refusals.WrongCredentials):
        await make.challenged(phone, password="a guess")
    await make.complete(await make.challenged(phone), key)

    assert security(lines) == [
        ("logins.login", "WRONG_CREDENTIALS", None),
        ("logins.login", "DONE", None),
        ("logins.complete_login", "DONE", user_id),
    ]
    origins = {line["origin"] for line in lines}
    assert len(origins) == 1
    assert len(origins.pop()) == 64
    said = repr(lines)
    assert phone.removeprefix("+86") not in said
    assert "203.0.113.9" not in said
    assert make.PASSWORD not in said


async def test_a_wrong_pin_is_one_line_wherever_it_was_typed(lines: list[dict[str, Any]]) -> None:
    payer = await town.resident(balance=10_000)
    _, shop = await town.shop()
    opened = await town.pay(payer, shop, 5_000)
    lines.clear()
    with pytest.raises(refusals.WrongPin):
        await payments.confirm_payment(
            payer, payment_id=opened.id, proof=Pin("918273"), key=town.key()
        )
    assert security(lines) == [("proofs.prove", "WRONG_PIN", payer.user_id)]
    assert "918273" not in repr(lines)


async def test_a_denial_is_a_line_and_money_that_moves_is_none(
    lines: list[dict[str, Any]],
) -> None:
    payer = await town.resident(balance=10_000, allowance=(10_000, 5))
    _, shop = await town.shop()
    lines.clear()
    await town.pay(payer, shop, 5_000)
    assert security(lines) == []

    with pytest.raises(refusals.NotPermitted):
        await refunds.refund_queue(payer, limit=1, after=None, before=None, backwards=False)
    with pytest.raises(refusals.NotSignedIn):
        await sessions.logout_everywhere(ANONYMOUS, except_this=False)
    assert security(lines) == [
        ("refunds.refund_queue", "FORBIDDEN", payer.user_id),
        ("sessions.logout_everywhere", "UNAUTHENTICATED", None),
    ]


def test_every_act_that_is_named_exists() -> None:
    for module, names in security_log.ACTS.items():
        rooms = importlib.import_module(f"resolvers.{module}")
        for name in names:
            assert hasattr(getattr(rooms, name), "access"), f"{module}.{name}"
