"""The words of a case, sealed: why staff froze, why they unfroze, what the user answered."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from infra import encryption
from services.unit_of_work import Snapshot

REASON = "risk_case.reason"
DECISION_REASON = "risk_case.decision_reason"
APPEAL = "risk_case.appeal"


def seal(column: str, case_id: UUID, text: str | None) -> bytes | None:
    return None if text is None else encryption.encrypt(column, case_id, text)


def unseal(column: str, case_id: UUID, sealed: bytes | None) -> str | None:
    return None if sealed is None else encryption.decrypt(column, case_id, sealed)


async def reasons(
    read: Snapshot, case_ids: Sequence[UUID]
) -> dict[str, tuple[str | None, str | None]]:
    """What staff wrote when they froze and when they unfroze, by the case's id as text."""
    rows = await read.fetch(
        "select id, reason, decision_reason from risk_case where id = any($1::uuid[])", case_ids
    )
    return {
        str(row["id"]): (
            unseal(REASON, row["id"], row["reason"]),
            unseal(DECISION_REASON, row["id"], row["decision_reason"]),
        )
        for row in rows
    }
