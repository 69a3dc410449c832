"""Where money is posted: every instruction of this process goes through its lanes.

The transaction behind an answer is shared by strangers (group commit), so ``post`` refuses to be
called while a session is open: it would wait for a lock that only its own caller can release.
"""

from __future__ import annotations

from collections.abc import Callable

import asyncpg

from domain.ledger import Instruction, Receipt
from domain.refusals import Overloaded
from infra import database, hints
from infra.lanes import LaneFull, Lanes, OutcomeUnknown
from services.ledger import posting

_LANE_SETTINGS = {
    "application_name": "wallet lane",
    "lock_timeout": "200ms",
    "statement_timeout": "5s",
}


class Desk:
    """The lanes of one process. ``relay`` is called after every commit that left outbox rows."""

    def __init__(self, url: str, *, lanes: int, queue_max: int, relay: Callable[[], None]) -> None:
        self._url = url
        self._relay = relay
        self.lanes: Lanes[Instruction, Receipt] = Lanes(
            self._connect,
            posting.send,
            committed=self._committed,
            lanes=lanes,
            queue_max=queue_max,
        )

    def start(self) -> None:
        self.lanes.start()

    async def stop(self) -> None:
        await self.lanes.stop()

    async def post(self, instruction: Instruction) -> Receipt:
        """The kept outcome, after its commit. Raises Overloaded (retry with the same key)."""
        if database.in_session():
            raise RuntimeError("close the session before posting money")
        try:
            return await self.lanes.put(
                instruction, weight=len(instruction.legs), affinity=_credited(instruction)
            )
        except (LaneFull, OutcomeUnknown) as error:
            raise Overloaded from error

    async def _connect(self) -> asyncpg.Connection:
        return await database.connect(self._url, server_settings=_LANE_SETTINGS, timeout=5)

    def _committed(self, instructions: list[Instruction], receipts: list[Receipt]) -> None:
        hints.publish(posting.topics(instructions, receipts))
        self._relay()


def _credited(instruction: Instruction) -> int:
    """The account that many may be paying at once; payments to one merchant share a lane."""
    return max(instruction.legs, key=lambda leg: leg.amount_minor).account_id


_current: Desk | None = None


def use(desk: Desk | None) -> None:
    """Make a desk this process's own (the composition root and the worker do)."""
    global _current
    _current = desk


async def post(instruction: Instruction) -> Receipt:
    """Post through this process's desk."""
    assert _current is not None, "the desk is not open"
    return await _current.post(instruction)
