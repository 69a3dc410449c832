"""The ledger's own housekeeping: it checks itself, and months are made before they begin."""

from __future__ import annotations

from datetime import timedelta

import structlog

from services.ledger import posting, verification
from services.unit_of_work import snapshot, unit_of_work

MONTHS_AHEAD = 24
PROOFS_KEPT = timedelta(days=1)
PROOFS_AT_ONCE_MAX = 10_000
_FAULTS_LOGGED_MAX = 50
log = structlog.get_logger()


async def verify_ledger() -> None:
    """Recompute everything; log each fault by code, account and entry. Freezes nothing."""
    async with snapshot(consistent=True) as read:
        report = await verification.verify(read)
    for fault in report.faults[:_FAULTS_LOGGED_MAX]:
        log.critical(
            "ledger_fault",
            code=fault.code,
            account_id=fault.account_id,
            entry_id=str(fault.entry_id) if fault.entry_id else None,
            sentence=fault.sentence,
        )
    for late in report.warnings:
        log.warning("ledger_late", code=late.code, sentence=late.sentence)
    log.info("ledger_verified", faults=len(report.faults), **_counts(report))


def _counts(report: verification.Report) -> dict[str, int]:
    return {name.replace(" ", "_"): count for name, count in report.counts.items()}


async def ensure_partitions() -> None:
    """Make the months of postings that are still missing."""
    async with unit_of_work() as work:
        made = await work.fetchval("select ledger.ensure_partitions($1)", MONTHS_AHEAD)
    if made:
        log.info("partitions_made", months=made)


async def forget_proofs() -> None:
    """Delete the proofs that nobody can use any more: one is made for every PIN that was right."""
    forgotten = PROOFS_AT_ONCE_MAX
    while forgotten == PROOFS_AT_ONCE_MAX:
        async with unit_of_work() as work:
            forgotten = await posting.forget_proofs(
                work, before=work.now - PROOFS_KEPT, limit=PROOFS_AT_ONCE_MAX
            )
