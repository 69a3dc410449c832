"""Devices: enrolled with a key of their own, recognised by it, revoked for good."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from domain import refusals
from domain.devices import NewDevice, Platform
from infra import encryption
from services.unit_of_work import Snapshot, UnitOfWork

Key = tuple[datetime, UUID]
_NAME = "device.name"
# A session knows when it was used last; writing that down here as well would be a second lock.
_LIST = """
select d.id, d.name, d.platform, d.created_at, d.revoked_at,
       greatest(d.last_seen_at, seen.at) as last_seen_at
  from device d
  left join lateral (
    select max(coalesce(s.refreshed_at, s.created_at)) as at from session s
     where s.user_id = d.user_id and s.device_id = d.id) seen on true
 where d.user_id = $1"""
_PAGE = f"""{_LIST} and d.revoked_at is null
   and ($2::timestamptz is null or (d.created_at, d.id) < ($2, $3::uuid))
   and ($4::timestamptz is null or (d.created_at, d.id) > ($4, $5::uuid))
"""
_PAGE_FORWARDS = _PAGE + " order by d.created_at desc, d.id desc limit $6"
_PAGE_BACKWARDS = _PAGE + " order by d.created_at, d.id limit $6"


@dataclass(frozen=True, slots=True)
class Device:
    """A device as its owner sees it. ``revoked_at`` is None while it is good for anything."""

    id: UUID
    name: str = field(repr=False)
    platform: Platform
    created_at: datetime
    last_seen_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """``new`` is False if the user had enrolled this key before."""

    device: Device
    new: bool


async def enrol(work: UnitOfWork, user_id: int, given: NewDevice) -> Enrolled:
    """Make a key one of the user's devices; its row is locked until the unit of work commits.

    A key that is enrolled already stays the device that it is: whoever lost an answer asks again.
    Raises InvalidInput for a key that was revoked.
    """
    device_id = uuid.uuid4()
    made = await work.fetchrow(
        "insert into device(id, user_id, public_key, name, platform, created_at, last_seen_at)"
        " values ($1, $2, $3, $4, $5, $6, $6) on conflict (user_id, public_key) do nothing"
        " returning *",
        device_id,
        user_id,
        given.public_key,
        encryption.encrypt(_NAME, device_id, given.name),
        given.platform,
        work.now,
    )
    row = made or await work.fetchrow(
        "update device set last_seen_at = $3 where user_id = $1 and public_key = $2"
        " and revoked_at is null returning *",
        user_id,
        given.public_key,
        work.now,
    )
    if row is None:
        raise refusals.InvalidInput(
            path=("input", "device", "publicKey"),
            en="This key was revoked. Make a new one.",
            zh="此密钥已被移除，请生成新的密钥。",
        )
    return Enrolled(_opened(row), new=made is not None)


async def lock(work: UnitOfWork, *, user_id: int, device_id: UUID) -> bytes | None:
    """The public key of a device of the user that is not revoked, seen now; else None.

    Whoever revokes it meanwhile waits, and then finds the session that it has been given.
    """
    return await work.fetchval(
        "update device set last_seen_at = $3 where id = $2 and user_id = $1 and revoked_at is null"
        " returning public_key",
        user_id,
        device_id,
        work.now,
    )


async def revoke(work: UnitOfWork, *, user_id: int, device_id: UUID) -> bool:
    """Have a device count for nothing from now on; False if the user has none such.

    Its sessions are the caller's to end. Revoking it again changes nothing.
    """
    found = await work.fetchval(
        "update device set revoked_at = coalesce(revoked_at, $3) where id = $2 and user_id = $1"
        " returning id",
        user_id,
        device_id,
        work.now,
    )
    return found is not None


async def any_of(read: Snapshot, user_id: int) -> bool:
    """Whether the user has a device that is not revoked."""
    return await read.fetchval(
        "select exists (select from device where user_id = $1 and revoked_at is null)", user_id
    )


async def page(
    read: Snapshot,
    user_id: int,
    *,
    limit: int,
    after: Key | None = None,
    before: Key | None = None,
    backwards: bool = False,
) -> list[Device]:
    """The user's devices that are not revoked, strictly between two keys (created_at, id).

    Newest first; ``backwards`` reads from the end.
    """
    rows = await read.fetch(
        _PAGE_BACKWARDS if backwards else _PAGE_FORWARDS,
        user_id,
        *(after or (None, None)),
        *(before or (None, None)),
        limit,
    )
    return [_opened(row) for row in rows]


async def by_ids(read: Snapshot, user_id: int, device_ids: Sequence[UUID]) -> dict[UUID, Device]:
    """Those of the devices that are the user's, also revoked ones."""
    rows = await read.fetch(f"{_LIST} and d.id = any($2::uuid[])", user_id, device_ids)
    return {row["id"]: _opened(row) for row in rows}


def open_name(device_id: UUID, sealed: bytes) -> str:
    """What its owner calls a device."""
    return encryption.decrypt(_NAME, device_id, sealed)


def _opened(row: asyncpg.Record | Any) -> Device:
    return Device(
        id=row["id"],
        name=open_name(row["id"], row["name"]),
        platform=Platform(row["platform"]),
        created_at=row["created_at"],
        last_seen_at=row["last_seen_at"],
        revoked_at=row["revoked_at"],
    )
