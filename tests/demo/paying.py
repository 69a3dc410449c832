"""Second part: scan and pay, the same key twice, small payments, history, a lost connection."""

from __future__ import annotations

import time
from typing import Any

from tests.demo import documents
from tests.demo.joining import allow_small_payments
from tests.demo.stage import Person, Stage, Unexpected, key, money, ms_since

Payment = dict[str, Any]


async def scan(stage: Stage, payer: Person, qr: dict[str, str]) -> str:
    """The merchant behind a QR code; its id."""
    data = await payer.client.run(documents.RESOLVE_QR, payload=qr["qr"])
    found = data["resolveQr"]
    stage.expect("what the code leads to", found.get("merchant", {}).get("name"), qr["name"])
    stage.step(f"{payer.name} scans a QR code: {found['merchant']['name']}")
    return found["merchant"]["id"]


async def create(payer: Person, merchant_id: str, amount: str, *, the_key: str) -> Payment:
    """The result of createPayment."""
    return await payer.client.mutate(
        documents.CREATE_PAYMENT,
        merchantId=merchant_id,
        amount=money(amount),
        note="午餐",
        idempotencyKey=the_key,
    )


async def pay_by_pin(
    stage: Stage, payer: Person, shop: Person, merchant_id: str, amount: str
) -> Payment:
    """Open, confirm by PIN; payer and merchant both see it live and get a notice."""
    opened = stage.success(await create(payer, merchant_id, amount, the_key=key()))["payment"]
    stage.expect("the new payment", opened["state"], "AWAITING_CONFIRMATION")
    stage.step(f"createPayment {amount}: AWAITING_CONFIRMATION, for the PIN")
    steps = await payer.live.subscribe(documents.PAYMENT_EVENTS, paymentId=opened["id"])
    await payer.balance()  # a round trip, so that the subscription has begun
    started = time.perf_counter()
    confirmed = await payer.client.mutate(
        documents.CONFIRM_PAYMENT,
        paymentId=opened["id"],
        proof={"pin": payer.pin},
        idempotencyKey=key(),
    )
    payment = stage.success(confirmed)["payment"]
    stage.expect("the confirmed payment", payment["state"], "SUCCEEDED")
    event = await steps.next()
    stage.expect("the payer's live event", event.data["payment"]["state"], "SUCCEEDED")
    stage.step(
        f"confirmPayment by PIN: {payer.name} sees SUCCEEDED", live_ms=ms_since(started, event)
    )
    seen = await shop.transactions.until(lambda data: _is_of(data, opened["id"]))
    stage.expect("what the shop got", seen.data["transaction"]["amount"]["amount"], amount)
    stage.step(f"the shop sees +{amount}", live_ms=ms_since(started, seen))
    paid = await payer.notice("PAYMENT_SUCCEEDED")
    received = await shop.notice("PAYMENT_RECEIVED")
    stage.step(f"both get a notice: {paid['title']} / {received['title']}")
    stage.detail(paid["text"])
    stage.detail(received["text"])
    await payer.transactions.until(lambda data: _is_of(data, opened["id"]))
    return payment


def _is_of(data: Any, payment_id: str) -> bool:
    payment = data["transaction"]["payment"]
    return payment is not None and payment["id"] == payment_id


async def repeat(stage: Stage, payer: Person, merchant_id: str) -> None:
    """The same key again gives the same payment; with another input it is refused."""
    the_key = key()
    first = stage.success(await create(payer, merchant_id, "9.90", the_key=the_key))["payment"]
    again = stage.success(await create(payer, merchant_id, "9.90", the_key=the_key))["payment"]
    stage.expect("the repeated call's payment", again["id"], first["id"])
    stage.step("the same call with the same key: the same payment, not a second one")
    message = stage.refusal(
        await create(payer, merchant_id, "9.99", the_key=the_key), "IDEMPOTENCY_KEY_REUSED"
    )
    stage.step(f"the same key with another amount: IDEMPOTENCY_KEY_REUSED ({message})")
    cancelled = await payer.client.mutate(
        documents.CANCEL_PAYMENT, paymentId=first["id"], idempotencyKey=key()
    )
    state = stage.success(cancelled)["payment"]["state"]
    stage.expect("the cancelled payment", state, "CANCELLED")
    stage.step(f"{payer.name} gives that payment up: CANCELLED")


async def pay_without_pin(
    stage: Stage, payer: Person, shop: Person, merchant_id: str, amount: str
) -> Payment:
    """The allowance is off until it is switched on by PIN; then a small payment goes at once."""
    stage.success(await allow_small_payments(payer, pin=payer.pin))
    stage.step("small payments without PIN are switched on, by PIN: up to 50.00, ten a day")
    started = time.perf_counter()
    payment = await pay_at_once(stage, payer, merchant_id, amount)
    seen = await shop.transactions.until(lambda data: _is_of(data, payment["id"]))
    stage.step(
        f"createPayment {amount}: SUCCEEDED at once; the shop sees it",
        live_ms=ms_since(started, seen),
    )
    await payer.transactions.until(lambda data: _is_of(data, payment["id"]))
    await payer.notice("PAYMENT_SUCCEEDED")
    return payment


async def pay_at_once(stage: Stage, payer: Person, merchant_id: str, amount: str) -> Payment:
    payment = stage.success(await create(payer, merchant_id, amount, the_key=key()))["payment"]
    stage.expect("a payment within the allowance", payment["state"], "SUCCEEDED")
    return payment


async def methods(stage: Stage, payer: Person) -> None:
    """The usual way first, with the reason; what does not cover the amount says so."""
    for amount, covered in (("20.00", True), ("4000.00", False)):
        data = await payer.client.run(documents.PAYMENT_METHODS, amount=money(amount))
        ways = data["viewer"]["paymentMethods"]
        first = ways[0]
        stage.expect("the first way is recommended", first["recommended"], True)
        [balance] = [way for way in ways if way["kind"] == "BALANCE"]
        stage.expect(f"whether the balance covers {amount}", balance["usable"], covered)
        name = "balance" if first["kind"] == "BALANCE" else f"card ····{first['bankCard']['last4']}"
        stage.step(f"how to pay {amount}? {name}: {first['reasonText']} ({first['reason']})")


async def history(stage: Stage, payer: Person, before_transfer: str, balance_then: str) -> None:
    """All transactions newest first, page by page; a filter; the balance in the past."""
    nodes = await _all(payer, {})
    times = [node["at"] for node in nodes]
    stage.expect("newest first", times, sorted(times, reverse=True))
    total = sum(_signed_minor(node) for node in nodes)
    balance = await payer.balance()
    stage.expect("the transactions add up to the balance", f"{total / 100:.2f}", balance)
    stage.step(f"history: {len(nodes)} transactions in pages of 2 add up to the balance {balance}")
    out = await _all(payer, {"kinds": ["PAYMENT"], "direction": "OUT"})
    stage.expect("filtered kinds", {node["kind"] for node in out}, {"PAYMENT"})
    stage.step(f"filter by kind and direction: {len(out)} payments")
    data = await payer.client.run(documents.BALANCE_AT, at=before_transfer)
    then = data["viewer"]["wallet"]["balanceAt"]["amount"]
    stage.expect("the balance before the transfer", then, balance_then)
    stage.step(f"balanceAt a moment before the transfer: {then}")


def _signed_minor(node: dict[str, Any]) -> int:
    minor = round(float(node["amount"]["amount"]) * 100)
    return minor if node["direction"] == "IN" else -minor


async def _all(person: Person, narrow: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = None
    while True:
        data = await person.client.run(documents.HISTORY, first=2, after=after, filter=narrow)
        page = data["viewer"]["transactions"]
        found += [edge["node"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


async def lose_connection(stage: Stage, payer: Person, merchant_id: str) -> list[Payment]:
    """Payments go on while the socket is away; afterwards nothing is missing or doubled."""
    await payer.live.drop()
    stage.step(f"{payer.name}'s connection breaks; the payments go on")
    paid = [await pay_at_once(stage, payer, merchant_id, amount) for amount in ("7.00", "8.00")]
    await payer.follow_again()
    paid.append(await pay_at_once(stage, payer, merchant_id, "9.00"))
    seen = [await payer.transactions.next() for _ in paid]
    came = [event.data["transaction"]["payment"]["id"] for event in seen]
    stage.expect("the events after the break", came, [payment["id"] for payment in paid])
    told = [await payer.notices.next() for _ in paid]
    numbers = [event.data["sequence"] for event in told]
    first = numbers[0]
    stage.expect("the notices after the break", numbers, [first, first + 1, first + 2])
    # One that is doubled later is noticed by the next event that this watch takes.
    if not (payer.transactions.empty() and payer.notices.empty()):
        raise Unexpected("an event came that nobody caused")
    stage.step("connected again with `after`: 2 missed and 1 new event, none missing, none doubled")
    return paid
