"""Sending money to another resident."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import refusals
from domain.proofs import Pin
from domain.transfers import PREVIEWS_HOURLY_MAX, masked_name
from resolvers import transactions, transfers
from services import people as persons
from services import transfers as service
from services.ledger import desk
from tests import factories, people
from tests import movement as town

usefixtures = pytest.mark.usefixtures("counter")


def phone(viewer) -> str:
    return persons.phone_of(viewer)


async def send(payer, to: str, amount: int = 100, **options):
    return await transfers.create_transfer(
        payer,
        phone=to,
        amount_minor=amount,
        memo=options.get("memo"),
        proof=Pin(options.get("pin", town.PIN)),
        key=options.get("key") or town.key("transfer"),
    )


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("张三丰", "张*丰"),
        ("张三", "张*"),
        ("欧阳修远", "欧**远"),
        ("John Smith", "J*** S****"),
        ("X", "X*"),
        ("阿卜杜·热合曼", "阿** 热**"),
        ("", "*"),
    ],
)
def test_a_masked_name_shows_the_ends_only(name: str, masked: str) -> None:
    assert masked_name(name) == masked


@given(st.text(alphabet=st.characters(categories=("L", "Zs")), max_size=40))
def test_a_masked_name_never_shows_more_than_two_letters_of_a_word(name: str) -> None:
    for word in masked_name(name).split(" "):
        assert len(word.replace("*", "")) <= 2
        assert "*" in word


@usefixtures
async def test_money_arrives_with_its_words_and_masked_names() -> None:
    payer, payee = await town.resident("John Smith", balance=1_000), await town.resident("张三丰")

    preview = await transfers.recipient_preview(payer, phone=phone(payee).removeprefix("+86"))
    sent = await send(payer, phone(payee), 300, memo="午饭")
    [got] = await transactions.transactions(
        payee, transactions.Filter(), limit=5, after=None, before=None, backwards=False
    )
    names = await transactions.counterparties_of(payer, [payer.account_id, payee.account_id, 1])

    assert preview.masked_name == "张*丰"
    assert (sent.amount_minor, sent.balance_after_minor) == (-300, 700)
    assert (got.amount_minor, got.balance_after_minor) == (300, 300)
    assert await transactions.memos(payee, [got.entry_id]) == {got.entry_id: "午饭"}
    assert names[payer.account_id].name == "J*** S****"
    assert names[1].name is None


@usefixtures
async def test_a_retry_replays_and_another_input_is_refused() -> None:
    payer, payee = await town.resident(balance=1_000), await town.resident()

    first = await send(payer, phone(payee), 300, key="once")
    again = await send(payer, phone(payee), 300, key="once")

    assert again == first
    with pytest.raises(refusals.IdempotencyKeyReused):
        await send(payer, phone(payee), 301, key="once")
    assert await town.balance(payee.account_id) == 300


@usefixtures
async def test_unknown_inactive_and_own_numbers(superuser: asyncpg.Connection) -> None:
    payer, closed = await town.resident(balance=1_000), await town.resident()
    seller, _ = await town.shop()
    await superuser.execute("update users set status = 'CLOSED' where id = $1", closed.user_id)

    for number in (people.phone(), phone(closed), phone(seller)):
        with pytest.raises(refusals.RecipientNotFound):
            await transfers.recipient_preview(payer, phone=number)
        with pytest.raises(refusals.RecipientNotFound):
            await send(payer, number)
    with pytest.raises(refusals.SelfTransfer):
        await transfers.recipient_preview(payer, phone=phone(payer))
    with pytest.raises(refusals.InvalidInput):
        await transfers.recipient_preview(payer, phone="0755-12345678")

    assert await town.balance(payer.account_id) == 1_000


@usefixtures
async def test_reading_out_the_phone_book_is_stopped_for_the_hour(
    superuser: asyncpg.Connection,
) -> None:
    payer, payee = await town.resident(), await town.resident()
    answers = await asyncio.gather(
        *(transfers.recipient_preview(payer, phone=people.phone()) for _ in range(30)),
        return_exceptions=True,
    )

    unknown = sum(isinstance(one, refusals.RecipientNotFound) for one in answers)
    assert unknown == PREVIEWS_HOURLY_MAX
    with pytest.raises(refusals.RateLimited):
        await transfers.recipient_preview(payer, phone=phone(payee))
    await people.pass_time(superuser, 3_600)
    assert (await transfers.recipient_preview(payer, phone=phone(payee))).masked_name


@usefixtures
async def test_a_wrong_pin_sends_nothing() -> None:
    payer, payee = await town.resident(balance=1_000), await town.resident()
    with pytest.raises(refusals.WrongPin):
        await send(payer, phone(payee), pin="135790")
    assert await town.balance(payee.account_id) == 0


@usefixtures
async def test_a_thousand_crossing_transfers_keep_the_sum(
    worker: asyncpg.Connection, counter: desk.Desk, database
) -> None:
    """Through the lanes of two processes, so that batches meet in the database."""
    second = desk.Desk(database.api_url, lanes=2, queue_max=4096, relay=lambda: None)
    second.start()
    one, two = await town.resident(balance=100_000), await town.resident(balance=100_000)

    def cross(payer, payee, number: int):
        return service.instruct(
            actor_id=payer.user_id,
            payer_account_id=payer.account_id,
            payee_account_id=payee.account_id,
            amount_minor=number % 7 + 1,
            memo=None,
            key=f"cross-{number}",
        )

    wanted = [cross(*((one, two) if n % 2 else (two, one)), n) for n in range(1_000)]
    proven = [await factories.proven(worker, instruction) for instruction in wanted]
    desks = (counter, second)
    receipts = await asyncio.gather(
        *(desks[number // 2 % 2].post(instruction) for number, instruction in enumerate(proven))
    )
    await second.stop()

    assert {receipt.outcome.name for receipt in receipts} == {"POSTED"}
    total = await town.balance(one.account_id) + await town.balance(two.account_id)
    assert total == 200_000
    assert counter.lanes.batches > 1
    assert second.lanes.batches > 1
