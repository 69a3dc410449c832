"""Writing copies of people's data, and deleting them again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import structlog

from infra.queue import Job
from services.exports import orders, writing
from services.unit_of_work import unit_of_work

log = structlog.get_logger()
PAGES_AT_ONCE_MAX = 200


async def export_data(args: dict[str, Any]) -> None:
    """Write a copy page by page. ``args``: ``export_id``. Others get their turn after 200 pages."""
    export_id = UUID(args["export_id"])
    for _ in range(PAGES_AT_ONCE_MAX):
        if not await _write_page(export_id):
            return
    async with unit_of_work() as work:
        work.enqueue(Job.EXPORT_DATA, export_id=str(export_id))


async def _write_page(export_id: UUID) -> bool:
    async with unit_of_work() as work:
        return await writing.write_page(work, export_id)


async def expire_exports() -> None:
    """Delete what can't be fetched any more."""
    async with unit_of_work() as work:
        expired = await orders.expire(work)
    if expired:
        log.info("exports_expired", count=expired)
