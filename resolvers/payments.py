"""Who may pay, confirm, cancel and watch a payment."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from domain import inputs, ledger, refusals
from domain import payments as rules
from domain.consents import Purpose
from domain.identity import Role
from domain.ledger import AccountStatus, Instruction, Operation, Outcome, Receipt
from domain.payments import Method, State
from domain.proofs import Given
from resolvers import live
from resolvers.live import Event, Gap
from resolvers.proofs import proven
from resolvers.viewer import SIGNED_IN, Viewer, access
from resolvers.wallets import RESIDENT, account_of
from services import consents, merchants, payments, wallets
from services.ledger import desk, reading
from services.ledger.reading import City
from services.merchants import Merchant
from services.payments import Payment
from services.unit_of_work import Snapshot, snapshot
from services.wallets import Card


@access(RESIDENT)
async def create_payment(
    viewer: Viewer, *, merchant_id: UUID, amount_minor: int, note: str | None, key: str
) -> Payment:
    """Pay at once under the no-PIN allowance, or open a payment that waits for its PIN.

    At most one read before the post (none for a merchant that is remembered) and none after it.
    """
    inputs.check_key(key)
    inputs.check_amount(amount_minor, "input", "amount", "amount")
    kept_note = inputs.short_text(note, "input", "note", length_max=rules.NOTE_LENGTH_MAX)
    merchant, city = await _merchant_and_city(viewer, merchant_id, key)
    instruction = payments.create(
        actor_id=viewer.user_id,
        payer_account_id=account_of(viewer),
        payee_account_id=merchant.account_id,
        amount_minor=amount_minor,
        note=kept_note,
        key=key,
    )
    receipt = await desk.post(instruction)
    ledger.check(receipt)
    if receipt.replayed:
        return await payment(viewer, _entry(receipt))
    return payments.opened(
        receipt,
        merchant=merchant,
        payer_account_id=account_of(viewer),
        amount_minor=amount_minor,
        open_for=city.payment_open,
    )


async def _merchant_and_city(viewer: Viewer, merchant_id: UUID, key: str) -> tuple[Merchant, City]:
    merchant, city = merchants.remembered(merchant_id), reading.remembered_city()
    if merchant is None or city is None:
        async with snapshot() as read:
            merchant = merchant or await merchants.by_id(read, merchant_id)
            city = await reading.city(read)
    if merchant is None or not (merchant.active or await _asked_before(viewer, key)):
        raise refusals.MerchantNotFound(path=("input", "merchantId"))
    return merchant, city


async def _asked_before(viewer: Viewer, key: str) -> bool:
    """Whether this repeats a call, which the ledger answers as it did then."""
    async with snapshot() as read:
        return await reading.asked_before(
            read, actor_id=viewer.user_id, operation=Operation.CREATE_PAYMENT, key=key
        )


def _entry(receipt: Receipt) -> UUID:
    assert receipt.entry_id is not None
    return receipt.entry_id


@access(RESIDENT)
async def confirm_payment(viewer: Viewer, *, payment_id: UUID, proof: Given, key: str) -> Payment:
    """Pay a payment of one's own that waits."""
    instruction = await confirmation(viewer, payment_id=payment_id, key=key)
    receipt = await desk.post(await proven(viewer, instruction, proof))
    return await _closed(viewer, payment_id, receipt)


@access(RESIDENT)
async def confirmation(viewer: Viewer, *, payment_id: UUID, key: str) -> Instruction:
    """What `confirm_payment` would post. Raises InvalidInput, NotFound."""
    inputs.check_key(key)
    waiting = await _own(viewer, payment_id)
    return payments.confirm(waiting, actor_id=viewer.user_id, key=key)


@access(RESIDENT)
async def cancel_payment(viewer: Viewer, *, payment_id: UUID, key: str) -> Payment:
    """Give up a payment of one's own that waits."""
    inputs.check_key(key)
    waiting = await _own(viewer, payment_id)
    receipt = await desk.post(payments.cancel(waiting, actor_id=viewer.user_id, key=key))
    return await _closed(viewer, payment_id, receipt)


async def _own(viewer: Viewer, payment_id: UUID) -> Payment:
    found = await payment(viewer, payment_id)
    if found.payer_id != viewer.account_id:
        raise refusals.NotFound(path=("input", "paymentId"))
    return found


async def _closed(viewer: Viewer, payment_id: UUID, receipt: Receipt) -> Payment:
    """The payment after it was confirmed or cancelled, or why it was not."""
    if receipt.outcome in (Outcome.POSTED, Outcome.WRONG_STATE):
        now = await payment(viewer, payment_id)
        if receipt.outcome is Outcome.POSTED:
            return now
        if now.state is State.EXPIRED:
            raise refusals.PaymentExpired
    ledger.check(receipt)
    raise AssertionError("check raises for every outcome but POSTED")


@access(SIGNED_IN)
async def payment(viewer: Viewer, payment_id: UUID) -> Payment:
    """A payment that the caller is payer or payee of. Raises NotFound."""
    found = (await by_ids(viewer, [payment_id])).get(payment_id)
    if found is None:
        raise refusals.NotFound
    return found


@access(SIGNED_IN)
async def by_ids(viewer: Viewer, ids: list[UUID]) -> dict[UUID, Payment]:
    """Those of the payments that the caller is payer or payee of."""
    if viewer.account_id is None:
        return {}
    async with snapshot() as read:
        return await payments.of_account(read, viewer.account_id, ids)


@access(SIGNED_IN)
async def payment_methods(viewer: Viewer, *, amount_minor: int) -> list[tuple[Method, Card | None]]:
    """The ways to pay this amount, the usual one first; none for who can't pay."""
    if viewer.account_id is None or viewer.role is not Role.RESIDENT:
        return []
    async with snapshot() as read:
        wallet = await wallets.wallet(read, viewer.account_id)
        cards = await wallets.cards(read, viewer.user_id)
        by_habit = await consents.permits(read, viewer.user_id, Purpose.PERSONALISATION)
        paid, top_ups = await payments.paid_and_topped_up(
            read, user_id=viewer.user_id, account_id=wallet.account_id
        )
    by_id = {card.id: card for card in cards}
    ways = rules.methods(
        amount_minor=amount_minor,
        available_minor=wallet.available_minor,
        frozen=wallet.status != AccountStatus.OPEN,
        cards=list(by_id),
        counts=rules.habits(paid, top_ups) if by_habit else None,
    )
    return [(way, by_id[way.card_id] if way.card_id is not None else None) for way in ways]


@access(SIGNED_IN)
async def payment_events(
    viewer: Viewer, *, payment_id: UUID, after: str | None
) -> AsyncGenerator[Event[Payment] | Gap]:
    """The steps of a payment, to its payer and its payee. Raises NotFound for everybody else."""
    await payment(viewer, payment_id)
    account_id = account_of(viewer)

    async def read_steps(
        read: Snapshot, place: live.Position
    ) -> list[tuple[live.Position, Payment]]:
        return await payments.events(read, account_id, payment_id, place)

    stream = live.follow(
        f"payment:{payment_id}",
        after,
        newest=lambda read: payments.newest(read, payment_id),
        read=read_steps,
    )
    async with aclosing(stream):
        async for event in stream:
            yield event
