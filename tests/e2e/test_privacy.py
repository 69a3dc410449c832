"""What people typed and who they are is in nobody's log, in no plain column, and not in Valkey."""

from __future__ import annotations

import asyncio
import re
import subprocess
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis

from domain import sealing
from infra import embedded, encryption, running
from schema import ids
from tests.authenticator import Authenticator
from tests.demo import __main__ as demo
from tests.demo import documents, joining, paying
from tests.demo.client import Client, GraphQLError
from tests.demo.device import DeviceKey
from tests.demo.stage import (
    Person,
    Stage,
    card_number,
    code_from_sms,
    id_number,
    key,
    money,
    new_phone,
)
from tests.e2e import identities, recoveries

REGISTRATIONS = """{ staff { registrationQueue(last: 20) {
  edges { node { id displayName } } } } }"""
REVIEW = """mutation ($input: ReviewRegistrationInput!) {
  reviewRegistration(input: $input) { __typename } }"""
FREEZE = """mutation ($input: FreezeWalletInput!) {
  freezeWallet(input: $input) { __typename ... on FreezeWalletSuccess { riskCase { id } } } }"""
REGISTER_TOKEN = """mutation ($input: RegisterPushTokenInput!) {
  registerPushToken(input: $input) {
    __typename ... on RegisterPushTokenSuccess { registered } } }"""
MY_ID = "{ viewer { id } }"
EXPORT = """mutation ($input: ExportMyDataInput!) { exportMyData(input: $input) {
  __typename ... on ExportMyDataSuccess { archivePassword } } }"""
MY_COPIES = "{ viewer { dataExports { state url } } }"
CLOSE = """mutation ($input: CloseMyAccountInput!) { closeMyAccount(input: $input) {
  __typename ... on CloseMyAccountSuccess { closing { state } } } }"""


@dataclass
class Told:
    """What was typed: words are looked for as they are, digits as a number of their own."""

    words: dict[str, str] = field(default_factory=dict)
    digits: dict[str, str] = field(default_factory=dict)

    def found_in(self, text: bytes) -> list[str]:
        """The names of what stands in a text, plain, escaped or in hexadecimal."""
        names = [
            name for name, word in self.words.items() if any(form in text for form in _forms(word))
        ]
        # Six digits come up by chance in hexadecimal and in fractions of seconds.
        names += [
            name
            for name, number in self.digits.items()
            if re.search(rb"(?<![0-9A-Za-z.+/=_-])%s(?![0-9A-Za-z+/=_-])" % number.encode(), text)
        ]
        return names


def _forms(word: str) -> set[bytes]:
    raw = word.encode()
    return {raw, raw.hex().encode(), word.encode("unicode_escape")}


@pytest.fixture
def cast(stack: running.Running) -> Stage:
    return Stage(demo.world_of(stack.env), lambda _: None)


async def _newcomer(stage: Stage, exits: AsyncExitStack, told: Told, name: str) -> Person:
    person = await joining.register(stage, name)
    exits.push_async_callback(person.close)
    told.words |= {f"name {name}": name, f"phone of {name}": person.phone.removeprefix("+86")}
    told.words |= {f"ID of {name}": person.id_number, f"mail of {name}": person.email}
    told.words |= {"token": person.client.token, "refresh token": person.refresh_token}
    told.digits["code"], _ = await code_from_sms(stage.world, person.phone)
    return person


async def _fail_in_every_way(stage: Stage, person: Person, told: Told) -> None:
    """Wrong codes, passwords, PINs, documents and paths, each carrying something personal."""
    told.words |= {"wrong password": "Luohu-wrong-guess-5", "path": "dizhi-shennan-1024"}
    told.words["unknown phone"] = new_phone().removeprefix("+86")
    told.digits["wrong pin"] = "918273"
    local = person.phone.removeprefix("+86")
    async with Client(stage.world.api_url) as stranger:
        for phone in (person.phone, told.words["unknown phone"]):
            await stranger.mutate(documents.LOGIN, phone=phone, password="Luohu-wrong-guess-5")
            asked = await stranger.mutate(documents.REQUEST_CODE, phone=phone, purpose="REGISTER")
            given: dict[str, Any] = {"phone": phone, "code": "918273", "password": joining.PASSWORD}
            given["device"] = person.device.input("某人的手机")
            given["verificationId"] = asked.get("verification", {}).get("id", "none")
            await stranger.mutate(
                documents.REGISTER, name=person.name, consents=joining.CONSENTS, **given
            )
        for document in (
            f'{{ recipientPreview(phone: "{local}", x: "{person.name}") {{ __typename }} }}',
            f'mutation {{ login(input: {{ phone: {local}, password: "{person.name} }}) }}',
        ):
            with pytest.raises(GraphQLError):
                await stranger.run(document)
    await joining.allow_small_payments(person, pin="918273")
    async with httpx.AsyncClient(base_url=stage.world.api_url, trust_env=False) as http:
        for path in (f"/dizhi-shennan-1024/{local}", f"/graphql?query={person.name}&phone={local}"):
            await http.get(path, headers={"Authorization": f"Bearer {person.client.token}"})
            await http.get(path, headers={"Upgrade": "websocket", "Connection": "Upgrade"})
        await http.post("/callbacks/bank", content=person.name.encode())
        await http.post("/graphql", content=b'{"query": "' + person.name.encode())


async def _move_money(stage: Stage, exits: AsyncExitStack, told: Told) -> Person:
    """A card, a top-up, a transfer with a memo, a payment with a note, a refund and its no."""
    payer = await _newcomer(stage, exits, told, "欧阳若兰")
    friend = await _newcomer(stage, exits, told, "司徒远航")
    told.words |= {"password": joining.PASSWORD, "memo": "给外婆买降压药", "note": "三号桌不要香菜"}
    told.words |= {"refund reason": "鞋子尺码不合脚", "card": card_number("622588")}
    told.words |= {"rejection": "鞋底已有明显磨损痕迹"}
    told.digits["pin"] = joining.PIN
    told.words["push token"] = "an-app-that-nobody-may-know"
    stage.success(
        await payer.client.mutate(
            REGISTER_TOKEN, token=told.words["push token"], platform="ANDROID"
        )
    )
    await joining.set_pin(stage, payer)
    await _fail_in_every_way(stage, payer, told)
    await _add_a_passkey(stage, payer, told)
    linked = await payer.client.mutate(documents.LINK_CARD, number=told.words["card"])
    card = stage.success(linked)["bankCard"]["id"]
    topped = await payer.client.mutate(
        documents.TOP_UP, bankCardId=card, amount=money("500.00"), idempotencyKey=key()
    )
    stage.success(topped)
    await payer.notice("TOP_UP_SUCCEEDED")
    sent = await payer.client.mutate(
        documents.TRANSFER,
        phone=friend.phone,
        amount=money("12.00"),
        memo=told.words["memo"],
        proof={"pin": payer.pin},
        idempotencyKey=key(),
    )
    stage.success(sent)
    await friend.notice("TRANSFER_RECEIVED")
    payment = await _pay(stage, payer, told.words["note"])
    await _refund_in_vain(stage, exits, payer, payment, told)
    return payer


REQUEST_PASSKEY = """mutation($input: RequestPasskeyRegistrationInput!) {
  requestPasskeyRegistration(input: $input) { __typename
    ... on RequestPasskeyRegistrationSuccess { challenge { id options } } } }"""
REGISTER_PASSKEY = """mutation($input: RegisterPasskeyInput!) {
  registerPasskey(input: $input) { __typename } }"""


async def _add_a_passkey(stage: Stage, payer: Person, told: Told) -> None:
    """Called by a name that says whose device it is."""
    told.words["passkey"] = "若兰的小米手机"
    asked = stage.success(
        await payer.client.mutate(REQUEST_PASSKEY, password=told.words["password"])
    )["challenge"]
    home = stage.world.api_url.replace("127.0.0.1", "localhost")
    credential = Authenticator(origin=home).create(asked["options"])
    made = {"challengeId": asked["id"], "credential": credential}
    added = await payer.client.mutate(REGISTER_PASSKEY, **made, name=told.words["passkey"])
    stage.success(added)


async def _pay(stage: Stage, payer: Person, note: str) -> str:
    merchant_id = await paying.scan(stage, payer, stage.world.merchants[0])
    opened = await payer.client.mutate(
        documents.CREATE_PAYMENT,
        merchantId=merchant_id,
        amount=money("30.00"),
        note=note,
        idempotencyKey=key(),
    )
    payment_id = stage.success(opened)["payment"]["id"]
    confirmed = await payer.client.mutate(
        documents.CONFIRM_PAYMENT,
        paymentId=payment_id,
        proof={"pin": payer.pin},
        idempotencyKey=key(),
    )
    stage.success(confirmed)
    return payment_id


async def _refund_in_vain(
    stage: Stage, exits: AsyncExitStack, payer: Person, payment_id: str, told: Told
) -> None:
    finance = await _staff(stage, exits, "FINANCE")
    asked = await payer.client.mutate(
        documents.REQUEST_REFUND,
        paymentId=payment_id,
        reason=told.words["refund reason"],
        idempotencyKey=key(),
    )
    decided = await finance.client.mutate(
        documents.DECIDE_REFUND,
        refundId=stage.success(asked)["refund"]["id"],
        decision="REJECT",
        reason=told.words["rejection"],
        idempotencyKey=key(),
    )
    stage.success(decided)
    notice = await payer.notice("REFUND_REJECTED")
    assert told.words["rejection"] in notice["text"]


async def _freeze(stage: Stage, exits: AsyncExitStack, person: Person, told: Told) -> None:
    told.words |= {"freeze reason": "机主来电称手机被抢", "appeal": "手机已经找回来了"}
    risk = await _staff(stage, exits, "RISK")
    mine = (await person.client.run(MY_ID))["viewer"]["id"]
    frozen = await risk.client.mutate(
        FREEZE,
        userId=ids.encode("User", ids.decode(mine, "Viewer")),
        reason=told.words["freeze reason"],
        idempotencyKey=key(),
    )
    case_id = stage.success(frozen)["riskCase"]["id"]
    appealed = await person.client.mutate(
        documents.APPEAL, caseId=case_id, text=told.words["appeal"]
    )
    stage.success(appealed)
    told.words["lifted because"] = "已回拨电话核对身份"
    await risk.elevate(told.words["lifted because"])
    lifted = await risk.client.mutate(
        documents.UNFREEZE,
        caseId=case_id,
        reason=told.words["lifted because"],
        idempotencyKey=key(),
    )
    stage.success(lifted)


async def _applicant(support: Person, name: str) -> str:
    """The registration's id, once the rules have referred it to staff."""
    while True:
        data = await support.client.run(REGISTRATIONS)
        for edge in data["staff"]["registrationQueue"]["edges"]:
            if edge["node"]["displayName"] == name:
                return edge["node"]["id"]
        await asyncio.sleep(0.1)


async def _reject_an_applicant(stage: Stage, exits: AsyncExitStack, told: Told) -> None:
    told.words["device"] = "柯先生的平板电脑"
    told.words |= {"applicant": "Ксения Звонарёва", "review reason": "与身份证上的姓名不符"}
    told.words |= {"postal address": "福田区莲花支路九号楼", "applicant's ID": id_number()}
    support = await _staff(stage, exits, "SUPPORT")
    told.words["elevated because"] = "核对申请人的身份资料"
    await support.elevate(told.words["elevated because"])
    phone = new_phone()
    told.words["applicant's phone"] = phone.removeprefix("+86")
    async with Client(stage.world.api_url) as client:
        asked = await client.mutate(documents.REQUEST_CODE, phone=phone, purpose="REGISTER")
        code, _ = await code_from_sms(stage.world, phone)
        registered = await client.mutate(
            documents.REGISTER,
            name=told.words["applicant"],
            phone=phone,
            verificationId=asked["verification"]["id"],
            code=code,
            password=joining.PASSWORD,
            device=DeviceKey().input(told.words["device"]),
            idNumber=told.words["applicant's ID"],
            postalAddress=told.words["postal address"],
            consents=joining.CONSENTS,
        )
        stage.success(registered)
    async with asyncio.timeout(20):
        registration_id = await _applicant(support, told.words["applicant"])
    reviewed = await support.client.mutate(
        REVIEW,
        registrationId=registration_id,
        decision="REJECT",
        reason=told.words["review reason"],
    )
    stage.success(reviewed)


async def _say_who_one_is(
    stage: Stage, exits: AsyncExitStack, told: Told, *, mail_url: str
) -> None:
    """Registered by phone, known later; with a mail address that was proved, and another one."""
    support = await _staff(stage, exits, "SUPPORT")
    told.words["elevated for IDs"] = "核对后补的身份资料"
    await support.elevate(told.words["elevated for IDs"])
    person = await identities.register_by_phone(stage, "东方朔月")
    exits.push_async_callback(person.close)
    told.words |= {"late name": "Фёдор Ласточкин", "late ID": id_number(), "later ID": id_number()}
    told.words |= {"late no": "护照照片看不清楚", "early name": "东方朔月"}
    told.words["late phone"] = person.phone.removeprefix("+86")
    told.words["mail"] = "dongfang.shuoyue@example.com"
    told.digits["mailed code"] = await identities.prove_email(
        stage, person, told.words["mail"], mail_url=mail_url
    )
    await identities.hand_in(stage, person, told.words["late name"], told.words["late ID"])
    case = await identities.referred(support, told.words["late name"])
    await identities.decide(stage, support, case, "REJECT", told.words["late no"])
    other = await identities.register_by_phone(stage, "南宫听雪")
    exits.push_async_callback(other.close)
    told.words |= {"other name": other.name, "other ID": id_number()}
    await identities.hand_in(stage, other, other.name, told.words["other ID"])
    await identities.known(other, "IDENTITY")
    # This one is left to wait.
    await identities.hand_in(stage, person, told.words["late name"], told.words["later ID"])
    await identities.referred(support, told.words["late name"])


async def _take_data_along_and_leave(
    stage: Stage, exits: AsyncExitStack, told: Told, url: str
) -> None:
    """The week passes at once; the worker closes the account within a minute."""
    person = await _newcomer(stage, exits, told, "令狐冲霄")
    proof = {"password": joining.PASSWORD}
    made = stage.success(await person.client.mutate(EXPORT, proof=proof))
    told.words["archive's password"] = made["archivePassword"]
    link = None
    async with asyncio.timeout(30):
        while link is None:
            [copy] = (await person.client.run(MY_COPIES))["viewer"]["dataExports"]
            link = copy["url"]
            await asyncio.sleep(0.1)
    told.words["link"] = link.rpartition("/")[2]
    async with httpx.AsyncClient(base_url=stage.world.api_url) as browser:
        archive = await browser.get(f"/exports/{told.words['link']}")
    assert (archive.status_code, archive.content[:2]) == (200, b"PK")
    assert told.found_in(archive.content) == []
    stage.success(await person.client.mutate(CLOSE, proof=proof))
    connection = await asyncpg.connect(url)
    await connection.execute("update closing set due_at = ledger.now()")
    await connection.close()


_CLOSED = "select id from closing where state = 'CLOSED'"


async def _left(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(90):
            while await connection.fetchval(_CLOSED) is None:  # noqa: ASYNC110 - a worker does it
                await asyncio.sleep(0.2)
    finally:
        await connection.close()


async def _ask_staff_for_help(stage: Stage, person: Person, told: Told) -> None:
    """A resident who has lost both password and passkey, and one whose phone is lost."""
    told.words |= {"statement": "钱包和手机都在地铁上被偷", "lost how": "手机掉进深圳湾里了"}
    told.digits["reset code"] = await recoveries.ask_for_password(
        stage, person, told.words["statement"]
    )
    phone = new_phone()
    told.words["number to move to"] = phone.removeprefix("+86")
    told.digits["replacement code"] = await recoveries.ask_for_number(
        stage, person, phone, told.words["lost how"]
    )


async def _staff(stage: Stage, exits: AsyncExitStack, role: str) -> Person:
    person = Person.of_city(stage, stage.world.login(role))
    exits.push_async_callback(person.close)
    await person.sign_in()
    return person


def _dump(url: str) -> bytes:
    command: list[Any] = [embedded.pg_bin() / "pg_dump", "--data-only", "--dbname", url]
    return subprocess.run(command, check=True, capture_output=True).stdout


def _logs(data: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (data / "logs").rglob("*.log*")}


async def _valkey(url: str) -> bytes:
    async with Redis.from_url(url) as redis:
        keys = [name async for name in redis.scan_iter(count=1000)]
        values = [await redis.dump(name) for name in keys]
        return b"\n".join([*keys, *(value for value in values if value)])


async def _opened(url: str) -> dict[str, set[str]]:
    """Every sealed text of the database, opened, by the column that it lies in."""
    connection = await asyncpg.connect(url)
    found: dict[str, set[str]] = {}
    try:
        for column in sealing.COLUMNS:
            rows = await connection.fetch(
                f"select {column.row} as row, {column.column} as sealed from {column.table}"
                f" where length({column.column}) > 0 and {column.where}"
            )
            texts = found.setdefault(f"{column.table}.{column.column} ({column.place})", set())
            texts |= {encryption.decrypt(column.place, row["row"], row["sealed"]) for row in rows}
    finally:
        await connection.close()
    return found


async def _audited(url: str) -> list[asyncpg.Record]:
    """Entries of looks that came through the API."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(
            "select * from audit_entry where action in ('READ_REGISTRATION_QUEUE', 'READ_REFUND',"
            " 'FREEZE_WALLET', 'UNFREEZE_WALLET', 'REVIEW_REGISTRATION') and reason is not null"
            " or action = 'READ_REGISTRATION_QUEUE'"
        )
    finally:
        await connection.close()


async def test_no_personal_datum_reaches_logs_or_plain_columns(
    stack: running.Running, cast: Stage
) -> None:
    told = Told()
    async with AsyncExitStack() as exits:
        await _take_data_along_and_leave(cast, exits, told, stack.superuser_url)
        payer = await _move_money(cast, exits, told)
        await _freeze(cast, exits, payer, told)
        await _reject_an_applicant(cast, exits, told)
        await _say_who_one_is(cast, exits, told, mail_url=stack.mail_url)
        await _left(stack.superuser_url)
        await _ask_staff_for_help(cast, payer, told)

    logs = _logs(stack.data)
    assert {"api.log", "worker.log"} <= set(logs)
    dump = await asyncio.to_thread(_dump, stack.superuser_url)
    assert b"COPY ledger.posting" in dump
    places = logs | {"the database": dump, "Valkey": await _valkey(stack.redis_url)}
    found = {place: told.found_in(text) for place, text in places.items()}
    assert {place: names for place, names in found.items() if names} == {}
    assert len(told.words) > 15

    opened = await _opened(stack.superuser_url)
    fleeting = {f"{c.table}.{c.column} ({c.place})" for c in sealing.COLUMNS if c.fleeting}
    empty = {name for name, texts in opened.items() if not texts} - fleeting
    assert empty == set(), "let the story above write these, too"
    leaks = {
        (place, name)
        for name, texts in opened.items()
        for place, text in places.items()
        if any(form in text for word in texts for form in _forms(word.removeprefix("+86")))
    }
    assert leaks == set()
    print(
        f"{sum(map(len, opened.values()))} sealed texts of {len(opened)} columns are nowhere else"
    )

    looks = await _audited(stack.superuser_url)
    assert len(looks) >= 4
    for look in looks:
        kept = ("session_id", "role", "address_hash", "request_id")
        assert [name for name in kept if not look[name]] == []


def test_what_is_looked_for_would_be_found() -> None:
    told = Told(words={"name": "欧阳若兰"}, digits={"pin": "738416"})
    name = "欧阳若兰".encode()
    for text in (name, name.hex().encode(), b'"\\u6b27\\u9633\\u82e5\\u5170"'):
        assert told.found_in(b"x " + text + b" y") == ["name"]
    assert told.found_in(b'{"pin": "738416"}') == ["pin"]
    assert told.found_in(b"12:00:00.738416 a738416b") == []
