"""Passkeys in a real browser: added, asked for a payment, and enough to sign in.

Chromium's own virtual authenticator stands for the fingerprint reader. The page is ours, at
localhost: browsers know no passkeys of IP addresses.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from infra import running
from tests import browser, console_page
from tests.demo import __main__ as demo
from tests.demo import documents, sign_in
from tests.demo.client import Client
from tests.demo.device import DeviceKey

_IN_THE_PAGE = """
async (kind, options) => {
  const asked = JSON.parse(options);
  const credential = kind === "create"
    ? await navigator.credentials.create(
        {publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(asked)})
    : await navigator.credentials.get(
        {publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(asked)});
  return JSON.stringify(credential);
}
"""
_ANSWER = "__typename ... on Error { code message }"
REQUEST = """mutation($input: RequestPasskeyRegistrationInput!) {
  requestPasskeyRegistration(input: $input) { %s
    ... on RequestPasskeyRegistrationSuccess { challenge { id options } } } }"""
REGISTER = """mutation($input: RegisterPasskeyInput!) { registerPasskey(input: $input) { %s
  ... on RegisterPasskeySuccess { passkey { id name synced } } } }"""
CHALLENGE = """mutation($input: RequestPaymentChallengeInput!) {
  requestPaymentChallenge(input: $input) { %s
    ... on RequestPaymentChallengeSuccess { challenge { id methods options } } } }"""
REQUEST_LOGIN = """mutation($input: RequestPasskeyLoginInput!) {
  requestPasskeyLogin(input: $input) { %s
    ... on RequestPasskeyLoginSuccess { challenge { id options } } } }"""
LOGIN = """mutation($input: LoginWithPasskeyInput!) { loginWithPasskey(input: $input) { %s
  ... on LoginWithPasskeySuccess { session { accessToken } viewer { id } } } }"""
MINE = "query { viewer { id passkeys { name lastUsedAt } } }"


@pytest.fixture
async def page(stack: running.Running) -> AsyncIterator[browser.Page]:
    """A page of ours with an authenticator that knows its user's finger."""
    program = browser.find_chromium()
    if program is None:
        pytest.skip("!!! NO CHROMIUM HERE: passkeys were NOT tested in a browser !!!")
    async with browser.launch(program) as connection, browser.new_page(connection) as opened:
        await opened.call("WebAuthn.enable")
        await opened.call(
            "WebAuthn.addVirtualAuthenticator",
            options={
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            },
        )
        await opened.open(f"{_home(stack)}/console")
        await opened.until(f"location.origin === {json.dumps(_home(stack))}")
        yield opened


def _city(stack: running.Running) -> dict[str, list[dict[str, str]]]:
    return json.loads(Path(stack.env["WALLET_DEMO_FILE"]).read_text(encoding="utf-8"))


def _home(stack: running.Running) -> str:
    return stack.api_url.replace("127.0.0.1", "localhost")


async def _asked(page: browser.Page, kind: str, challenge: dict[str, Any]) -> dict[str, str]:
    """What the browser's authenticator makes of a challenge, as an input takes it."""
    made = await page.evaluate(
        f"({_IN_THE_PAGE})({json.dumps(kind)}, {json.dumps(challenge['options'])})"
    )
    return {"challengeId": challenge["id"], "credential": made}


async def _done(client: Client, document: str, **fields: Any) -> dict[str, Any]:
    named = document % _ANSWER if "%s" in document else document
    result = await client.mutate(named, **fields)
    assert result["__typename"].endswith("Success"), result
    return result


async def _opened(client: Client, stack: running.Running, amount: str) -> str:
    """A payment that waits; its id."""
    found = await client.run(documents.RESOLVE_QR, payload=_city(stack)["merchants"][0]["qr"])
    opened = await _done(
        client,
        documents.CREATE_PAYMENT,
        merchantId=found["resolveQr"]["merchant"]["id"],
        amount={"amount": amount, "currencyCode": "CNY"},
        idempotencyKey=str(uuid.uuid4()),
    )
    assert opened["payment"]["state"] == "AWAITING_CONFIRMATION"
    return opened["payment"]["id"]


async def test_a_passkey_is_added_pays_and_signs_in(
    stack: running.Running, page: browser.Page
) -> None:
    who = [one for one in _city(stack)["logins"] if one["role"] == "RESIDENT"][1]
    async with Client(stack.api_url) as client, Client(stack.api_url) as stranger:
        client.token = await sign_in.access_token(demo.world_of(stack.env), who)

        asked = await _done(client, REQUEST, password=who["password"])
        made = await _asked(page, "create", asked["challenge"])
        added = await _done(client, REGISTER, **made, name="Chromium")
        assert added["passkey"]["name"] == "Chromium"

        payment_id, key = await _opened(client, stack, "60.00"), str(uuid.uuid4())
        asked = await _done(client, CHALLENGE, deed={"paymentId": payment_id}, idempotencyKey=key)
        assert "PASSKEY" in asked["challenge"]["methods"]
        proof = {"passkey": await _asked(page, "get", asked["challenge"])}
        other_id = await _opened(client, stack, "60.00")
        refused = await client.mutate(
            documents.CONFIRM_PAYMENT, paymentId=other_id, proof=proof, idempotencyKey=key
        )
        assert refused["code"] == "CHALLENGE_INVALID"
        paid = await _done(
            client,
            documents.CONFIRM_PAYMENT,
            paymentId=payment_id,
            proof=proof,
            idempotencyKey=key,
        )
        assert paid["payment"]["state"] == "SUCCEEDED"

        asked = await _done(stranger, REQUEST_LOGIN, origin=_home(stack))
        answer = await _asked(page, "get", asked["challenge"])
        answer["device"] = DeviceKey().input("Chromium")
        entered = await _done(stranger, LOGIN, **answer)
        again = await stranger.mutate(LOGIN % _ANSWER, **answer)
        assert again["code"] == "CHALLENGE_INVALID"
        mine = await client.run(MINE)
        assert entered["viewer"]["id"] == mine["viewer"]["id"]
        assert mine["viewer"]["passkeys"][0]["lastUsedAt"] is not None


async def test_staff_sign_in_at_the_console_by_passkey(
    stack: running.Running, page: browser.Page
) -> None:
    who = next(one for one in _city(stack)["logins"] if one["role"] == "COMPLIANCE")
    async with Client(stack.api_url) as client:
        client.token = await sign_in.access_token(demo.world_of(stack.env), who)
        asked = await _done(client, REQUEST, password=who["password"])
        made = await _asked(page, "create", asked["challenge"])
        await _done(client, REGISTER, **made, name="Chromium")

    home = _home(stack)
    await console_page.sign_in(page, home, phone=who["phone"], password=who["password"])
    await page.click("button", containing="Use a passkey")
    await page.until_text(who["name"], "[data-testid=who]")
    assert page.exceptions == []
