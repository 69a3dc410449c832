"""First part: two people register, protect their wallets, and put money in."""

from __future__ import annotations

import secrets
import time

from tests.demo import documents
from tests.demo.client import Client
from tests.demo.stage import (
    Person,
    Stage,
    Unexpected,
    card_number,
    code_from_sms,
    id_number,
    key,
    money,
    ms_since,
    new_phone,
)

PASSWORD = "Nanshan-harbour-7"
PIN = "738416"
CONSENTS = [{"purpose": "TERMS", "version": 1}, {"purpose": "PRIVACY", "version": 1}]


async def register(stage: Stage, name: str) -> Person:
    """Phone, code, name, password; then the review is watched live until it is over."""
    person = Person(stage, name=name, phone=new_phone(), password=PASSWORD, pin=PIN)
    person.id_number, person.email = id_number(), f"{secrets.token_hex(6)}@example.com"
    client = person.client
    asked = await client.mutate(documents.REQUEST_CODE, phone=person.phone, purpose="REGISTER")
    verification = stage.success(asked)["verification"]
    code, text = await code_from_sms(stage.world, person.phone)
    stage.step(f"{name} asks for a code for {person.phone}; the SMS gateway delivered it")
    stage.detail(text)
    result = person.arrived(
        await client.mutate(
            documents.REGISTER,
            name=name,
            phone=person.phone,
            verificationId=verification["id"],
            code=code,
            password=PASSWORD,
            device=person.device.input(),
            idNumber=person.id_number,
            email=person.email,
            consents=CONSENTS,
        )
    )
    started = time.perf_counter()
    stage.expect("the status right after registering", result["viewer"]["status"], "PENDING_REVIEW")
    await _watch_review(stage, person, started)
    await person.follow()
    return person


async def _watch_review(stage: Stage, person: Person, started: float) -> None:
    """The status as it changes; the review may already be over when the socket is open."""
    seen = ["PENDING_REVIEW"]
    async with person.client.live() as live:
        feed = await live.subscribe(documents.STATUS_EVENTS)
        event = await feed.next()
        while event.data["status"] == seen[0]:
            event = await feed.next()
    seen.append(event.data["status"])
    stage.expect("the review's outcome", seen[-1], "ACTIVE")
    live_ms = ms_since(started, event)
    level = (await person.client.run(documents.KYC_LEVEL))["viewer"]["kycLevel"]
    stage.expect("how well the city knows them", level, "IDENTITY")
    stage.step(f"{person.name} has registered: {' → '.join(seen)}, by ID number", live_ms=live_ms)


async def protect(stage: Stage, person: Person) -> None:
    """A payment PIN; a wrong one says how many tries are left."""
    await set_pin(stage, person)
    result = await allow_small_payments(person, pin="000001")
    message = stage.refusal(result, "WRONG_PIN")
    stage.expect("tries left after one wrong PIN", result["attemptsLeft"], 4)
    stage.step(f"a wrong PIN is refused: {message}")


async def set_pin(stage: Stage, person: Person) -> None:
    result = await person.client.mutate(documents.SET_PIN, password=PASSWORD, pin=person.pin)
    stage.expect("a PIN is set", stage.success(result)["viewer"]["hasPaymentPin"], True)
    stage.step(f"{person.name} sets a payment PIN")


async def allow_small_payments(person: Person, *, pin: str) -> dict[str, object]:
    """Up to 50.00 without PIN, ten times a day."""
    return await person.client.mutate(
        documents.SET_ALLOWANCE,
        amountMax=money("50.00"),
        dailyCountMax=10,
        proof={"pin": pin},
        idempotencyKey=key(),
    )


async def link_card(stage: Stage, client: Client, prefix: str) -> dict[str, str]:
    """The linked card."""
    result = await client.mutate(documents.LINK_CARD, number=card_number(prefix))
    return stage.success(result)["bankCard"]


async def top_up(stage: Stage, person: Person, amount: str) -> None:
    """500.00 from a card: the money arrives live, and a notice says so."""
    card = await link_card(stage, person.client, "622588")
    stage.step(f"{person.name} links a card of {card['bankName']}, ····{card['last4']}")
    started = time.perf_counter()
    result = await person.client.mutate(
        documents.TOP_UP, bankCardId=card["id"], amount=money(amount), idempotencyKey=key()
    )
    stage.expect("the top-up at first", stage.success(result)["topUp"]["state"], "PROCESSING")
    event = await person.transactions.next()
    came = event.data["transaction"]
    stage.expect("what arrived", (came["kind"], came["amount"]["amount"]), ("TOP_UP", amount))
    stage.expect("the balance", came["balanceAfter"]["amount"], amount)
    stage.step(
        f"tops up {amount}: PROCESSING → the bank says yes → balance {amount}",
        live_ms=ms_since(started, event),
    )
    stage.detail((await person.notice("TOP_UP_SUCCEEDED"))["text"])


async def top_up_in_vain(stage: Stage, person: Person) -> None:
    """A card without money: FAILED with the bank's reason, and nothing moved."""
    before = await person.balance()
    card = await link_card(stage, person.client, "629901")
    result = await person.client.mutate(
        documents.TOP_UP, bankCardId=card["id"], amount=money("300.00"), idempotencyKey=key()
    )
    stage.success(result)
    notice = await person.notice("TOP_UP_FAILED")
    data = await person.client.run(documents.TOP_UPS)
    [edge] = data["viewer"]["topUps"]["edges"]
    ended = (edge["node"]["state"], edge["node"]["failureCode"])
    stage.expect("the top-up", ended, ("FAILED", "INSUFFICIENT_FUNDS"))
    stage.expect("the balance", await person.balance(), before)
    stage.step(f"a card without money: {' '.join(ended)}; the balance stays {before}")
    stage.detail(notice["text"])


async def transfer(stage: Stage, sender: Person, receiver: Person, amount: str) -> None:
    """The masked name first, then the money; the other sees it live."""
    data = await sender.client.run(documents.RECIPIENT, phone=receiver.phone)
    shown = data["recipientPreview"]
    if shown["__typename"] != "RecipientPreview" or receiver.name in shown["maskedName"]:
        raise Unexpected(f"the recipient's name should be masked\n    came:     {shown}")
    stage.step(f"{sender.name} looks up {receiver.phone}: {shown['maskedName']}")
    started = time.perf_counter()
    result = await sender.client.mutate(
        documents.TRANSFER,
        phone=receiver.phone,
        amount=money(amount),
        memo="晚饭 AA",
        proof={"pin": sender.pin},
        idempotencyKey=key(),
    )
    stage.success(result)
    event = await receiver.transactions.next()
    came = event.data["transaction"]
    stage.expect(
        "what the receiver saw",
        (came["kind"], came["direction"], came["amount"]["amount"], came["memo"]),
        ("TRANSFER", "IN", amount, "晚饭 AA"),
    )
    stage.step(
        f"sends {amount} by PIN; {receiver.name} sees it: +{amount} “{came['memo']}”",
        live_ms=ms_since(started, event),
    )
    await sender.transactions.next()
    stage.detail((await receiver.notice("TRANSFER_RECEIVED"))["text"])
