"""What workers would do meanwhile: the jobs in the outbox, done here before the clock moves on."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any
from uuid import UUID

import msgspec

from domain.ledger import Outcome
from infra import bank
from infra.bank import PullStatus
from infra.queue import Job
from services import notices, outbox, refund_reviews, topups, wallets
from services.identity import codes, registration
from services.ledger import desk
from services.unit_of_work import snapshot, unit_of_work

_POLL_SECONDS = 0.15


class DemoFailed(Exception):
    """Something in the demo city went otherwise than planned."""


class Errands:
    """Does jobs. ``inbox`` holds the newest text per phone (E.164): these people's own phones."""

    def __init__(self) -> None:
        self.inbox: dict[str, str] = {}

    async def run(self) -> None:
        """Do all that waits, and what follows from it, until nothing waits."""
        while True:
            async with snapshot() as read:
                ids = [row["id"] for row in await read.fetch("select id from ledger.outbox")]
                rows = await outbox.load(read, ids)
            if not rows:
                return
            groups: defaultdict[str, list[Any]] = defaultdict(list)
            for row in rows:
                groups[row["job"]].append(row)
            for job, group in groups.items():
                await self._do(Job(job), group)
            async with unit_of_work() as work:
                await outbox.done(work, ids)

    async def _do(self, job: Job, rows: list[Any]) -> None:
        if job is Job.NOTIFY_POSTINGS:
            async with unit_of_work() as work:
                await notices.notify_postings(work, rows)
            return
        if job is Job.SEND_NOTICE:
            return  # what happened in the past rings no phone
        does = {
            Job.SEND_CODE: self._send_code,
            Job.REVIEW_REGISTRATION: _review_registration,
            Job.START_TOP_UP: _top_up,
            Job.REVIEW_REFUND: _review_refund,
        }[job]
        await asyncio.gather(*(does(msgspec.json.decode(row["args"])) for row in rows))

    async def _send_code(self, args: dict[str, Any]) -> None:
        code_id = UUID(args["code_id"])
        async with unit_of_work() as work:
            message = await codes.to_send(work, code_id, language=args["language"])
            await codes.forget(work, code_id, sent=True)
        if message is not None:
            self.inbox[message.to] = message.text


async def _review_registration(args: dict[str, Any]) -> None:
    async with unit_of_work() as work:
        await registration.review(work, args["user_id"])


async def _review_refund(args: dict[str, Any]) -> None:
    async with unit_of_work() as work:
        await refund_reviews.review(work, UUID(args["refund_id"]))


async def _top_up(args: dict[str, Any]) -> None:
    """Pull the money from the card at the bank, wait for its word, credit the wallet."""
    async with snapshot() as read:
        top_up = await topups.load(read, UUID(args["top_up_id"]))
        assert top_up is not None
        cards = await wallets.cards_by_ids(read, top_up.user_id, [top_up.card_id])
    state = await bank.current().pull(
        reference=str(top_up.id),
        card_token=wallets.token_of(cards[top_up.card_id]),
        amount_minor=top_up.amount_minor,
        currency=top_up.currency,
    )
    while state is None or state.status is PullStatus.PROCESSING:
        await asyncio.sleep(_POLL_SECONDS)
        state = await bank.current().pull_state(str(top_up.id))
    if state.status is not PullStatus.SUCCEEDED:
        raise DemoFailed(f"the bank refused a top-up: {state.failure_code}")
    receipt = await desk.post(topups.credit(top_up))
    if receipt.outcome is not Outcome.POSTED:
        raise DemoFailed(f"a top-up could not be credited: {receipt.outcome.name}")
    async with unit_of_work() as work:
        await topups.succeed(work, top_up, posted_at=receipt.at)
