"""What staff did and looked at, written in the transaction of the deed."""

from __future__ import annotations

from typing import Any

import msgspec

from services.unit_of_work import UnitOfWork


async def record(
    work: UnitOfWork,
    *,
    actor_id: int,
    action: str,
    object: str,
    detail: dict[str, Any] | None = None,
) -> None:
    """Keep that an actor did something to an object (``"user:42"``).

    A read of personal data is recorded in a unit of work that commits before the data leaves.
    ``detail`` holds facts about the deed, never the personal data itself.
    """
    await work.execute(
        "insert into audit_entry(actor_id, action, object, detail, created_at)"
        " values ($1, $2, $3, $4::jsonb, $5)",
        actor_id,
        action,
        object,
        msgspec.json.encode(detail or {}).decode(),
        work.now,
    )
