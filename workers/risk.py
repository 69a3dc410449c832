"""The scan for anomalies: one scanner at a time, by a lease; what it left, the next does."""

from __future__ import annotations

import asyncio

import structlog

from domain.ledger import Outcome
from domain.risk import Suspicion
from services import risk, risk_cases
from services.ledger import desk
from services.risk import Lease, Slice
from services.unit_of_work import snapshot, unit_of_work

log = structlog.get_logger()


async def scan_anomalies() -> int:
    """Scan from the cursor to now and freeze what is suspicious; how many wallets it froze."""
    async with unit_of_work() as work:
        lease = await risk.claim(work)
    frozen = 0
    while lease is not None:
        async with snapshot() as read:
            part = await risk.next_slice(read, lease)
        frozen += await _scan(lease, part)
        async with unit_of_work() as work:
            lease = await risk.advance(work, lease, part)
        if part.complete:
            break
    return frozen


async def _scan(lease: Lease, part: Slice) -> int:
    async with snapshot() as read:
        batches = await risk.touched(read, part)
    frozen = 0
    for account_ids in batches:
        async with snapshot() as read:
            suspects = await risk.suspects(read, account_ids, part)
        frozen += sum(await asyncio.gather(*(_freeze(*one) for one in suspects)))
        async with unit_of_work() as work:
            if not await risk.renew(work, lease):
                break  # somebody else scans this by now
    return frozen


async def _freeze(account_id: int, suspicion: Suspicion) -> bool:
    """Freeze, then open the case. Whether this froze the wallet; if not, it was frozen already."""
    receipt = await desk.post(risk.freeze(account_id, suspicion))
    if receipt.outcome is not Outcome.POSTED:
        if receipt.outcome is not Outcome.WRONG_STATE:
            log.error("wallet_not_frozen", outcome=receipt.outcome.name, account_id=account_id)
        return False
    async with unit_of_work() as work:
        await risk_cases.follow(work, [(account_id, receipt.at)])
    return not receipt.replayed
