"""The money core against the oracle: any history of batches, over midnights, with repeats."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from typing import ClassVar

import asyncpg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.ledger import Instruction, Outcome
from tests.money import checking, histories, moves
from tests.money.oracle import PROVEN

SMALL = st.integers(0, 59)


class Machine(RuleBasedStateMachine):
    """Each example has people of its own in one database; the clock only goes forward."""

    url: ClassVar[str]
    runner: ClassVar[asyncio.Runner]
    seen: ClassVar[Counter[str]] = Counter()

    @initialize(funds=st.lists(st.sampled_from(moves.AMOUNTS), min_size=3, max_size=3))
    def settle(self, funds: list[int]) -> None:
        self.waiting: list[Instruction] = []
        self.world = self.runner.run(self._settle())
        for number, amount in enumerate(funds):
            self._ask("top_up", number, 0, amount)

    async def _settle(self) -> moves.World:
        return await moves.World(await asyncpg.connect(self.url)).settle()

    def _ask(self, kind: str, a: int, b: int, amount: int) -> None:
        asked = moves.KINDS[kind](self.world, a, b, amount)
        if asked is None:
            return
        if asked.operation in PROVEN and asked.proof_id is None and b % 5:
            asked = self.runner.run(self.world.prove(asked))
        self.waiting.append(asked)

    @rule(
        kind=st.sampled_from(sorted(moves.KINDS)),
        a=SMALL,
        b=SMALL,
        amount=st.sampled_from(moves.AMOUNTS),
        now=st.booleans(),
    )
    def ask(self, kind: str, a: int, b: int, amount: int, now: bool) -> None:
        self._ask(kind, a, b, amount)
        if now:
            self.send()

    @rule(amount=st.sampled_from(moves.AMOUNTS), late=st.booleans(), back=st.booleans())
    def pay_the_long_way(self, amount: int, late: bool, back: bool) -> None:
        """Top up, open, confirm and ask back, which single rules meet in this order too seldom."""
        for kind in ("top_up", "pay", "confirm", "ask_refund")[: 4 if back else 3]:
            self._ask(kind, 0, 1, amount)
            self.send()
            if late and kind == "pay":
                self.wait(16)

    @precondition(lambda self: self.waiting)
    @rule()
    def send(self) -> None:
        if not self.waiting:
            return
        batch, self.waiting = self.waiting, []
        for receipt in self.runner.run(self.world.send(batch)):
            self.seen[Outcome(receipt.outcome).name] += 1
            self.seen["replayed"] += receipt.replayed

    @precondition(lambda self: not self.waiting)
    @rule(minutes=st.sampled_from([1, 3, 16, 200, 1440, 44_640]))
    def wait(self, minutes: int) -> None:
        if minutes == 44_640 and self.seen["months"] >= 12:
            minutes = 1440  # partitions reach two years ahead
        self.seen["months"] += minutes == 44_640
        self.runner.run(self.world.connection.execute(checking.CLOCK, timedelta(minutes=minutes)))

    @invariant()
    def agrees_with_the_oracle(self) -> None:
        if hasattr(self, "world") and not self.waiting:
            self.runner.run(checking.agree(self.world))

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.send()
                report = self.runner.run(checking.verified(self.world.connection))
                assert report.faults == []
            finally:
                self.runner.run(self.world.connection.close())


def test_any_history_ends_as_the_oracle_says_and_verifies(database) -> None:
    Machine.url = database.worker_url
    with asyncio.Runner() as runner:
        Machine.runner = runner
        case = Machine.TestCase
        case.settings = settings(
            max_examples=30,
            stateful_step_count=25,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        )
        case().runTest()
    print(dict(Machine.seen))
    assert Machine.seen["POSTED"] > 0


async def test_seeded_histories_meet_every_outcome_and_the_oracle_agrees(worker) -> None:
    outcomes = Counter[str]()
    for seed in range(15):
        outcomes += await histories.in_turn(worker, random.Random(seed), batches=60)

    assert (await checking.verified(worker)).faults == []
    print(dict(outcomes))
    unreachable = {"CURRENCY_MISMATCH"}
    assert set(outcomes) == {outcome.name for outcome in Outcome} - unreachable
