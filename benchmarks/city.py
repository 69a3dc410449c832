"""Who pays and signs in during a benchmark: rows written at once, and the requests they send."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
import msgspec

from benchmarks.load import Body
from infra import encryption, hashing
from schema import ids
from tests.demo import documents
from tests.demo.device import DeviceKey

RESIDENTS = 400
MERCHANTS = 100
_FIRST_RESIDENT, _FIRST_MERCHANT = 1_000_000, 2_000_000
_PIN, _PASSWORD = "246813", "Shekou-9-lighthouse"
_OVER = 20_001  # more than the allowance lets through without a PIN

_PAY = """mutation Pay($input: CreatePaymentInput!) { createPayment(input: $input) { __typename
  ... on CreatePaymentSuccess { payment { id state amount { amount currencyCode } } }
  ... on Error { code message } } }"""
_CONFIRM = """mutation Confirm($input: ConfirmPaymentInput!) { confirmPayment(input: $input) {
  __typename ... on ConfirmPaymentSuccess { payment { id state } }
  ... on Error { code message } } }"""


@dataclass(frozen=True, slots=True)
class Resident:
    """Somebody with money, a PIN and a device that was enrolled two days ago, signed in."""

    user_id: int
    phone: str
    authorization: str
    device: DeviceKey


class City:
    """Residents in turn, each connection beginning with another one."""

    def __init__(self, residents: list[Resident], merchants: list[str], *, connections: int):
        self._residents = residents
        self._merchants = merchants
        self._connections = connections
        self._run = 0

    def _who(self, connection: int, turn: int) -> tuple[int, Resident]:
        number = turn * self._connections + connection
        return number, self._residents[number % len(self._residents)]

    def pay(self, *, hot: bool, by_pin: bool = False) -> list[Body]:
        """A payment of one fen; ``by_pin``: of more than goes without it, and its confirmation.

        ``hot``: all to one merchant.
        """
        self._run += 1
        name = f"r{self._run}-{secrets.token_hex(4)}"
        amount = f"{(_OVER if by_pin else 1) / 100:.2f}"

        def create(connection: int, turn: int, _: bytes) -> tuple[bytes, str]:
            number, payer = self._who(connection, turn)
            given = {
                "merchantId": self._merchants[0 if hot else number * 7 % len(self._merchants)],
                "amount": {"amount": amount, "currencyCode": "CNY"},
                "idempotencyKey": f"{name}-{connection}-{turn}",
            }
            return _request(_PAY, given), payer.authorization

        def confirm(connection: int, turn: int, opened: bytes) -> tuple[bytes, str]:
            payment_id = _answer(opened, "createPayment")["payment"]["id"]
            given = {
                "paymentId": payment_id,
                "proof": {"pin": _PIN},
                "idempotencyKey": f"c-{payment_id}",
            }
            payload = _request(_CONFIRM, given)
            return payload, self._who(connection, turn)[1].authorization

        return [create, confirm] if by_pin else [create]

    def sign_in(self) -> list[Body]:
        """The password, and then the signature of the device."""

        def login(connection: int, turn: int, _: bytes) -> tuple[bytes, str]:
            given = {"phone": self._who(connection, turn)[1].phone, "password": _PASSWORD}
            return _request(documents.LOGIN, given), ""

        def complete(connection: int, turn: int, opened: bytes) -> tuple[bytes, str]:
            challenge = _answer(opened, "login").get("challenge")
            if challenge is None:  # OVERLOADED: the turn ends with a cheap question
                return msgspec.json.encode({"query": "{ __typename }"}), ""
            device = self._who(connection, turn)[1].device
            given = {"challengeId": challenge["id"], "proof": device.login_proof(challenge)}
            return _request(documents.COMPLETE_LOGIN, given), ""

        return [login, complete]


def _request(document: str, given: Mapping[str, object]) -> bytes:
    return msgspec.json.encode({"query": document, "variables": {"input": given}})


def _answer(text: bytes, field: str) -> dict[str, dict[str, str]]:
    answer = msgspec.json.decode(text)
    if not answer.get("data"):
        raise RuntimeError(f"no answer to {field}: {text[:300].decode(errors='replace')}")
    return answer["data"][field]


async def populate(url: str, *, connections: int) -> City:
    """Real rows, written at once: registering 500 people one by one is another benchmark."""
    connection = await asyncpg.connect(url)
    await hashing.open_hasher()
    try:
        await connection.execute(
            "update ledger.city set free_max_minor_cap = 100000, free_daily_count_cap = 32000"
        )
        # Nobody pays as often as these few residents: the scan would freeze them all.
        await connection.execute("update risk_rule set enabled = false")
        password_hash = await hashing.hash_password(_PASSWORD)
        for first, count, role in (
            (_FIRST_RESIDENT, RESIDENTS, "RESIDENT"),
            (_FIRST_MERCHANT, MERCHANTS, "MERCHANT"),
        ):
            people = range(first, first + count)
            rows = [
                (*_person(n, role), password_hash, await hashing.hash_pin(n, _PIN)) for n in people
            ]
            await connection.executemany(_PEOPLE, rows)
            await connection.execute(_ACCOUNTS, first, count, 1 if role == "RESIDENT" else 2)
        residents = [await _arrived(connection, _FIRST_RESIDENT + n) for n in range(RESIDENTS)]
        shops = await connection.fetch(_MERCHANT_ROWS, _FIRST_MERCHANT)
    finally:
        await hashing.close_hasher()
        await connection.close()
    return City(
        residents, [ids.encode("Merchant", row["id"]) for row in shops], connections=connections
    )


_PEOPLE = (
    "insert into users(id, role, status, phone, phone_index, name, password_hash, pin_hash)"
    " values ($1, $2, 'ACTIVE', $3, $4, $5, $6, $7)"
)
_ACCOUNTS = """
insert into ledger.account(owner_id, role, currency, at, day_max, opened_at, posted, free_max,
                           free_count_max)
  select $1::bigint + n, $3::smallint, 'CNY', ledger.now(), 9e15::bigint, ledger.now(),
         case $3::smallint when 1 then 1000000000 else 0 end, 20000, 32000
    from generate_series(0, $2::int - 1) n
"""
_DEVICE = """
insert into device(id, user_id, public_key, name, platform, created_at)
  values ($1, $2, $3, $4, 'ANDROID', ledger.now() - interval '2 days')
"""
_SESSION = """
insert into session(user_id, device_id, access_hash, access_expires_at, family_hash, refresh_hash,
                    refresh_expires_at)
  values ($1, $2, $3, ledger.now() + interval '1 day', $4, $4, ledger.now() + interval '1 day')
"""
_MERCHANT_ROWS = """
insert into merchant(user_id, account_id, name, category, qr_token)
  select a.owner_id, a.id, 'Shop ' || a.owner_id, 'FOOD', 'bench-' || a.owner_id
    from ledger.account a where a.owner_id >= $1 and a.role = 2 order by a.id
returning id
"""


def _phone(user_id: int) -> str:
    return f"+861380{user_id:07d}"


def _person(user_id: int, role: str) -> tuple[object, ...]:
    phone = _phone(user_id)
    return (
        user_id,
        role,
        encryption.encrypt("users.phone", user_id, phone),
        encryption.blind_index("phone", phone),
        encryption.encrypt("users.name", user_id, "Bench"),
    )


async def _arrived(connection: asyncpg.Connection, user_id: int) -> Resident:
    device, device_id, token = DeviceKey(), uuid4(), secrets.token_urlsafe(32)
    device.id = ids.encode("Device", device_id)
    await connection.execute(_DEVICE, *_device(device, device_id, user_id))
    digest = hashlib.sha256(token.encode()).hexdigest()
    family = hashlib.sha256(digest.encode()).hexdigest()
    await connection.execute(_SESSION, user_id, device_id, digest, family)
    return Resident(user_id, _phone(user_id), f"Bearer {token}", device)


def _device(device: DeviceKey, device_id: UUID, user_id: int) -> tuple[object, ...]:
    name = encryption.encrypt("device.name", device_id, "Bench")
    return device_id, user_id, base64.urlsafe_b64decode(device.public + "=="), name


async def drained(url: str) -> None:
    """Let the worker finish what a run left in the outbox, so that the next begins alone."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(60):
            while await connection.fetchval("select exists (select from ledger.outbox)"):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    finally:
        await connection.close()
