"""Functions that make what a test needs, through the same doors as the product."""

from __future__ import annotations

import itertools
from uuid import UUID

import asyncpg

from domain import ledger
from domain.ledger import Instruction, Operation, Receipt
from services.ledger import posting

_numbers = itertools.count(1)


def key(prefix: str = "k") -> str:
    """A key nobody has used in this run."""
    return f"{prefix}-{next(_numbers)}"


async def open_account(connection: asyncpg.Connection, owner_id: int, role: int = 1) -> int:
    return await connection.fetchval("select ledger.open_account_v1($1, $2, 'CNY')", owner_id, role)


async def send(connection: asyncpg.Connection, *instructions: Instruction) -> list[Receipt]:
    return await posting.send(connection, list(instructions))


def top_up(account_id: int, amount_minor: int, **options: object) -> Instruction:
    return ledger.instruct(
        actor_id=0,
        operation=Operation.TOP_UP,
        key=options.pop("key", None) or key("top-up"),
        legs=ledger.move(ledger.BANK_CLEARING_ID, account_id, amount_minor),
        **options,
    )


def create_payment(
    actor_id: int, payer_id: int, payee_id: int, amount_minor: int, **options: object
) -> Instruction:
    return ledger.instruct(
        actor_id=actor_id,
        operation=Operation.CREATE_PAYMENT,
        key=options.pop("key", None) or key("pay"),
        legs=ledger.move(payer_id, payee_id, amount_minor),
        **options,
    )


async def proven(connection: asyncpg.Connection, instruction: Instruction) -> Instruction:
    """The instruction with a fresh proof bound to it, as a checked PIN would leave it."""
    proof: UUID = await connection.fetchval(
        "insert into ledger.proof(actor_id, operation, key, input_hash, method, expires_at)"
        " values ($1, $2, $3, $4, 'PIN', ledger.now() + interval '2 minutes') returning id",
        instruction.actor_id,
        instruction.operation.value,
        instruction.key,
        instruction.input_hash,
    )
    return instruction_with(instruction, proof_id=proof)


def instruction_with(instruction: Instruction, **changes: object) -> Instruction:
    fields = {name: getattr(instruction, name) for name in Instruction.__slots__}
    return Instruction(**(fields | changes))


def allowance(actor_id: int, account_id: int, amount_max: int, daily_count_max: int) -> Instruction:
    return ledger.instruct(
        actor_id=actor_id,
        operation=Operation.SET_ALLOWANCE,
        key=key("allowance"),
        legs=ledger.touch(account_id),
        detail={"amount_max": amount_max, "daily_count_max": daily_count_max},
    )
