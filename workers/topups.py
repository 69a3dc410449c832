"""Top-ups beyond the API: asking the bank, and doing what its own word decides.

A callback never decides anything: it only has the bank asked. So forged, doubled, late and
contradicting callbacks are harmless, and a lost one costs time.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import structlog

from domain import topups as rules
from domain.ledger import Outcome
from domain.topups import State, Verdict, Word
from infra import bank
from infra.bank import PullState
from services import topups, wallets
from services.ledger import desk
from services.topups import TopUp
from services.unit_of_work import snapshot, unit_of_work

log = structlog.get_logger()


async def start_top_up(args: dict[str, Any]) -> None:
    """Ask the bank for the money. ``args``: ``top_up_id``. Raises BankUnavailable: run it again."""
    top_up = await _load(args)
    if top_up is not None and top_up.state is State.PROCESSING:
        await _ask(top_up)


async def settle_top_up(args: dict[str, Any]) -> None:
    """Do what the bank's own word on the pull decides. ``args``: ``top_up_id``.

    Raises BankUnavailable: run it again.
    """
    top_up = await _load(args)
    if top_up is None:
        return
    state = await bank.current().pull_state(str(top_up.id))
    if state is None and top_up.state is State.PROCESSING:
        await _ask(top_up)  # the first request never reached the bank
    else:
        await _settle(top_up, state)


async def poll_top_ups() -> None:
    """Have the bank asked about top-ups whose callback did not come; ever more seldom."""
    async with unit_of_work() as work:
        await topups.ask_overdue(work)


async def _load(args: dict[str, Any]) -> TopUp | None:
    async with snapshot() as read:
        return await topups.load(read, UUID(args["top_up_id"]))


async def _ask(top_up: TopUp) -> None:
    async with snapshot() as read:
        cards = await wallets.cards_by_ids(read, top_up.user_id, [top_up.card_id])
    try:
        state = await bank.current().pull(
            reference=str(top_up.id),
            card_token=wallets.token_of(cards[top_up.card_id]),
            amount_minor=top_up.amount_minor,
            currency=top_up.currency,
        )
    except bank.BankRefused as refused:
        if refused.code == "REFERENCE_REUSED":
            # The bank knows another pull by this name: whether money moved, a person must find out.
            log.error("top_up_needs_a_person", finding="REFERENCE_REUSED", top_up_id=str(top_up.id))
            return
        await _fail(top_up, refused.code)
    else:
        await _settle(top_up, state)


async def _settle(top_up: TopUp, state: PullState | None) -> None:
    word = state and Word(State(state.status.value), state.amount_minor, state.currency)
    verdict = rules.judge(
        state=top_up.state, amount_minor=top_up.amount_minor, currency=top_up.currency, word=word
    )
    if verdict is Verdict.CREDIT:
        await _credit(top_up)
    elif verdict is Verdict.FAIL:
        await _fail(top_up, (state and state.failure_code) or "DECLINED")
    elif verdict is Verdict.PERSON:
        log.error("top_up_needs_a_person", finding="BANK_DISAGREES", top_up_id=str(top_up.id))


async def _credit(top_up: TopUp) -> None:
    receipt = await desk.post(topups.credit(top_up))
    if receipt.outcome is not Outcome.POSTED:
        # The bank took the money and the wallet can't have it: nothing here may decide what next.
        log.error("top_up_needs_a_person", finding=receipt.outcome.name, top_up_id=str(top_up.id))
        return
    async with unit_of_work() as work:
        await topups.succeed(work, top_up, posted_at=receipt.at)


async def _fail(top_up: TopUp, failure_code: str) -> None:
    async with unit_of_work() as work:
        await topups.fail(work, top_up, failure_code=failure_code)
