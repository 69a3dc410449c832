"""The console as finance and risk use it: a real browser on the whole stack."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyotp
import pytest

from infra import running
from tests import browser, console_page
from tests.demo import __main__ as demo
from tests.demo import documents
from tests.demo.client import Client
from tests.demo.stage import Person, Stage, code_from_sms

RESPONSE = console_page.RESPONSE
FREEZE = """mutation($input: FreezeWalletInput!) { freezeWallet(input: $input) { __typename
  ... on FreezeWalletSuccess { riskCase { id } } ... on Error { code } } }"""
REASONS = ("店家多收了一份餐费", "商品一直没有发货")


@pytest.fixture
async def page() -> AsyncIterator[browser.Page]:
    program = browser.find_chromium()
    if program is None:
        pytest.skip("!!! NO CHROMIUM HERE: the console was NOT tested on the real stack !!!")
    async with browser.launch(program) as connection, browser.new_page(connection) as opened:
        yield opened


def city(stack: running.Running) -> dict[str, list[dict[str, str]]]:
    return json.loads(Path(stack.env["WALLET_DEMO_FILE"]).read_text(encoding="utf-8"))


def login(stack: running.Running, role: str, number: int = 0) -> dict[str, str]:
    return [one for one in city(stack)["logins"] if one["role"] == role][number]


async def signed_in(stack: running.Running, client: Client, who: dict[str, str]) -> Client:
    """As the app on the device that the demo city gave them."""
    person = Person.of_city(stage(stack), who)
    async with person.client:
        await person.sign_in()
    client.token = person.client.token
    return client


def stage(stack: running.Running) -> Stage:
    return Stage(demo.world_of(stack.env), lambda _: None)


async def enter(stack: running.Running, page: browser.Page, who: dict[str, str]) -> None:
    """By the console's page: staff with their authenticator, others with the code by SMS."""
    await console_page.sign_in(page, stack.api_url, phone=who["phone"], password=who["password"])
    await page.until("document.activeElement?.name === 'code'")
    if "totp" in who:
        code = pyotp.TOTP(who["totp"]).now()
    else:
        code, _ = await code_from_sms(stage(stack).world, who["phone"], about="to sign in")
    await console_page.confirm(page, code)


async def changed(client: Client, document: str, **fields: Any) -> dict[str, Any]:
    """The success of a mutation with a key of its own."""
    result = await client.mutate(document, **fields, idempotencyKey=str(uuid.uuid4()))
    assert result["__typename"].endswith("Success"), result
    return result


async def ask_refunds(client: Client, merchants: list[dict[str, str]]) -> list[str]:
    """Pay two shops and ask for both payments back; the refunds' ids."""
    asked = []
    for shop, reason in zip(merchants, REASONS, strict=False):
        found = await client.run(documents.RESOLVE_QR, payload=shop["qr"])
        paid = await changed(
            client,
            documents.CREATE_PAYMENT,
            merchantId=found["resolveQr"]["merchant"]["id"],
            amount={"amount": "18.80", "currencyCode": "CNY"},
        )
        assert paid["payment"]["state"] == "SUCCEEDED", "the demo resident has an allowance"
        refund = await changed(
            client, documents.REQUEST_REFUND, paymentId=paid["payment"]["id"], reason=reason
        )
        asked.append(refund["refund"]["id"])
    return asked


async def stayed_home(page: browser.Page, url: str) -> None:
    """Every request went to the origin, the policy refused nothing, no script failed."""
    origins = {urlsplit(one).netloc for one in page.requests if not one.startswith("data:")}
    assert origins == {urlsplit(url).netloc}
    assert any(one.startswith("ws://") for one in page.requests)
    assert await page.violations() == []
    assert page.exceptions == []


async def test_finance_reads_the_queue_decides_a_refund_and_follows_live(
    stack: running.Running, page: browser.Page
) -> None:
    finance = login(stack, "FINANCE")
    async with Client(stack.api_url) as client:
        await signed_in(stack, client, login(stack, "RESIDENT"))
        first, second = await ask_refunds(client, city(stack)["merchants"])

        await enter(stack, page, finance)
        await page.until_text("RefundQueue", console_page.EDITOR)
        await page.until_text(finance["name"], "[data-testid=who]")
        await console_page.run_tab(page, "RefundQueue")
        await page.until_text('"payerName"', RESPONSE)
        console_page.keep_screenshot(await page.screenshot())

        await console_page.open_tab(page, "DecideRefund")
        decision = {
            "refundId": first,
            "decision": "REJECT",
            "reason": "商户已补发",
            "idempotencyKey": str(uuid.uuid4()),
        }
        await console_page.set_variables(page, {"input": decision})
        await page.click(".graphiql-execute-button")
        await page.until_text('"REJECTED"', RESPONSE)

        await console_page.run_tab(page, "AccountStatus")
        await page.until_text('"ACTIVE"', RESPONSE)
        refunds = await client.run(OWN_REFUNDS)
    states = {one["node"]["id"]: one["node"] for one in refunds["viewer"]["refunds"]["edges"]}
    assert states[first]["state"] == "REJECTED"
    assert states[first]["decisionReason"] == "商户已补发"
    assert states[second]["state"] == "REQUESTED"
    await stayed_home(page, stack.api_url)


OWN_REFUNDS = """query { viewer { refunds(first: 10) { edges { node {
  id state decisionReason } } } } }"""


async def test_risk_sees_a_frozen_wallet_and_lets_it_work_again(
    stack: running.Running, page: browser.Page
) -> None:
    risk = login(stack, "RISK")
    async with Client(stack.api_url) as resident, Client(stack.api_url) as desk:
        await signed_in(stack, resident, login(stack, "RESIDENT", 3))
        await signed_in(stack, desk, risk)
        viewer = await resident.run("query { viewer { id } }")
        frozen = await changed(desk, FREEZE, userId=user_id(viewer["viewer"]["id"]), reason="核实")
        case_id = frozen["riskCase"]["id"]

        await enter(stack, page, risk)
        await page.until_text("RiskCases", console_page.EDITOR)
        await console_page.run_tab(page, "RiskCases")
        await page.until_text('"MANUAL"', RESPONSE)
        await console_page.open_tab(page, "Elevate")
        # The code of the sign-in is used up; the next one is good already.
        proof = {"totp": pyotp.TOTP(risk["totp"]).at(int(time.time()) + 30)}
        await console_page.set_variables(page, {"input": {"reason": "处理申诉", "proof": proof}})
        await page.click(".graphiql-execute-button")
        await page.until_text('"until"', RESPONSE)
        await console_page.open_tab(page, "UnfreezeWallet")
        lift = {"caseId": case_id, "reason": "已核实", "idempotencyKey": str(uuid.uuid4())}
        await console_page.set_variables(page, {"input": lift})
        await page.click(".graphiql-execute-button")
        await page.until_text('"LIFTED"', RESPONSE)
        await console_page.run_tab(page, "AccountStatus")
        await page.until_text('"RISK"', RESPONSE)

        wallet = await resident.run("query { viewer { freeze { caseId } wallet { status } } }")
    assert wallet["viewer"] == {"freeze": None, "wallet": {"status": "OPEN"}}
    await stayed_home(page, stack.api_url)


def user_id(viewer_id: str) -> str:
    """The id by which staff name the user behind a `viewer`."""
    padded = viewer_id + "=" * (-len(viewer_id) % 4)
    _, _, key = base64.urlsafe_b64decode(padded).decode().partition(":")
    return base64.urlsafe_b64encode(f"User:{key}".encode()).decode().rstrip("=")


async def test_a_resident_is_shown_out_and_the_session_is_over(
    stack: running.Running, page: browser.Page
) -> None:
    who = login(stack, "RESIDENT", 2)
    await enter(stack, page, who)
    await page.until_text("This account is not a staff account", "[role=alert]")
    assert await page.evaluate("localStorage.length + sessionStorage.length") == 0
