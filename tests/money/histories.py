"""Random histories by a seed, played one batch after another against the oracle."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta

import asyncpg

from domain.ledger import Instruction
from tests.money import checking, moves
from tests.money.oracle import PROVEN

WEIGHTS = {
    "top_up": 5, "pay": 12, "transfer": 4, "allow": 2, "confirm": 8, "cancel": 1, "expire": 1,
    "ask_refund": 5, "approve": 4, "reject": 1, "freeze": 0.4, "unfreeze": 1.2, "repeat": 5,
    "freeze_own": 0.4, "unfreeze_own": 1.2, "be_careful": 0.3, "close_account": 0.2,
}  # fmt: skip


def choose(world: moves.World, chance: random.Random) -> Instruction | None:
    """What somebody asks next; None where there is nothing to ask it of."""
    [kind] = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
    a, b, amount = chance.randrange(60), chance.randrange(60), chance.choice(moves.AMOUNTS)
    if kind in ("confirm", "ask_refund") and chance.random() < 0.7:
        a = 0
    return moves.KINDS[kind](world, a, b, amount)


async def in_turn(
    connection: asyncpg.Connection, chance: random.Random, *, batches: int
) -> Counter[str]:
    """Every answer is the oracle's, and so is the end; how often there was which outcome."""
    world = await moves.World(connection).settle()
    outcomes: Counter[str] = Counter()
    for _ in range(batches):
        batch = []
        for _ in range(chance.choice([1, 1, 2, 5, 12])):
            asked = choose(world, chance)
            if asked is not None and asked.operation in PROVEN and asked.proof_id is None:
                asked = await world.prove(asked) if chance.random() < 0.9 else asked
            batch += [asked] if asked is not None else []
        if batch:
            receipts = await world.send(batch)
            outcomes.update(receipt.outcome.name for receipt in receipts)
        if chance.random() < 0.15:
            minutes = chance.choice([1, 16, 200, 1440])
            await connection.execute(checking.CLOCK, timedelta(minutes=minutes))
    await checking.agree(world)
    return outcomes
