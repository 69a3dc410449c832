"""The bank adapter against the running bank, and the bank's callbacks against a real receiver."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra import bank, settings, signing
from tests.infra import sandboxes

AMOUNT_MINOR = 12_345


def card(prefix: str) -> str:
    """A card number with this prefix and a right Luhn digit."""
    stem = prefix + "000000001"
    doubled = [sum(divmod(int(digit) * 2, 10)) for digit in stem[-1::-2]]
    total = sum(doubled) + sum(int(digit) for digit in stem[-2::-2])
    return stem + str(-total % 10)


NORMAL_CARD = card("621700")
POOR_CARD = card("629901")
SLOW_CARD = card("629902")
DECLINED_CARD = card("629903")
UNKNOWN_CARD = card("629904")
STRANGERS_CARD = card("629905")


@pytest.fixture
async def receiver() -> AsyncIterator[sandboxes.Receiver]:
    made = sandboxes.Receiver()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made.url = f"http://127.0.0.1:{port}{sandboxes.CALLBACK_PATH}"
    yield made
    server.close()
    await server.wait_closed()


def options(receiver: sandboxes.Receiver) -> list[str]:
    return ["--callback-url", receiver.url, "--callback-secret", sandboxes.CALLBACK_SECRET]


@pytest.fixture
def server(tmp_path: Path, receiver: sandboxes.Receiver) -> Iterator[sandboxes.Server]:
    with sandboxes.running("bank", tmp_path, *options(receiver)) as started:
        started.behave(settle_ms=0)
        yield started


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sandboxes.Server]:
    """A bank shared by the tests that must leave no pull behind in it."""
    with sandboxes.running("bank", tmp_path_factory.mktemp("bank")) as started:
        yield started


@pytest.fixture
async def untouched_adapter(untouched: sandboxes.Server) -> AsyncIterator[bank.HttpBank]:
    async with client_of(untouched) as opened:
        yield opened


@pytest.fixture
async def adapter(server: sandboxes.Server) -> AsyncIterator[bank.HttpBank]:
    async with bank.HttpBank(url=server.url, secret=sandboxes.SECRET) as opened:
        yield opened


async def link(adapter: bank.HttpBank, number: str = NORMAL_CARD, reference: str = "card-1") -> str:
    linked = await adapter.link_card(
        number=number, holder_name="陈晓明", phone="+8613800138000", reference=reference
    )
    return linked.card_token


async def pull(adapter: bank.HttpBank, token: str, reference: str = "p1") -> bank.PullState:
    return await adapter.pull(
        reference=reference, card_token=token, amount_minor=AMOUNT_MINOR, currency="CNY"
    )


async def settled(adapter: bank.HttpBank, reference: str = "p1") -> bank.PullState:
    """The pull once it has ended."""
    async with asyncio.timeout(sandboxes.READY_SECONDS):
        while True:
            state = await adapter.pull_state(reference)
            if state is not None and state.status is not bank.PullStatus.PROCESSING:
                return state
            await asyncio.sleep(0.02)


def read(callback: sandboxes.Callback) -> bank.BankEvent:
    return bank.verify_callback(
        callback.headers,
        callback.body,
        path=callback.path,
        secret=sandboxes.CALLBACK_SECRET,
        now=datetime.now(UTC),
    )


@asynccontextmanager
async def client_of(server: sandboxes.Server) -> AsyncIterator[bank.HttpBank]:
    async with bank.HttpBank(url=server.url, secret=sandboxes.SECRET) as opened:
        yield opened


async def test_a_linked_card_is_known_by_token_bank_and_last_four(adapter):
    linked = await adapter.link_card(
        number=NORMAL_CARD, holder_name="陈晓明", phone="+8613800138000", reference="c"
    )
    again = await link(adapter, reference="c")

    assert linked.last4 == NORMAL_CARD[-4:]
    assert linked.bank_name
    assert NORMAL_CARD not in linked.card_token
    assert again == linked.card_token


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (NORMAL_CARD[:-1] + str((int(NORMAL_CARD[-1]) + 1) % 10), "CARD_NUMBER_INVALID"),
        ("６２１７００００００００００１８", "CARD_NUMBER_INVALID"),
        (UNKNOWN_CARD, "CARD_UNKNOWN"),
        ("4111111111111111", "CARD_UNKNOWN"),
        (STRANGERS_CARD, "HOLDER_MISMATCH"),
    ],
)
async def test_a_refused_card_is_named_by_code_and_nothing_else(untouched_adapter, number, code):
    with pytest.raises(bank.BankRefused) as caught:
        await link(untouched_adapter, number)

    assert caught.value.code == code
    assert number not in repr(caught.value)


async def test_a_card_reference_can_not_stand_for_another_card(adapter):
    await link(adapter, NORMAL_CARD, "c")

    with pytest.raises(bank.BankRefused, match="REFERENCE_REUSED"):
        await link(adapter, SLOW_CARD, "c")


async def test_a_pull_is_processing_then_succeeds_and_calls_back(adapter, receiver):
    state = await pull(adapter, await link(adapter))
    (callback,) = await receiver.take(1)
    event = read(callback)

    assert state.status is bank.PullStatus.PROCESSING
    assert callback.path == sandboxes.CALLBACK_PATH
    assert event.status is bank.PullStatus.SUCCEEDED
    assert (event.reference, event.pull_id) == ("p1", state.pull_id)
    assert (event.amount_minor, event.currency) == (AMOUNT_MINOR, "CNY")
    assert event.failure_code is None
    assert (await settled(adapter)).status is bank.PullStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("number", "code"), [(POOR_CARD, "INSUFFICIENT_FUNDS"), (DECLINED_CARD, "CARD_DECLINED")]
)
async def test_a_failing_card_fails_the_pull_with_its_code(adapter, receiver, number, code):
    await pull(adapter, await link(adapter, number))
    (callback,) = await receiver.take(1)

    assert (read(callback).status, read(callback).failure_code) == ("FAILED", code)
    assert (await settled(adapter)).failure_code == code


@pytest.mark.parametrize(
    ("told", "status"), [({}, "SUCCEEDED"), ({"failure_code": "CARD_CLOSED"}, "FAILED")]
)
async def test_a_slow_card_waits_until_the_bank_is_told(server, adapter, receiver, told, status):
    await pull(adapter, await link(adapter, SLOW_CARD), "slow")
    await pull(adapter, await link(adapter, NORMAL_CARD, "card-2"), "quick")
    (quick,) = await receiver.take(1)

    assert read(quick).reference == "quick"
    waiting = await adapter.pull_state("slow")
    assert waiting is not None
    assert waiting.status is bank.PullStatus.PROCESSING
    path = "/pulls/slow/settle"
    assert server.ask("POST", path, json=told).status_code == 200
    (slow,) = await receiver.take(1)
    assert (read(slow).status, read(slow).failure_code) == (status, told.get("failure_code"))
    assert server.ask("POST", path, json=told).status_code == 409


async def test_simultaneous_repeats_of_a_reference_make_one_pull(server, adapter):
    token = await link(adapter)

    states = await asyncio.gather(*(pull(adapter, token) for _ in range(20)))

    assert len({state.pull_id for state in states}) == 1
    await settled(adapter)
    statement = sandboxes.signed("GET", f"{server.url}/statement", b"").json()
    assert [entry["reference"] for entry in statement["pulls"]] == ["p1"]


async def test_a_reference_can_not_pull_another_amount(adapter):
    token = await link(adapter)
    await pull(adapter, token)

    with pytest.raises(bank.BankRefused, match="REFERENCE_REUSED"):
        await adapter.pull(reference="p1", card_token=token, amount_minor=1, currency="CNY")


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount_minor": 0},
        {"amount_minor": -5},
        {"amount_minor": 10**15},
        {"currency": "USD"},
        {"reference": "a/b"},
        {"card_token": "card_of_nobody"},
    ],
    ids=str,
)
async def test_an_impossible_pull_is_refused_and_unknown_afterwards(untouched_adapter, wrong):
    asked = {
        "reference": "p1",
        "card_token": await link(untouched_adapter),
        "amount_minor": AMOUNT_MINOR,
        "currency": "CNY",
    }

    with pytest.raises(bank.BankRefused):
        await untouched_adapter.pull(**(asked | wrong))
    assert await untouched_adapter.pull_state("p1") is None


async def test_an_unknown_reference_has_no_state(untouched_adapter):
    assert await untouched_adapter.pull_state("never-asked") is None


async def test_a_404_from_somewhere_else_is_not_an_unknown_pull(untouched):
    async with bank.HttpBank(url=f"{untouched.url}/wrong", secret=sandboxes.SECRET) as lost:
        with pytest.raises(bank.BankUnavailable, match="404"):
            await lost.pull_state("p1")


async def test_a_504_after_success_leaves_a_pull_that_the_repeat_finds(server, adapter, receiver):
    token = await link(adapter)
    server.behave(timeout_after_success_next=1)

    with pytest.raises(bank.BankUnavailable, match="504"):
        await pull(adapter, token)
    await settled(adapter)
    repeated = await pull(adapter, token)
    callbacks = await receiver.take(1)

    assert repeated.status is bank.PullStatus.SUCCEEDED
    assert repeated.pull_id == read(callbacks[0]).pull_id


async def test_a_failing_bank_did_nothing(server, adapter):
    token = await link(adapter)
    server.behave(fail_next=1)

    with pytest.raises(bank.BankUnavailable, match="503"):
        await pull(adapter, token)
    assert await adapter.pull_state("p1") is None


async def test_a_slow_bank_ends_at_the_timeout(server):
    server.behave(delay_ms=60_000)
    async with bank.HttpBank(
        url=server.url, secret=sandboxes.SECRET, timeout_seconds=0.2
    ) as hurried:
        with pytest.raises(bank.BankUnavailable, match="Timeout"):
            await hurried.pull_state("p1")


async def test_a_clock_running_wrong_is_an_outage_not_a_refusal(untouched):
    async with bank.HttpBank(
        url=untouched.url, secret=sandboxes.SECRET, clock=lambda: time.time() - 3600
    ) as late:
        with pytest.raises(bank.BankUnavailable, match="401"):
            await late.pull_state("p1")


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    "wrong",
    [{"secret": "other"}, {"age_seconds": 301}, {"signed_path": "/cards"}],
    ids=["secret", "stale", "path"],
)
def test_a_bad_signature_is_refused(untouched, method, wrong):
    path = "/pulls" if method == "POST" else "/statement?limit=5"

    answer = sandboxes.signed(method, untouched.url + path, b"", **wrong)

    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")


async def test_a_signature_does_not_cover_another_amount(untouched, untouched_adapter):
    asked = {"reference": "p1", "card_token": await link(untouched_adapter), "currency": "CNY"}
    true = json.dumps({**asked, "amount_minor": 1}).encode()
    headers = signing.headers(
        true, method="POST", path="/pulls", secret=sandboxes.SECRET, unix_seconds=time.time()
    )

    answer = untouched.ask(
        "POST",
        "/pulls",
        content=json.dumps({**asked, "amount_minor": 100}).encode(),
        headers=headers,
    )

    assert answer.status_code == 401
    assert await untouched_adapter.pull_state("p1") is None


async def test_duplicate_callbacks_repeat_the_event_id(server, adapter, receiver):
    server.behave(duplicate_callbacks=3)

    await pull(adapter, await link(adapter))
    events = [read(callback) for callback in await receiver.take(4)]

    assert len({event.event_id for event in events}) == 1


async def test_a_callback_is_repeated_until_it_is_heard(adapter, receiver):
    receiver.answers += [500, 302]

    await pull(adapter, await link(adapter))
    events = [read(callback) for callback in await receiver.take(3)]

    assert len({event.event_id for event in events}) == 1


async def test_a_callback_may_come_before_the_answer(server, adapter, receiver):
    token = await link(adapter)
    server.behave(callback_before_answer_next=1, settle_ms=60_000)

    state = await pull(adapter, token)

    assert receiver.inbox.qsize() == 1
    assert read(receiver.inbox.get_nowait()).status is bank.PullStatus.SUCCEEDED
    assert state.status is bank.PullStatus.PROCESSING


async def test_reordered_callbacks_come_last_one_first(server, adapter, receiver):
    token = await link(adapter)
    server.behave(reorder_callbacks_next=3)

    for number in (1, 2, 3):
        await pull(adapter, token, f"p{number}")
    events = [read(callback) for callback in await receiver.take(3)]

    assert [event.reference for event in events] == ["p3", "p2", "p1"]


async def test_a_contradicting_callback_follows_and_the_state_stays_true(server, adapter, receiver):
    server.behave(contradict_callbacks_next=1)

    await pull(adapter, await link(adapter))
    first, second = [read(callback) for callback in await receiver.take(2)]

    assert (first.status, second.status) == ("SUCCEEDED", "FAILED")
    assert first.event_id != second.event_id
    assert (await settled(adapter)).status is bank.PullStatus.SUCCEEDED


async def test_a_lost_callback_leaves_the_state_and_the_statement(server, adapter, receiver):
    token = await link(adapter)
    server.behave(lose_callbacks_next=1)

    await pull(adapter, token, "lost")
    await settled(adapter, "lost")
    await pull(adapter, token, "heard")
    (callback,) = await receiver.take(1)

    assert read(callback).reference == "heard"
    page = sandboxes.signed("GET", f"{server.url}/statement?limit=1", b"").json()
    rest = sandboxes.signed("GET", f"{server.url}/statement?after={page['next']}", b"").json()
    assert [entry["reference"] for entry in page["pulls"]] == ["lost"]
    assert [entry["reference"] for entry in rest["pulls"]] == ["heard"]
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    none = sandboxes.signed("GET", f"{server.url}/statement?from={later}", b"").json()
    assert none == {"pulls": [], "next": None}


async def test_a_killed_bank_keeps_pulls_and_the_callbacks_it_owes(tmp_path, receiver):
    receiver.usual = 503
    with sandboxes.running("bank", tmp_path, *options(receiver)) as first:
        first.behave(settle_ms=0, retry_max_ms=50)
        async with client_of(first) as adapter:
            token = await link(adapter)
            await pull(adapter, token, "owed")
            await pull(adapter, await link(adapter, SLOW_CARD, "card-2"), "slow")
            (unheard,) = await receiver.take(1)
        first.kill()
    with sandboxes.running("bank", tmp_path, *options(receiver)) as second:
        receiver.usual = 204
        async with client_of(second) as adapter:
            (heard,) = await receiver.take(1)
            while heard.answered != 204:
                (heard,) = await receiver.take(1)
            repeated = await pull(adapter, token, "owed")
            slow = await adapter.pull_state("slow")

            assert read(heard).event_id == read(unheard).event_id
            assert repeated.status is bank.PullStatus.SUCCEEDED
            assert slow is not None
            assert slow.status is bank.PullStatus.PROCESSING


async def test_a_seed_spoils_the_same_pulls_in_whichever_order_they_come(tmp_path, receiver):
    # Seed 11 lets five of these thirty time out; a seed may as well draw none.
    references = [f"p{number}" for number in range(30)]
    timed_out = [
        await pulls_that_time_out(tmp_path / "up", receiver, references),
        await pulls_that_time_out(tmp_path / "down", receiver, references[::-1]),
    ]

    assert timed_out[0] == timed_out[1]
    assert len(timed_out[0]) == 5


async def pulls_that_time_out(
    data: Path, receiver: sandboxes.Receiver, references: list[str]
) -> set[str]:
    found = set()
    with sandboxes.running("bank", data, *options(receiver), "--seed", "11") as server:
        async with client_of(server) as adapter:
            token = await link(adapter)
            for reference in references:
                try:
                    await pull(adapter, token, reference)
                except bank.BankUnavailable:
                    found.add(reference)
    return found


async def test_the_page_lists_pulls_without_card_numbers(server, adapter):
    await pull(adapter, await link(adapter))

    text = server.ask("GET", "/").text

    assert "p1" in text
    assert NORMAL_CARD not in text


async def test_a_pull_names_its_own_place_to_call(tmp_path, receiver):
    with sandboxes.running(
        "bank", tmp_path, "--callback-secret", sandboxes.CALLBACK_SECRET
    ) as server:
        named = settings.Settings(
            environment="development",
            bank_url=server.url,
            bank_secret=SecretStr(sandboxes.SECRET),
            public_url=receiver.url.removesuffix(sandboxes.CALLBACK_PATH),
        )
        async with bank.from_settings(named) as adapter:
            await pull(adapter, await link(adapter))
            (callback,) = await receiver.take(1)

    assert read(callback).reference == "p1"
