"""Top-ups against the running sandbox bank, which doubles, delays, loses and contradicts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec
import pytest
from pydantic import SecretStr

from domain import refusals
from domain.payments import MethodKind, Reason
from domain.topups import State
from infra import bank, settings
from resolvers import payments, topups, wallets
from services import outbox
from services import topups as service
from services.ledger import desk
from services.unit_of_work import snapshot, unit_of_work
from tests import movement as town
from tests import people
from tests.infra import sandboxes
from workers.topups import poll_top_ups, settle_top_up, start_top_up

pytestmark = pytest.mark.usefixtures("counter")
JOBS = {"start_top_up": start_top_up, "settle_top_up": settle_top_up}


def number(prefix: str) -> str:
    """A card number with this prefix and a right Luhn digit."""
    stem = prefix + "000000001"
    doubled = [sum(divmod(int(digit) * 2, 10)) for digit in stem[-1::-2]]
    return stem + str(-(sum(doubled) + sum(map(int, stem[-2::-2]))) % 10)


NORMAL, POOR, SLOW, UNKNOWN = map(number, ("621700", "629901", "629902", "629904"))


@pytest.fixture
async def receiver() -> AsyncIterator[sandboxes.Receiver]:
    made = sandboxes.Receiver()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{sandboxes.CALLBACK_PATH}"
    yield made
    server.close()
    await server.wait_closed()


@pytest.fixture
def server(tmp_path: Path, receiver: sandboxes.Receiver) -> Iterator[sandboxes.Server]:
    options = ["--callback-url", receiver.url, "--callback-secret", sandboxes.CALLBACK_SECRET]
    with sandboxes.running("bank", tmp_path, *options) as started:
        started.behave(settle_ms=0)
        yield started


@pytest.fixture(autouse=True)
async def city_bank(
    server: sandboxes.Server, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[bank.HttpBank]:
    secret = SecretStr(sandboxes.CALLBACK_SECRET)
    monkeypatch.setattr(settings.get_settings(), "bank_callback_secret", secret)
    async with bank.HttpBank(url=server.url, secret=sandboxes.SECRET) as opened:
        bank.use(opened)
        yield opened
        bank.use(None)


async def ask(viewer, card, amount=5_000, key=None):
    return await topups.create_top_up(
        viewer, card_id=card.id, amount_minor=amount, key=key or town.key("top-up")
    )


async def work_off(rounds: int = 4) -> list[str]:
    """Do what the outbox asks for, as the worker would; the errors that came up."""
    errors = []
    for _ in range(rounds):
        async with unit_of_work() as work:
            rows = await work.fetch(
                "select id, job, args from ledger.outbox where job = any($1) order by id",
                list(JOBS),
            )
        for row in rows:
            try:
                await JOBS[row["job"]](msgspec.json.decode(row["args"]))
            except bank.BankUnavailable as error:
                errors.append(type(error).__name__)
                continue
            async with unit_of_work() as work:
                await outbox.done(work, [row["id"]])
    return errors


async def deliver(callback: sandboxes.Callback) -> int:
    return await topups.bank_called(callback.headers, callback.body, callback.path)


async def state(viewer, top_up) -> State:
    return (await topups.by_ids(viewer, [top_up.id]))[top_up.id].state


async def test_a_card_is_linked_once_and_its_number_kept_nowhere(
    superuser: asyncpg.Connection,
) -> None:
    viewer, other = await town.resident(), await town.resident()
    spaced = f"{NORMAL[:4]} {NORMAL[4:]}"

    cards = [await wallets.link_bank_card(viewer, number=one) for one in (NORMAL, spaced)]
    await wallets.link_bank_card(other, number=NORMAL)
    row = await superuser.fetchrow("select * from bank_card where user_id = $1", viewer.user_id)

    assert cards[0] == cards[1] or cards[0].id == cards[1].id
    assert cards[0].last4 == NORMAL[-4:]
    assert NORMAL not in repr(dict(row))
    assert await superuser.fetchval("select count(*) from bank_card") == 2
    with pytest.raises(refusals.CardRefused):
        await wallets.link_bank_card(viewer, number=UNKNOWN)
    with pytest.raises(refusals.InvalidInput):
        await wallets.link_bank_card(viewer, number="六二一七")


async def test_an_unreachable_bank_is_a_retryable_no(server: sandboxes.Server) -> None:
    viewer = await town.resident()
    server.kill()
    with pytest.raises(refusals.BankUnavailable):
        await wallets.link_bank_card(viewer, number=NORMAL)


async def test_callbacks_doubled_forged_and_together_credit_once(
    server: sandboxes.Server, receiver: sandboxes.Receiver, superuser: asyncpg.Connection
) -> None:
    server.behave(duplicate_callbacks=3)
    viewer = await town.resident()
    asked = await ask(viewer, await wallets.link_bank_card(viewer, number=NORMAL))
    await work_off(1)
    callbacks = await receiver.take(4)

    forged = sandboxes.Callback(
        callbacks[0].path, {"content-type": "application/json"}, callbacks[0].body, 0
    )
    assert await deliver(forged) == 401
    assert await asyncio.gather(*(deliver(one) for one in callbacks)) == [204] * 4
    args = {"top_up_id": str(asked.id)}
    await asyncio.gather(*(settle_top_up(args) for _ in range(5)))
    await work_off()

    assert await state(viewer, asked) is State.SUCCEEDED
    assert await town.balance(viewer.account_id) == 5_000
    assert await superuser.fetchval("select count(*) from bank_event") == 1


async def test_a_contradicting_callback_decides_nothing(
    server: sandboxes.Server, receiver: sandboxes.Receiver
) -> None:
    server.behave(contradict_callbacks_next=1)
    viewer = await town.resident()
    asked = await ask(viewer, await wallets.link_bank_card(viewer, number=NORMAL))
    await work_off(1)
    for callback in await receiver.take(2):
        assert await deliver(callback) == 204
        await work_off()
        assert await town.balance(viewer.account_id) == 5_000

    assert await state(viewer, asked) is State.SUCCEEDED


async def test_a_callback_before_the_answer_and_a_lost_answer_are_survived(
    server: sandboxes.Server, receiver: sandboxes.Receiver
) -> None:
    server.behave(callback_before_answer_next=1, timeout_after_success_next=1)
    viewer = await town.resident()
    asked = await ask(viewer, await wallets.link_bank_card(viewer, number=NORMAL))

    errors = await work_off(1)
    [callback] = await receiver.take(1)
    assert await deliver(callback) == 204
    await work_off()

    assert errors == ["BankUnavailable"]
    assert await state(viewer, asked) is State.SUCCEEDED
    assert await town.balance(viewer.account_id) == 5_000


async def test_a_lost_callback_is_made_up_for_by_asking(
    server: sandboxes.Server, superuser: asyncpg.Connection
) -> None:
    server.behave(lose_callbacks_next=1)
    viewer = await town.resident()
    asked = await ask(viewer, await wallets.link_bank_card(viewer, number=NORMAL))
    await work_off(1)

    await poll_top_ups()
    assert await work_off() == []
    before = await state(viewer, asked)
    await people.pass_time(superuser, 61)
    await asyncio.gather(poll_top_ups(), poll_top_ups())
    await work_off()

    assert before is State.PROCESSING
    assert await state(viewer, asked) is State.SUCCEEDED
    assert await town.balance(viewer.account_id) == 5_000


async def test_a_request_that_never_reached_the_bank_is_made_later(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await town.resident()
    asked = await ask(viewer, await wallets.link_bank_card(viewer, number=NORMAL))
    await superuser.execute("delete from ledger.outbox where job = 'start_top_up'")
    await people.pass_time(superuser, 61)

    await poll_top_ups()
    await work_off()
    await settle_top_up({"top_up_id": str(asked.id)})

    assert await state(viewer, asked) is State.SUCCEEDED


async def test_a_crash_between_the_posting_and_the_row_is_made_good_without_a_second_credit() -> (
    None
):
    viewer = await town.resident()
    asked = await ask(viewer, await wallets.link_bank_card(viewer, number=NORMAL))
    await start_top_up({"top_up_id": str(asked.id)})
    posted = await desk.post(service.credit(asked))
    before = await state(viewer, asked)

    await settle_top_up({"top_up_id": str(asked.id)})
    found = (await topups.by_ids(viewer, [asked.id]))[asked.id]

    assert before is State.PROCESSING
    assert (found.state, found.finished_at) == (State.SUCCEEDED, posted.at)
    assert await town.balance(viewer.account_id) == 5_000


async def test_a_declined_pull_fails_moves_nothing_and_is_told_once(
    superuser: asyncpg.Connection, receiver: sandboxes.Receiver
) -> None:
    viewer = await town.resident()
    asked = await ask(viewer, await wallets.link_bank_card(viewer, number=POOR))
    await work_off(1)
    [callback] = await receiver.take(1)
    await deliver(callback)
    await work_off()
    await settle_top_up({"top_up_id": str(asked.id)})

    found = (await topups.by_ids(viewer, [asked.id]))[asked.id]
    assert (found.state, found.failure_code) == (State.FAILED, "INSUFFICIENT_FUNDS")
    assert await town.balance(viewer.account_id) == 0
    kinds = await superuser.fetch("select kind from notice where user_id = $1", viewer.user_id)
    assert [row["kind"] for row in kinds] == ["TOP_UP_FAILED"]


async def test_another_amount_at_the_bank_waits_for_a_person(
    city_bank: bank.HttpBank, superuser: asyncpg.Connection
) -> None:
    viewer = await town.resident()
    card = await wallets.link_bank_card(viewer, number=NORMAL)
    asked = await ask(viewer, card)
    async with snapshot() as read:
        token = wallets.wallets.token_of(
            (await wallets.wallets.cards_by_ids(read, viewer.user_id, [card.id]))[card.id]
        )
    await city_bank.pull(reference=str(asked.id), card_token=token, amount_minor=1, currency="CNY")

    await work_off()
    await settle_top_up({"top_up_id": str(asked.id)})

    assert await state(viewer, asked) is State.PROCESSING
    assert await town.balance(viewer.account_id) == 0


async def test_equal_requests_make_one_top_up_and_strangers_cards_are_not_found() -> None:
    viewer, other = await town.resident(), await town.resident()
    card = await wallets.link_bank_card(viewer, number=SLOW)

    answers = await asyncio.gather(*(ask(viewer, card, key="once") for _ in range(20)))

    assert len({one.id for one in answers}) == 1
    with pytest.raises(refusals.IdempotencyKeyReused):
        await ask(viewer, card, amount=5_001, key="once")
    with pytest.raises(refusals.NotFound):
        await ask(other, card)
    with pytest.raises(refusals.InvalidInput):
        await ask(viewer, card, amount=5_000_001)
    assert await topups.by_ids(other, [answers[0].id]) == {}


async def test_a_card_that_usually_tops_up_before_paying_is_recommended(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await town.resident(allowance=(20_000, 10))
    _, shop = await town.shop()
    card = await wallets.link_bank_card(viewer, number=NORMAL)
    for _ in range(2):
        asked = await ask(viewer, card, amount=500)
        await start_top_up({"top_up_id": str(asked.id)})
        await settle_top_up({"top_up_id": str(asked.id)})
        await town.pay(viewer, shop, 500)
        await people.pass_time(superuser, 3_600)

    first, second = await payments.payment_methods(viewer, amount_minor=700)

    assert (first[0].kind, first[0].recommended, first[0].reason) == (
        MethodKind.CARD,
        True,
        Reason.USUAL,
    )
    assert first[0].top_up_minor == 700
    assert first[1] is not None
    assert isinstance(first[1].id, UUID)
    assert second[0].kind is MethodKind.BALANCE


async def test_who_tops_up_and_did_not_have_to_still_usually_pays_from_the_balance() -> None:
    viewer = await town.resident(balance=10_000, allowance=(20_000, 10))
    _, shop = await town.shop()
    card = await wallets.link_bank_card(viewer, number=NORMAL)
    asked = await ask(viewer, card, amount=500)
    await start_top_up({"top_up_id": str(asked.id)})
    await settle_top_up({"top_up_id": str(asked.id)})
    await town.pay(viewer, shop, 500)

    ways = await payments.payment_methods(viewer, amount_minor=700)

    assert [(way.kind, way.reason) for way, _ in ways] == [
        (MethodKind.BALANCE, Reason.USUAL),
        (MethodKind.CARD, Reason.TOPS_UP_FIRST),
    ]
