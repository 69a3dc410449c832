"""Sealing the audit log, once a minute."""

from __future__ import annotations

import structlog

from services import audit_seals
from services.unit_of_work import unit_of_work

log = structlog.get_logger()


async def seal_audit() -> None:
    """Seal what was recorded since. The log keeps each seal outside the database, to compare."""
    while True:
        async with unit_of_work() as work:
            made = await audit_seals.seal(work)
        if made is None:
            return
        log.info("audit_sealed", seal=made.number, entries=made.count, hash=made.hash)
        if made.complete:
            return
