"""``python -m services.ledger.verification``: recompute every derived figure, name every fault.

It reads one consistent snapshot, changes nothing and freezes nothing. Exit code 1 if it finds
anything, be it only late.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

from infra import database, transit
from infra.settings import get_settings
from services import audit_seals
from services.ledger import verification_checks as checks
from services.unit_of_work import Snapshot, snapshot

FINDINGS_MAX = 1000
_PREFETCH = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault. ``entry_id`` names the entry, payment, refund or audit entry it is about."""

    code: str
    account_id: int | None
    entry_id: UUID | None
    sentence: str

    @property
    def warning(self) -> bool:
        return self.code in checks.WARNINGS

    def __str__(self) -> str:
        account = "-" if self.account_id is None else self.account_id
        return f"{self.code} account={account} entry={self.entry_id or '-'}: {self.sentence}"


@dataclass(slots=True)
class Report:
    """``counts``: rows looked at, by name. ``truncated``: there are more findings than are kept.

    ``head`` is the audit log's newest seal, to be compared with the worker's log.
    """

    counts: dict[str, int] = field(default_factory=dict)
    checked: list[str] = field(default_factory=list)
    faults: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    truncated: bool = False
    head: audit_seals.Seal | None = None

    @property
    def ok(self) -> bool:
        return not self.faults


async def verify(read: Snapshot, *, findings_max: int = FINDINGS_MAX) -> Report:
    """Check all of one instant. ``read`` comes from ``snapshot(consistent=True)``.

    Of each check at most ``findings_max`` findings are kept; memory stays bounded.
    """
    if await read.fetchval("select current_setting('transaction_isolation')") != "repeatable read":
        raise ValueError("verify needs snapshot(consistent=True)")
    # Sorting a year of postings takes longer than a request may, and more than the default memory.
    await read.connection.execute("set local statement_timeout = 0")
    await read.connection.execute("set local work_mem = '64MB'")
    report = Report()
    for name, sql in checks.COUNTS.items():
        report.counts[name] = await read.fetchval(sql)
    for check in checks.CHECKS:
        report.checked.append(check.title)
        await _collect(report, _findings(read, check), findings_max)
    report.checked.append(audit_seals.TITLE)
    await _collect(report, _audit_findings(read), findings_max)
    report.head = await audit_seals.head(read)
    return report


async def _collect(report: Report, findings: AsyncIterator[Finding], findings_max: int) -> None:
    kept = 0
    async for finding in findings:
        if kept == findings_max:
            report.truncated = True
            return
        kept += 1
        (report.warnings if finding.warning else report.faults).append(finding)


async def _audit_findings(read: Snapshot) -> AsyncIterator[Finding]:
    async for fault in audit_seals.faults(read):
        assert fault.code in audit_seals.CODES
        yield Finding(fault.code, None, fault.entry_id, fault.sentence)


async def _findings(read: Snapshot, check: checks.Check) -> AsyncIterator[Finding]:
    async for row in read.connection.cursor(check.sql, prefetch=_PREFETCH):
        finding = Finding(*row)
        assert finding.code in check.codes
        yield finding


async def main() -> int:
    """Verify the database that the settings name; print what was checked; the exit code."""
    settings = get_settings()
    url = settings.database_url.get_secret_value()
    if not url:
        print("WALLET_DATABASE_URL is not set", file=sys.stderr)  # noqa: T201
        return 2
    transit.ensure_database(settings, "database_url")
    await database.open_database(url, pool_size=1)
    started = time.monotonic()
    try:
        async with snapshot(consistent=True) as read:
            report = await verify(read)
    finally:
        await database.close_database()
    for line in _lines(report, seconds=time.monotonic() - started):
        print(line)  # noqa: T201 - a command speaks to a person
    return 0 if report.ok and not report.warnings else 1


def _lines(report: Report, *, seconds: float) -> list[str]:
    lines = ["looked at " + ", ".join(f"{n:,} {name}" for name, n in report.counts.items())]
    lines += [f"  checked {title}" for title in report.checked]
    if report.head is not None:
        lines.append(f"  the audit log ends with seal {report.head.number} {report.head.hash}")
    lines += [str(finding) for finding in report.faults]
    lines += [f"late: {finding}" for finding in report.warnings]
    if report.truncated:
        lines.append("there are more of these; the rest is not shown")
    lines.append(f"verify: {len(report.faults)} faults, {seconds:.1f} s")
    return lines


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
