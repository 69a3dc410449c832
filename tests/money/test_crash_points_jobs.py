"""Crashes in the outbox, its relay, and what runs by the clock; and the same job again."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from arq.connections import ArqRedis

from domain.identity import Role, Status
from infra import database as db
from infra import queue, sms
from infra.queue import Job
from resolvers import notices
from services import people as services_people
from services.unit_of_work import unit_of_work
from tests import movement as town
from tests import people
from tests.infra import sandboxes
from tests.money.crashes import Case, Verbs, leaves
from workers import identity, jobs, ledger
from workers.relay import Relay

VERBS = Verbs()
_numbers = itertools.count(1)
_pools: list[ArqRedis] = []
_gateways: list[sandboxes.Server] = []


@pytest.fixture
async def valkey(servers) -> AsyncIterator[None]:
    pool = await queue.open_pool(servers.redis_url)
    await pool.flushall()
    _pools.append(pool)
    yield
    _pools.remove(pool)
    await pool.flushall()
    await pool.aclose()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[None]:
    with sandboxes.running("sms", tmp_path) as server:
        async with sms.HttpSms(url=server.url, secret=sandboxes.SECRET) as adapter:
            sms.use(adapter)
            _gateways.append(server)
            yield
            _gateways.remove(server)
            sms.use(None)


async def _applicant(superuser: asyncpg.Connection) -> tuple[int, int]:
    """Somebody who has just applied, and the outbox row that has it reviewed."""
    async with unit_of_work() as work:
        user_id = await services_people.create(
            work,
            role=Role.RESIDENT,
            status=Status.PENDING_REVIEW,
            name="李雷",
            phone=people.phone(),
            password_hash="-",
            language="zh-CN",
        )
        work.enqueue(Job.REVIEW_REGISTRATION, stream=f"user:{user_id}", user_id=user_id)
    row: Any = await superuser.fetchval(
        "select id from ledger.outbox where stream = $1", f"user:{user_id}"
    )
    return user_id, row


_APPLICANT = """
select status, version, (select count(*) from ledger.account where owner_id = u.id),
       (select array_agg(n.kind::text) from notice n where n.user_id = u.id),
       (select count(*) from ledger.outbox where stream = 'user:' || u.id)
  from users u where id = $1"""


@VERBS.covering("workers.identity.review_registration", "workers.outbox.Jobs._attempt")
async def reviewing_a_registration(superuser: asyncpg.Connection) -> Case:
    user_id, row = await _applicant(superuser)
    return Case(lambda: jobs.run([row]), leaves(superuser, _APPLICANT, user_id))


@VERBS.covering("workers.relay.Relay.once", "workers.outbox.Jobs._attempt")
async def relaying(superuser: asyncpg.Connection) -> Case:
    """From the outbox through arq to the job; what was claimed comes again after its lease."""
    [pool] = _pools
    user_id, _ = await _applicant(superuser)

    async def run() -> None:
        await people.pass_time(superuser, 60)
        await Relay(pool).once()
        handed = await pool.queued_jobs(queue_name=queue.QUEUE)
        await jobs.run([row for job in handed for row in job.args[0]])

    async def effect() -> object:
        await pool.flushall()
        return await leaves(superuser, _APPLICANT, user_id)()

    return Case(run, effect)


@VERBS.covering("workers.outbox.Jobs._attempt")
async def failing(superuser: asyncpg.Connection) -> Case:
    """A job that can't be done keeps its row, and says why."""
    row: Any = await superuser.fetchval(
        "insert into ledger.outbox(job, args, attempts) values ('no_such_job', '{}', 1)"
        " returning id"
    )

    async def effect() -> object:
        left = await leaves(
            superuser, "select error, attempts, dead from ledger.outbox where id = $1", row
        )()
        await superuser.execute("delete from ledger.outbox where id = $1", row)
        return left

    return Case(lambda: jobs.run([row]), effect)


@VERBS.covering("workers.identity.send_code")
async def sending_a_code(superuser: asyncpg.Connection) -> Case:
    [server] = _gateways
    number = people.phone()
    await people.ask_code(number, address=f"100.65.0.{next(_numbers)}")
    code_id = await superuser.fetchval(
        "select id from verification_code where phone_index = $1",
        services_people.phone_index(number),
    )

    async def run() -> None:
        await identity.send_code({"code_id": str(code_id), "language": "zh-CN"})

    async def effect() -> object:
        sent = server.ask("GET", f"/messages?to=%2B{number[1:]}").json()["messages"]
        question = "select code, sent_at is not null from verification_code where id = $1"
        return len(sent), await leaves(superuser, question, code_id)()

    return Case(run, effect)


@VERBS.covering("workers.identity.forget_identity")
async def forgetting_people(superuser: asyncpg.Connection) -> Case:
    key = f"place-{next(_numbers)}"
    await superuser.execute(
        "insert into login_throttle(key, updated_at) values ($1, now() - interval '300 days')", key
    )
    question = "select count(*) from login_throttle where key = $1"
    return Case(identity.forget_identity, leaves(superuser, question, key))


@VERBS.covering("workers.ledger.forget_proofs")
async def forgetting_proofs(superuser: asyncpg.Connection) -> Case:
    key = f"proof-{next(_numbers)}"
    await superuser.execute(
        "insert into ledger.proof(actor_id, operation, key, input_hash, method, expires_at)"
        " values (1, 20, $1, '', 'PIN', now() - interval '9 days')",
        key,
    )
    question = "select count(*) from ledger.proof where key = $1"
    return Case(ledger.forget_proofs, leaves(superuser, question, key))


@VERBS.covering("workers.ledger.ensure_partitions")
async def making_partitions(superuser: asyncpg.Connection) -> Case:
    newest = "select max(relid::text) from pg_partition_tree('ledger.posting') where isleaf"
    last = await superuser.fetchval(newest)
    await superuser.execute(f"drop table {last}")
    return Case(
        ledger.ensure_partitions,
        leaves(
            superuser,
            "select $1, count(*) from pg_partition_tree('ledger.posting') where isleaf",
            last,
        ),
    )


@VERBS.covering("resolvers.notices.mark_read")
async def reading_notices(superuser: asyncpg.Connection) -> Case:
    viewer = await town.resident(balance=100)
    rows = await superuser.fetch(
        "select id from ledger.outbox where $1 = any(accounts)", viewer.account_id
    )
    await jobs.run([row["id"] for row in rows])

    async def run() -> None:
        assert await notices.mark_read(viewer, up_to_sequence=1) == 0

    question = "select seq, read_at is not null from notice where user_id = $1"
    return Case(run, leaves(superuser, question, viewer.user_id))


@pytest.fixture
async def workers_town(database, counter) -> None:
    """The worker's own login: only it may do the ledger's housekeeping."""
    await db.close_database()
    await db.open_database(database.worker_url)


@pytest.mark.usefixtures("workers_town", "valkey", "gateway")
async def test_jobs_survive_a_crash_at_every_point(superuser) -> None:
    await VERBS.survive(superuser)
