"""Where the story is played: who takes part, what is printed, and what stops it."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.authenticator import Authenticator
from tests.demo import documents
from tests.demo.client import Client, Ended, Event, Feed, GraphQLError, Live
from tests.demo.device import DeviceKey

_POLL_SECONDS = 0.1
_GREY, _BOLD, _PLAIN = "\033[90m", "\033[1m", "\033[0m"


class Unexpected(Exception):
    """An outcome other than promised."""


class Cut(Unexpected):
    """The server closed the socket, so that its client comes back with what has changed."""


@dataclass(frozen=True)
class World:
    """The addresses of a running stack, and the demo city's logins, devices and QR codes."""

    api_url: str
    sms_url: str
    logins: list[dict[str, str]]
    merchants: list[dict[str, str]]
    devices: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    passkeys: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)

    def device(self, phone: str) -> DeviceKey:
        """The key of the device that the demo city enrolled for somebody."""
        kept = self.devices[phone]
        return DeviceKey.from_pkcs8(kept["key"], id=kept["id"])

    def passkey(self, phone: str) -> Authenticator | None:
        """The passkey that the demo city gave to a member of staff."""
        kept = self.passkeys.get(phone)
        if kept is None:
            return None
        # Browsers know no passkeys of IP addresses: the loopback is called localhost.
        origin = self.api_url.replace("127.0.0.1", "localhost")
        return Authenticator.from_pkcs8(kept["key"], id=kept["id"], origin=origin)

    def login(self, role: str, number: int = 0) -> dict[str, str]:
        """The demo city's login number 0, 1, … of a role."""
        return [login for login in self.logins if login["role"] == role][number]


@dataclass
class Stage:
    """Prints steps as they happen; ``expect`` stops the story loudly."""

    world: World
    say: Callable[[str], None]
    colour: bool = False
    steps: int = field(default=0, init=False)

    def chapter(self, title: str) -> None:
        self.say("\n" + self._in(_BOLD, title))

    def step(self, text: str, *, live_ms: float | None = None) -> None:
        """One more promise kept; ``live_ms`` until the live event had arrived."""
        self.steps += 1
        after = "" if live_ms is None else self._in(_GREY, f"  · live after {live_ms:.0f} ms")
        self.say(f"  {self.steps:>2}  {text}{after}")

    def detail(self, text: str) -> None:
        self.say(self._in(_GREY, f"      {text}"))

    def expect(self, what: str, came: Any, to_be: Any) -> None:
        """Raises Unexpected unless what came is what was promised."""
        if came != to_be:
            raise Unexpected(f"{what}\n    expected: {to_be}\n    came:     {came}")

    def success(self, result: dict[str, Any]) -> dict[str, Any]:
        """The result of a mutation that should have worked."""
        if not result["__typename"].endswith("Success"):
            raise Unexpected(f"expected a success\n    came:     {result}")
        return result

    def refusal(self, result: dict[str, Any], code: str) -> str:
        """The message of a mutation that should have been refused."""
        self.expect("a refusal", result.get("code", result["__typename"]), code)
        return result["message"]

    def _in(self, style: str, text: str) -> str:
        return f"{style}{text}{_PLAIN}" if self.colour else text


class Watch:
    """A feed of numbered events: takes them one by one, and notices a doubled one."""

    def __init__(self, feed: Feed, what: str, *, cursor: str | None = None, seen: int = 0) -> None:
        self.cursor, self.sequence = cursor, seen
        self._feed, self._what = feed, what

    async def next(self, *, timeout_seconds: float = 10.0) -> Event:
        """The next event. Raises Unexpected if none comes, or one that came before."""
        try:
            event = await self._feed.next(timeout_seconds=timeout_seconds)
        except TimeoutError:
            raise Unexpected(f"{self._what}: nothing came in {timeout_seconds:.0f} s") from None
        except Ended as over:
            raise Cut(f"{self._what}: {over}") from None
        except GraphQLError as over:
            raise Unexpected(f"{self._what}: {over}") from None
        if "cursor" not in event.data:
            raise Unexpected(f"{self._what}: {event.data}")
        if event.data["sequence"] <= self.sequence:
            raise Unexpected(f"{self._what}: event {event.data['sequence']} came twice")
        self.cursor, self.sequence = event.data["cursor"], event.data["sequence"]
        return event

    async def until(self, wanted: Callable[[Any], bool], *, timeout_seconds: float = 10.0) -> Event:
        """The first event from here on that is wanted."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            event = await self.next(timeout_seconds=max(deadline - time.monotonic(), 0.01))
            if wanted(event.data):
                return event

    def empty(self) -> bool:
        return self._feed.empty()


class Person:
    """Somebody with the app: a client, a socket, and what arrives on it."""

    transactions: Watch
    notices: Watch
    live: Live
    refresh_token: str = ""

    def __init__(
        self,
        stage: Stage,
        *,
        name: str,
        phone: str,
        password: str,
        pin: str,
        device: DeviceKey | None = None,
        passkey: Authenticator | None = None,
    ) -> None:
        self.name, self.phone, self.password, self.pin = name, phone, password, pin
        self.id_number, self.email = "", ""
        self.stage = stage
        self.device = device or DeviceKey()
        self.passkey = passkey
        self.client = Client(stage.world.api_url)

    @classmethod
    def of_city(cls, stage: Stage, login: dict[str, str]) -> Person:
        """Somebody of the demo city."""
        return cls(
            stage,
            name=login["name"],
            phone=login["phone"],
            password=login["password"],
            pin=login.get("pin", ""),
            device=stage.world.device(login["phone"]),
            passkey=stage.world.passkey(login["phone"]),
        )

    def arrived(self, result: dict[str, Any]) -> dict[str, Any]:
        """What registering or signing in answered; from now on the client and the device know."""
        success = self.stage.success(result)
        self.client.token = success["session"]["accessToken"]
        self.refresh_token = success["session"]["refreshToken"]
        self.device.id = success["device"]["id"]
        return success

    async def sign_in(self) -> None:
        """On a device that is known: the password, and a signature over the challenge.

        Of staff the device's own signature is not enough: their passkey signs.
        """
        challenge = await self.challenged()
        proof: dict[str, Any] = {"proof": self.device.login_proof(challenge)}
        if "DEVICE_KEY" not in challenge["methods"]:
            proof = {
                "proof": {"passkey": {"credential": self._signed(challenge["passkeyOptions"])}},
                "device": self.device.input(),
            }
        self.arrived(
            await self.client.mutate(documents.COMPLETE_LOGIN, challengeId=challenge["id"], **proof)
        )

    def _signed(self, options: str) -> str:
        """What the passkey answers."""
        if self.passkey is None:
            raise Unexpected(f"{self.name} has no passkey")
        return self.passkey.get(options)

    async def challenged(self) -> dict[str, Any]:
        """The first step alone."""
        asked = await self.client.mutate(documents.LOGIN, phone=self.phone, password=self.password)
        return self.stage.success(asked)["challenge"]

    async def sign_in_on(self, device: DeviceKey, *, name: str) -> None:
        """On a new device, with the code that the phone gets; from now on it is this person's."""
        challenge = await self.challenged()
        asked = await self.client.mutate(documents.SEND_LOGIN_CODE, challengeId=challenge["id"])
        verification = self.stage.success(asked)["verification"]
        code, _ = await code_from_sms(self.stage.world, self.phone, about="登录")
        self.device = device
        self.arrived(
            await self.client.mutate(
                documents.COMPLETE_LOGIN,
                challengeId=challenge["id"],
                proof={"code": {"verificationId": verification["id"], "code": code}},
                device=device.input(name),
            )
        )

    async def refresh(self) -> dict[str, Any]:
        """New tokens, and the answer that brought them."""
        token = self.refresh_token
        result = await self.client.mutate(
            documents.REFRESH,
            refreshToken=token,
            deviceSignature=self.device.refresh_signature(token),
        )
        if "session" in result:
            self.client.token = result["session"]["accessToken"]
            self.refresh_token = result["session"]["refreshToken"]
        return result

    async def elevate(self, reason: str) -> None:
        """A member of staff proves anew who they are, to do what is sensitive."""
        asked = await self.client.mutate(documents.STEP_UP, action="ELEVATE")
        challenge = self.stage.success(asked)["challenge"]
        answer = {
            "challengeId": challenge["id"],
            "credential": self._signed(challenge["options"]),
        }
        result = await self.client.mutate(
            documents.ELEVATE, reason=reason, proof={"passkey": answer}
        )
        self.stage.success(result)

    async def follow(self) -> None:
        """Open the socket and follow what comes into the wallet, and the notices, from now on."""
        self.live = await Live.open(self.client.socket_url, self.client.headers())
        self.transactions = await self._watch(documents.TRANSACTION_EVENTS, "transactions")
        self.notices = await self._watch(documents.NOTICE_EVENTS, "notices")

    async def follow_again(self) -> None:
        """After a lost connection: both feeds go on behind the last event that was seen."""
        known = self.transactions, self.notices
        self.live = await Live.open(self.client.socket_url, self.client.headers())
        self.transactions = await self._watch(
            documents.TRANSACTION_EVENTS, "transactions", behind=known[0]
        )
        self.notices = await self._watch(documents.NOTICE_EVENTS, "notices", behind=known[1])

    async def _watch(self, document: str, what: str, *, behind: Watch | None = None) -> Watch:
        label = f"{what} of {self.name}"
        if behind is None:
            return Watch(await self.live.subscribe(document), label)
        feed = await self.live.subscribe(document, after=behind.cursor)
        return Watch(feed, label, cursor=behind.cursor, seen=behind.sequence)

    async def notice(self, kind: str, *, timeout_seconds: float = 10.0) -> dict[str, Any]:
        """The next notice of a kind, over any break of the connection."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                event = await self.notices.until(
                    lambda data: data["notice"]["kind"] == kind,
                    timeout_seconds=deadline - time.monotonic(),
                )
            except Cut:
                await self.follow_again()
                continue
            return event.data["notice"]

    async def balance(self) -> str:
        data = await self.client.run(documents.WALLET)
        return data["viewer"]["wallet"]["balance"]["amount"]

    async def close(self) -> None:
        if hasattr(self, "live"):
            await self.live.close()
        await self.client.close()


def money(amount: str) -> dict[str, str]:
    """An amount as the schema takes it."""
    return {"amount": amount, "currencyCode": "CNY"}


def key() -> str:
    """An idempotency key that nobody has used."""
    return secrets.token_urlsafe(16)


def new_phone() -> str:
    """A mobile number (E.164) that hardly anybody has used."""
    return f"+86156{secrets.randbelow(10**8):08d}"


def id_number() -> str:
    """A resident ID number that hardly anybody has: of a grown-up, with the right check digit."""
    digits = f"440305{1960 + secrets.randbelow(40)}0{1 + secrets.randbelow(9)}"
    digits += f"1{secrets.randbelow(10)}{secrets.randbelow(1000):03d}"
    return digits + "10X98765432"[sum(int(d) << (17 - n) for n, d in enumerate(digits)) % 11]


def card_number(prefix: str) -> str:
    """A new card number with these first six digits and the right last one (Luhn)."""
    digits = f"{prefix}{secrets.randbelow(10**9):09d}"
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[::-1][::2])
    plain = sum(int(digit) for digit in digits[::-1][1::2])
    return f"{digits}{-(doubled + plain) % 10}"


async def code_from_sms(world: World, phone: str, *, about: str = "") -> tuple[str, str]:
    """The newest code that the SMS gateway has for a phone, and the whole text.

    ``about`` is a word of the text that says what the code is for.
    """
    async with httpx.AsyncClient(base_url=world.sms_url, trust_env=False) as gateway:
        for _ in range(100):
            found = await gateway.get("/messages", params={"to": phone, "limit": "10"})
            for message in found.json()["messages"]:
                code = re.search(r"\d{6}", message["text"])
                if code and about in message["text"]:
                    return code[0], message["text"]
            await asyncio.sleep(_POLL_SECONDS)
    raise Unexpected(f"no SMS arrived for {phone}")


def ms_since(started: float, event: Event) -> float:
    """Milliseconds from a moment (``time.perf_counter``) to an event's arrival."""
    return (event.at - started) * 1000
