"""A crash between any two statements of a unit of work, and a retry: exactly one effect.

The cases are beside this file, by noun; here is what they have in common, and that none is missing.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from infra import database as db
from infra.queue import Job
from services.ledger import posting
from services.unit_of_work import unit_of_work
from tests import factories as make
from tests.money import (
    test_crash_points_identity,
    test_crash_points_jobs,
    test_crash_points_notices,
    test_crash_points_payments,
    test_crash_points_privacy,
    test_crash_points_proofs,
    test_crash_points_recovery,
    test_crash_points_refunds,
    test_crash_points_risk,
    test_crash_points_sessions,
    test_crash_points_staff,
    test_crash_points_topups,
    test_crash_points_vault,
)
from tests.money.crashes import ROOT, Case, Verbs, leaves

VERBS = Verbs()
_owners = itertools.count(5_000)
NOUNS = (
    test_crash_points_identity,
    test_crash_points_jobs,
    test_crash_points_notices,
    test_crash_points_payments,
    test_crash_points_proofs,
    test_crash_points_privacy,
    test_crash_points_recovery,
    test_crash_points_refunds,
    test_crash_points_risk,
    test_crash_points_sessions,
    test_crash_points_staff,
    test_crash_points_topups,
    test_crash_points_vault,
)
# Function → why it has no case of its own.
EXEMPT = {
    "resolvers.identity.right_password": "its one transaction takes a try back when the hashers"
    " are full; lost, the try stays counted, as it is after any crash of the call",
    "resolvers.password_resets._hashed": "the same",
}


@pytest.fixture
async def pool(database) -> AsyncIterator[None]:
    await db.open_database(database.worker_url, pool_size=2)
    yield
    await db.close_database()


@VERBS.covering()
async def posting_inside_a_unit_of_work(superuser: asyncpg.Connection) -> Case:
    """Money and a job in one unit of work: both or neither."""
    owner = next(_owners)
    account = await make.open_account(superuser, owner)
    top_up = make.top_up(account, 700)

    async def run() -> None:
        async with unit_of_work() as work:
            receipt = await posting.post(work, top_up)
            if not receipt.replayed:
                work.enqueue(Job.REVIEW_REFUND, stream=f"t:{account}", account=account)

    return Case(
        run,
        leaves(
            superuser,
            "select posted, seq, (select count(*) from ledger.outbox where stream = 't:' || a.id)"
            " from ledger.account a where id = $1",
            account,
        ),
    )


@pytest.mark.usefixtures("pool")
async def test_money_and_a_job_in_one_unit_of_work_survive_a_crash(superuser) -> None:
    await VERBS.survive(superuser)


def _opens(node: ast.AST) -> bool:
    """Whether this is a call of ``unit_of_work()`` or ``desk.post()``."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) in (
        "unit_of_work",
        "unit_of_work.unit_of_work",
        "desk.post",
    )


def _functions(node: ast.AST, name: str) -> Iterator[tuple[str, ast.AST]]:
    """Functions and methods below a node by their qualified names, not those inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name}.{child.name}", child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{name}.{child.name}")


def test_every_function_that_opens_a_unit_of_work_or_posts_has_a_case() -> None:
    writing = {
        name
        for room in ("resolvers", "workers")
        for path in (ROOT / room).glob("*.py")
        for name, function in _functions(
            ast.parse(path.read_text(encoding="utf-8")), f"{room}.{path.stem}"
        )
        if any(_opens(node) for node in ast.walk(function))
    }
    covered = {name for noun in NOUNS for _, names in noun.VERBS.cases for name in names}

    print(f"{len(writing)} functions write, {len(covered & writing)} have a case")
    assert writing - covered - EXEMPT.keys() == set()
    assert (covered | EXEMPT.keys()) - writing == set(), "these write no longer"
