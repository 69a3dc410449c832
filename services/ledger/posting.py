"""Between instructions and ``ledger.post_v1``: arrays out, receipts back."""

from __future__ import annotations

from datetime import datetime
from itertools import accumulate

import asyncpg

from domain.ledger import Instruction, Outcome, Receipt
from services.unit_of_work import UnitOfWork

CALL = "select * from ledger.post_v1($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12)"
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}


def encode(instructions: list[Instruction]) -> tuple[list[object], ...]:
    """The twelve arrays of ``post_v1``. Columns without any value travel empty."""
    legs = [leg for instruction in instructions for leg in instruction.legs]
    return (
        [i.actor_id for i in instructions],
        [i.operation.value for i in instructions],
        [i.key for i in instructions],
        [i.input_hash for i in instructions],
        _sparse([i.subject_id for i in instructions]),
        _sparse([i.related_id for i in instructions]),
        _sparse([i.proof_id for i in instructions]),
        _sparse([i.memo for i in instructions]),
        _sparse([i.detail for i in instructions]),
        list(accumulate(len(i.legs) for i in instructions)),
        [leg.account_id for leg in legs],
        [leg.amount_minor for leg in legs],
    )


def _sparse(values: list[object]) -> list[object]:
    return values if any(value is not None for value in values) else []


async def send(connection: asyncpg.Connection, instructions: list[Instruction]) -> list[Receipt]:
    """One batch, one round trip. Outside a transaction it has committed when this returns."""
    row = await connection.fetchrow(CALL, *encode(instructions))
    assert row is not None
    return [
        Receipt(_OUTCOMES[outcome], entry, replayed, at, state)
        for outcome, entry, replayed, at, state in zip(*row, strict=True)
    ]


async def post(work: UnitOfWork, instruction: Instruction) -> Receipt:
    """A batch of one inside a unit of work: at most once, and last, because it locks accounts."""
    assert not work.posted, "a unit of work posts at most once"
    work.posted = True
    work.wake_relay()
    [receipt] = await send(work.connection, [instruction])
    work.announce_all(topics([instruction], [receipt]))
    return receipt


async def forget_proofs(work: UnitOfWork, *, before: datetime, limit: int) -> int:
    """Delete proofs that expired before then, of the oldest ``limit``; how many it were.

    A repeated call is answered by its key, so nobody asks for them again.
    """
    return await work.fetchval(
        "with gone as (delete from ledger.proof where expires_at < $1"
        " and id in (select id from ledger.proof order by id limit $2) returning 1)"
        " select count(*) from gone",
        before,
        limit,
    )


def topics(instructions: list[Instruction], receipts: list[Receipt]) -> list[str]:
    """Whom to wake: the accounts with a new posting and the payments with a new step."""
    found: dict[str, None] = {}
    for instruction, receipt in zip(instructions, receipts, strict=True):
        if receipt.outcome is not Outcome.POSTED or receipt.replayed:
            continue
        for leg in instruction.legs:
            found[f"account:{leg.account_id}"] = None
        if receipt.state is not None:
            found[f"payment:{instruction.subject_id or receipt.entry_id}"] = None
    return list(found)
