"""SUITE=money: histories of the money core, one after another against an oracle, then all at once.

A round first plays a random history batch by batch and holds every answer against the oracle. Then
clients of three desks (one behind a proxy that loses answers) work at once on the same people while
backends are killed, Valkey is wiped and the clock moves. At the end: equal answers per key, money
conserved, the whole history replayed by the oracle in the database's own order, every movement told
to its owner once, and verification without a finding. In the end each call about money is
killed after every single statement and made again.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

import asyncpg
from redis.asyncio import Redis

from domain.ledger import Instruction, Operation, Outcome, Receipt
from domain.refusals import Overloaded
from infra import embedded
from services.ledger.desk import Desk
from tests.conftest import Database
from tests.money import checking, histories, moves
from tests.money.desks import open_desks
from tests.money.oracle import PROVEN, Payment, Refund
from tests.money.proxy import Proxy
from tests.prove import stage
from tests.prove.injuries import Surgeon
from tests.prove.telling import Teller

COUNTERS = (
    "operations", "batches against the oracle", "repeated keys replayed", "changed keys refused",
    "refusals by money, limit or state", "batches resent", "races for one state lost",
    "instructions replayed in the database's order", "freezes among payments", "notices told",
    "backends killed at any moment", "backends killed while executing",
    "answers lost after the server spoke", "Valkey wiped", "clock moved on",
)  # fmt: skip
CLIENTS, CALLS, BATCHES = 16, 45, 40
_NOUNS = "", "_jobs", "_payments", "_refunds", "_risk", "_topups"
CRASHES = tuple(f"tests/money/test_crash_points{noun}.py" for noun in _NOUNS)


def prove(*, duration_seconds: float, seed: int) -> int:
    played = stage.run(
        "money", play, counters=COUNTERS, duration_seconds=duration_seconds, seed=seed
    )
    crashed = stage.walk("money: a crash after every statement", CRASHES, CRASH_POINTS="every")
    return max(played, crashed)


async def play(servers: embedded.Servers, seed: int, counts: Counter[str]) -> None:
    """One round in a database of its own."""
    async with stage.fresh_database(servers) as database:
        connection = await asyncpg.connect(database.worker_url)
        try:
            outcomes = await histories.in_turn(
                connection, random.Random(f"{seed} in turn"), batches=BATCHES
            )
            counts["operations"] += outcomes.total()
            counts["batches against the oracle"] += BATCHES
            await at_once(servers, database, connection, seed, counts)
        finally:
            await connection.close()


class Crowd:
    """People at once: what they asked, what they were told."""

    def __init__(self, world: moves.World, desks: list[Desk], counts: Counter[str]) -> None:
        self.world = world
        self.desks = desks
        self.counts = counts
        self.told: defaultdict[tuple[int, int, str], list[tuple[Instruction, Receipt]]] = (
            defaultdict(list)
        )
        self._proving = asyncio.Lock()

    async def client(self, chance: random.Random) -> None:
        for _ in range(CALLS):
            asked = histories.choose(self.world, chance)
            if asked is None:
                continue
            if asked.operation in PROVEN and asked.proof_id is None and chance.random() < 0.9:
                async with self._proving:
                    asked = await self.world.prove(asked)
            desks = chance.sample(self.desks, 2 if chance.random() < 0.15 else 1)
            await asyncio.gather(*(self._call(desk, asked) for desk in desks))

    async def _call(self, desk: Desk, asked: Instruction) -> None:
        """Ask until there is an answer, always with the same key."""
        while True:
            try:
                receipt = await desk.post(asked)
                break
            except Overloaded:
                await asyncio.sleep(0.01)
        self.counts["operations"] += 1
        self.told[asked.actor_id, asked.operation.value, asked.key].append((asked, receipt))
        self.world.sent.append(asked)
        self._learn(asked, receipt)

    def _learn(self, asked: Instruction, receipt: Receipt) -> None:
        """Whoever asks next knows what there is to pay, to confirm and to refund."""
        self.counts["repeated keys replayed"] += receipt.replayed
        self.counts["changed keys refused"] += receipt.outcome is Outcome.KEY_REUSED
        refused = receipt.outcome in (
            Outcome.INSUFFICIENT_FUNDS, Outcome.DAILY_LIMIT_EXCEEDED, Outcome.ACCOUNT_FROZEN,
        )  # fmt: skip
        lost = receipt.outcome is Outcome.WRONG_STATE
        self.counts["races for one state lost"] += lost
        self.counts["refusals by money, limit or state"] += refused or lost
        if receipt.outcome is not Outcome.POSTED or receipt.replayed or receipt.entry_id is None:
            return
        if asked.operation is Operation.CREATE_PAYMENT:
            payer, payee = sorted(asked.legs, key=lambda leg: leg.amount_minor)
            self.world.model.payments[receipt.entry_id] = Payment(
                payer.account_id, payee.account_id, payee.amount_minor, 1, [], receipt.at
            )
        elif asked.operation is Operation.REQUEST_REFUND and asked.subject_id is not None:
            payment = self.world.model.payments[asked.subject_id]
            self.world.model.refunds[receipt.entry_id] = Refund(
                asked.subject_id, payment.amount, receipt.at
            )
        self.counts["freezes among payments"] += asked.operation is Operation.FREEZE


@asynccontextmanager
async def crowded(servers: embedded.Servers, database: Database, teller: Teller):
    """Three processes' worth of desks; the third hears through a proxy that loses answers."""
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(database.worker_url))
        desks = await stack.enter_async_context(
            open_desks(database.worker_url, database.worker_url, proxy.url, relay=teller.wake)
        )
        redis = Redis.from_url(servers.redis_url)
        stack.push_async_callback(redis.aclose)
        yield proxy, desks, redis


async def at_once(
    servers: embedded.Servers,
    database: Database,
    connection: asyncpg.Connection,
    seed: int,
    counts: Counter[str],
) -> None:
    world = await moves.World(connection).settle(residents=5, merchants=2)
    async with Teller(database.worker_url, servers.redis_url) as teller:
        async with crowded(servers, database, teller) as (proxy, desks, redis):
            crowd = Crowd(world, desks, counts)
            surgeon = Surgeon(
                database.superuser_url, proxy, redis, random.Random(f"{seed} injuries"), counts,
                world.residents[:2],
            )  # fmt: skip
            injuring = asyncio.create_task(surgeon.go())
            try:
                await asyncio.gather(
                    *(crowd.client(random.Random(f"{seed} {n}")) for n in range(CLIENTS))
                )
            finally:
                injuring.cancel()
                await asyncio.gather(injuring, return_exceptions=True)
                proxy.cut()
            counts["batches resent"] += sum(desk.lanes.resends for desk in desks)
        await teller.tell_all(connection)
    await judge(crowd, connection, counts)


async def judge(crowd: Crowd, connection: asyncpg.Connection, counts: Counter[str]) -> None:
    """All that must hold, whatever happened."""
    await equal_answers(crowd, connection)
    assert await connection.fetchval("select sum(posted) from ledger.account") == 0, "conservation"
    await replay(crowd, connection, counts)
    report = await checking.verified(connection)
    assert report.faults == [], [str(fault) for fault in report.faults[:5]]
    told, numbers = await connection.fetchrow(
        "select (select count(*) from notice), (select coalesce(sum(seq), 0) from notice_stream)"
    )
    assert told == numbers, "notices are numbered without a gap"
    counts["notices told"] += told


async def equal_answers(crowd: Crowd, connection: asyncpg.Connection) -> None:
    """One key, one outcome, one entry; what was said to be posted is there, once."""
    rows = await connection.fetch(
        "select actor_id, operation, key, id, outcome from ledger.instruction"
    )
    kept = {(row[0], row[1], row[2]): (row["id"], row["outcome"]) for row in rows}
    for key, answers in crowd.told.items():
        for asked, receipt in answers:
            if receipt.outcome is Outcome.KEY_REUSED:
                assert key in kept, key
            elif receipt.outcome not in (Outcome.NOT_FOUND, Outcome.NOT_PERMITTED):
                assert kept[key] == (receipt.entry_id, receipt.outcome.value), (key, asked)


async def replay(crowd: Crowd, connection: asyncpg.Connection, counts: Counter[str]) -> None:
    """The oracle repeats what was posted, in the order of the database, and comes out the same.

    Where two instructions touch one account, their times and ids are in the order of its numbers.
    """
    asked = {key: [i for i, r in answers if not r.outcome] for key, answers in crowd.told.items()}
    fresh = await _settled_again(crowd.world)
    rows = await connection.fetch(
        "select actor_id, operation, key, id, at from ledger.instruction where outcome = 0"
        " order by at, id"
    )
    for row in rows:
        instructions = asked.get((row["actor_id"], row["operation"], row["key"]))
        if not instructions:
            continue  # of the history that was played in turn
        receipt = Receipt(Outcome.POSTED, row["id"], False, row["at"], None)
        [answer] = fresh.model.batch(instructions[:1], [receipt])
        assert answer.outcome is Outcome.POSTED, (answer.outcome, instructions[0])
        counts["instructions replayed in the database's order"] += 1
    await checking.agree(fresh)


async def _settled_again(world: moves.World) -> moves.World:
    """The same people before anything was asked of them."""
    again = moves.World(world.connection)
    again.residents, again.merchants = world.residents, world.merchants
    again.model.accounts = {
        key: type(account)(
            account.owner, account.role, account.overdraw, account.posted, account.seq
        )
        for key, account in world.model.accounts.items()
    }
    again.model.policies = world.model.policies
    again.model.proofs = dict[UUID, object](world.model.proofs)
    return again
