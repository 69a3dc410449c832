"""A crash between any two statements of a unit of work, and a retry: exactly one effect."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
import pytest

from domain.identity import Role, Status
from infra import database as db
from infra.bank import BankEvent
from infra.queue import Job
from services import notices, outbox, people, topups
from services.identity import registration
from services.ledger import posting
from services.unit_of_work import snapshot, unit_of_work
from tests import factories as make
from tests.money import checking
from tests.money.crashes import Case, crash_points

_numbers = itertools.count(5_000)
MakeCase = Callable[[], Awaitable[Case]]


@pytest.fixture
async def pool(database) -> AsyncIterator[None]:
    await db.open_database(database.worker_url, pool_size=2)
    yield
    await db.close_database()


def a_post(worker: asyncpg.Connection) -> MakeCase:
    """Money and a job in one unit of work: both or neither."""

    async def case() -> Case:
        owner = next(_numbers)
        account = await make.open_account(worker, owner)
        top_up = make.top_up(account, 700)

        async def run() -> None:
            async with unit_of_work() as work:
                receipt = await posting.post(work, top_up)
                if not receipt.replayed:
                    work.enqueue(Job.REVIEW_REFUND, stream=f"t:{account}", account=account)

        async def effect() -> object:
            return (
                await worker.fetchval("select posted from ledger.account where id = $1", account),
                await worker.fetchval(
                    "select count(*) from ledger.outbox where stream = $1", f"t:{account}"
                ),
            )

        return Case(run, effect)

    return case


def a_telling(worker: asyncpg.Connection) -> MakeCase:
    """An outbox row becomes notices and is gone, as the worker does it: two units of work."""

    async def case() -> Case:
        owner = next(_numbers)
        account = await make.open_account(worker, owner)
        await make.send(worker, *(make.top_up(account, n) for n in (1, 2, 3)))
        row_id = await worker.fetchval(
            "select id from ledger.outbox where $1 = any(accounts)", account
        )

        async def run() -> None:
            async with snapshot() as read:
                rows = await outbox.load(read, [row_id])
            async with unit_of_work() as work:
                await notices.notify_postings(work, rows)
            async with unit_of_work() as work:
                await outbox.done(work, [row_id])

        async def effect() -> object:
            told = await worker.fetch("select seq from notice where user_id = $1 order by 1", owner)
            left = await worker.fetchval("select count(*) from ledger.outbox where id = $1", row_id)
            return [row["seq"] for row in told], left

        return Case(run, effect)

    return case


def a_registration_review(worker: asyncpg.Connection) -> MakeCase:
    """Approved, a wallet opened, a notice told."""

    async def case() -> Case:
        async with unit_of_work() as work:
            user_id = await people.create(
                work,
                role=Role.RESIDENT,
                status=Status.PENDING_REVIEW,
                name="李雷",
                phone=f"+86138{next(_numbers):08d}",
                password_hash="-",
                language="zh-CN",
            )

        async def run() -> None:
            async with unit_of_work() as work:
                await registration.review(work, user_id)

        async def effect() -> object:
            return tuple(
                (
                    await worker.fetchrow(
                        "select status, version,"
                        " (select count(*) from ledger.account where owner_id = $1),"
                        " (select count(*) from notice where user_id = $1)"
                        " from users where id = $1",
                        user_id,
                    )
                ).values()
            )

        return Case(run, effect)

    return case


def a_callback(worker: asyncpg.Connection) -> MakeCase:
    """The bank calls back: kept once, and the top-up settled by one job."""

    async def case() -> Case:
        number = next(_numbers)
        account = await make.open_account(worker, number)
        top_up = await worker.fetchval(
            "insert into top_up(id, user_id, account_id, card_id, amount, currency, key,"
            " input_hash, ask_at) values (gen_random_uuid(), $1, $2, gen_random_uuid(), 5, 'CNY',"
            " 'k', 'x', now()) returning id",
            number,
            account,
        )
        event = BankEvent(
            event_id=f"event-{number}",
            pull_id=f"pull-{number}",
            reference=str(top_up),
            status="SUCCEEDED",
            amount_minor=5,
            currency="CNY",
            occurred_at=datetime.now(UTC),
        )

        async def run() -> None:
            async with unit_of_work() as work:
                await topups.keep_event(work, event)

        async def effect() -> object:
            return (
                await worker.fetchval(
                    "select count(*) from bank_event where event_id = $1", event.event_id
                ),
                await worker.fetchval(
                    "select count(*) from ledger.outbox where stream = $1", f"topup:{top_up}"
                ),
            )

        return Case(run, effect)

    return case


VERBS = [a_post, a_telling, a_registration_review, a_callback]


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
async def test_a_crash_between_two_statements_leaves_one_effect(verb, worker, superuser) -> None:
    points = await crash_points(verb(worker), superuser)

    print(f"{verb.__name__}: killed after {points.killed} statements: {points.statements}")
    assert points.killed >= 4
    assert any(statement.startswith("COMMIT") for statement in points.statements)
    assert (await checking.verified(worker)).faults == []
