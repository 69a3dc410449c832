"""What it costs to look postings up does not grow with all that their account ever did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from domain.ledger import Outcome
from services import refunds, risk_cases
from services.ledger import reading
from tests import factories as make

NOW = datetime.now(UTC)
LOOK_UPS = {
    "what a notice tells": (refunds._WITH_REFUNDS, lambda account: ([account], [NOW], [7])),
    "what a case follows": (risk_cases._ENTRIES, lambda account: ([account], [NOW])),
    "what a page shows": (reading._BY_KEYS, lambda account: (account, [NOW], [7])),
}


@pytest.mark.parametrize("look_up", LOOK_UPS)
@pytest.mark.parametrize("plans", ["force_generic_plan", "force_custom_plan"])
async def test_looking_postings_up_by_their_places_reads_nothing_else(
    superuser: asyncpg.Connection, worker: asyncpg.Connection, look_up: str, plans: str
) -> None:
    account = await make.open_account(worker, 11)
    for _ in range(4):
        receipts = await make.send(worker, *(make.top_up(account, 1) for _ in range(250)))
        assert {receipt.outcome for receipt in receipts} == {Outcome.POSTED}
    await superuser.execute(f"set plan_cache_mode = {plans}")
    sql, values = LOOK_UPS[look_up]

    rows = await superuser.fetch(f"explain (analyze, format json) {sql}", *values(account))
    [plan] = json.loads(rows[0][0])

    assert sum(map(_rows, _nodes(plan["Plan"]))) < 20, rows[0][0]


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _rows(node: dict[str, Any]) -> float:
    """How many rows a node read, those that its conditions threw away included."""
    away = sum(value for name, value in node.items() if name.startswith("Rows Removed"))
    return (node["Actual Rows"] + away) * node["Actual Loops"]
