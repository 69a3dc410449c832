"""Shops: opened with a wallet of their own, found by id, by QR token, or by account."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg

from domain.ledger import AccountRole
from domain.merchants import NAME_LENGTH_MAX
from infra.remembered import Remembered
from services.unit_of_work import Snapshot, UnitOfWork

_COLUMNS = "id, user_id, account_id, name, category, qr_token, status"


@dataclass(frozen=True, slots=True)
class Merchant:
    """A shop as it is registered; name and category are public."""

    id: UUID
    user_id: int
    account_id: int
    name: str
    category: str
    qr_token: str
    active: bool


# A merchant's account never changes, and its status is checked by the ledger at every payment.
_known: Remembered[UUID, Merchant] = Remembered(seconds=30, size_max=10_000)


def remembered(merchant_id: UUID) -> Merchant | None:
    """The merchant if it was read within 30 seconds."""
    return _known.get(merchant_id)


async def by_id(read: Snapshot, merchant_id: UUID) -> Merchant | None:
    found = await _one(read, "id", merchant_id)
    if found is not None:
        _known.put(found.id, found)
    return found


async def by_token(read: Snapshot, qr_token: str) -> Merchant | None:
    return await _one(read, "qr_token", qr_token)


async def of_user(read: Snapshot, user_id: int) -> Merchant | None:
    return await _one(read, "user_id", user_id)


async def by_ids(read: Snapshot, merchant_ids: Sequence[UUID]) -> dict[UUID, Merchant]:
    rows = await read.fetch(
        f"select {_COLUMNS} from merchant where id = any($1::uuid[])",  # noqa: S608
        merchant_ids,
    )
    return {row["id"]: _merchant(row) for row in rows}


async def by_accounts(read: Snapshot, account_ids: Sequence[int]) -> dict[int, Merchant]:
    """The merchants behind ledger accounts, by account."""
    rows = await read.fetch(
        f"select {_COLUMNS} from merchant where account_id = any($1::bigint[])",  # noqa: S608
        account_ids,
    )
    return {row["account_id"]: _merchant(row) for row in rows}


async def open_shop(work: UnitOfWork, *, user_id: int, name: str, category: str) -> Merchant:
    """Open a user's shop with its wallet and its code; the shop they have already, if any.

    ``user_id`` must be of role MERCHANT.
    """
    assert 0 < len(name) <= NAME_LENGTH_MAX
    account_id = await work.fetchval(
        "select ledger.open_account_v1($1, $2, 'CNY')", user_id, AccountRole.MERCHANT.value
    )
    made = Merchant(
        uuid4(), user_id, account_id, name, category, secrets.token_urlsafe(18), active=True
    )
    opened = await work.fetchval(
        "insert into merchant(id, user_id, account_id, name, category, qr_token)"
        " values ($1, $2, $3, $4, $5, $6) on conflict (user_id) do nothing returning true",
        made.id,
        user_id,
        account_id,
        name,
        category,
        made.qr_token,
    )
    known = None if opened else await of_user(work, user_id)
    return known or made


async def _one(read: Snapshot, column: str, value: object) -> Merchant | None:
    row = await read.fetchrow(
        f"select {_COLUMNS} from merchant where {column} = $1",  # noqa: S608
        value,
    )
    return _merchant(row) if row is not None else None


def _merchant(row: asyncpg.Record) -> Merchant:
    *facts, status = row
    return Merchant(*facts, active=status == "ACTIVE")
