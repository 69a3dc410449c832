"""Holding a database against the oracle, and against its own verification."""

from __future__ import annotations

import asyncpg

from services.ledger import verification
from services.unit_of_work import Snapshot
from tests.money.moves import World
from tests.money.oracle import city_day

CLOCK = "update ledger.clock_offset set value = value + $1"


async def verified(connection: asyncpg.Connection) -> verification.Report:
    """The report on the connection's database, of one instant."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await verification.verify(Snapshot(connection))


async def agree(world: World) -> None:
    """Accounts, payments and refunds are what the oracle says; AssertionError names the first."""
    model, connection = world.model, world.connection
    now = await connection.fetchval("select ledger.now()")
    rows = await connection.fetch(
        "select * from ledger.account where id = any($1::bigint[])", list(model.accounts)
    )
    for row in rows:
        account, today = model.accounts[row["id"]], city_day(now)
        counted = row["limit_day"] == today
        kept = (row["posted"], row["seq"], row["status"], row["free_max"], row["free_count_max"])
        said = (account.posted, account.seq, account.status)
        assert kept == (*said, account.free_max, account.free_count_max), row["id"]
        out = (row["day_out"], row["day_free_count"]) if counted else (0, 0)
        assert out == ((account.out, account.free) if account.day == today else (0, 0)), row["id"]
    for row in await connection.fetch(
        "select * from ledger.payment where payer_id = any($1::bigint[])", world.residents
    ):
        payment = model.payments[row["id"]]
        assert (row["captured"], row["refund_reserved"], row["refunded"], row["step_states"]) == (
            payment.captured, payment.reserved, payment.refunded, payment.steps,
        ), row["id"]  # fmt: skip
    opened = await connection.fetch(
        "select id, state = 1 as open from ledger.refund where payer_id = any($1::bigint[])",
        world.residents,
    )
    assert dict(opened) == {key: refund.open for key, refund in model.refunds.items()}
