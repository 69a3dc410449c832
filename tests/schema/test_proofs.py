"""Proofs and passkeys as clients speak of them."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from domain.identity import ANONYMOUS, Viewer
from schema import schema
from schema.context import Context
from services import people as persons
from tests import movement as town
from tests import passkeys as keys
from tests import people as make
from tests.authenticator import ORIGIN, Authenticator
from tests.demo.device import DeviceKey
from transport import documents
from transport.engine import Engine
from transport.limits import Limits

usefixtures = pytest.mark.usefixtures("counter")
NO = "__typename ... on Error { code path message }"
CONFIRM = f"""mutation($input: ConfirmPaymentInput!) {{ confirmPayment(input: $input) {{ {NO}
  ... on ProofTooWeakError {{ sufficient }}
  ... on ConfirmPaymentSuccess {{ payment {{ id state }} }} }} }}"""
TRANSFER = f"""mutation($input: CreateTransferInput!) {{ createTransfer(input: $input) {{ {NO}
  ... on CreateTransferSuccess {{ transaction {{ id }} }} }} }}"""
CHALLENGE = f"""mutation($input: RequestPaymentChallengeInput!) {{
  requestPaymentChallenge(input: $input) {{ {NO}
    ... on RequestPaymentChallengeSuccess {{ challenge {{ id methods options }} }} }} }}"""
STEP_UP = f"""mutation($input: RequestStepUpChallengeInput!) {{
  requestStepUpChallenge(input: $input) {{ {NO}
    ... on RequestStepUpChallengeSuccess {{ challenge {{ id methods options }} }} }} }}"""
SEND_CODE = f"""mutation($input: SendProofCodeInput!) {{ sendProofCode(input: $input) {{ {NO}
  ... on SendProofCodeSuccess {{ verification {{ id expiresAt resendAfterSeconds }} }} }} }}"""
REQUEST = f"""mutation($input: RequestPasskeyRegistrationInput!) {{
  requestPasskeyRegistration(input: $input) {{ {NO}
    ... on RequestPasskeyRegistrationSuccess {{ challenge {{ id options }} }} }} }}"""
REGISTER = f"""mutation($input: RegisterPasskeyInput!) {{ registerPasskey(input: $input) {{ {NO}
  ... on RegisterPasskeySuccess {{ passkey {{ id name synced createdAt lastUsedAt }} }} }} }}"""
RENAME = f"""mutation($input: RenamePasskeyInput!) {{ renamePasskey(input: $input) {{ {NO}
  ... on RenamePasskeySuccess {{ passkey {{ id name }} }} }} }}"""
REMOVE = f"""mutation($input: RemovePasskeyInput!) {{ removePasskey(input: $input) {{ {NO}
  ... on LastPasskeyError {{ remaining }}
  ... on RemovePasskeySuccess {{ remaining viewer {{ passkeys {{ id }} }} }} }} }}"""
REQUEST_LOGIN = f"""mutation($input: RequestPasskeyLoginInput!) {{
  requestPasskeyLogin(input: $input) {{ {NO}
    ... on RequestPasskeyLoginSuccess {{ challenge {{ id options }} }} }} }}"""
LOGIN = f"""mutation($input: LoginWithPasskeyInput!) {{ loginWithPasskey(input: $input) {{ {NO}
  ... on LoginWithPasskeySuccess {{ session {{ accessToken }} viewer {{ displayName }} }} }} }}"""
MINE = "query($id: ID!) { viewer { passkeys { id name } } node(id: $id) { id __typename } }"


async def ask(viewer: Viewer, document: str, **variables: Any) -> dict[str, Any]:
    """The one field of an operation that ends without top-level errors."""
    context = Context(viewer=viewer, address="192.0.2.30", language="en")
    result = await schema.execute(document, variables, context_value=context)
    assert not result.errors, result.errors
    assert result.data is not None
    return next(iter(result.data.values()))


def yuan(amount: str) -> dict[str, str]:
    return {"amount": amount, "currencyCode": "CNY"}


async def with_passkey(viewer: Viewer) -> tuple[Authenticator, dict[str, Any]]:
    device = Authenticator()
    asked = await ask(viewer, REQUEST, input={"password": make.PASSWORD})
    made = {
        "challengeId": asked["challenge"]["id"],
        "credential": device.create(asked["challenge"]["options"]),
        "name": "My phone",
    }
    return device, (await ask(viewer, REGISTER, input=made))["passkey"]


@usefixtures
async def test_a_passkey_from_its_beginning_to_its_end() -> None:
    viewer = await town.resident()
    device, passkey = await with_passkey(viewer)
    assert (passkey["name"], passkey["lastUsedAt"]) == ("My phone", None)

    asked = await ask(ANONYMOUS, REQUEST_LOGIN, input={"origin": ORIGIN})
    answer = {
        "challengeId": asked["challenge"]["id"],
        "credential": device.get(asked["challenge"]["options"]),
        "device": DeviceKey().input("a phone"),
    }
    entered = await ask(ANONYMOUS, LOGIN, input=answer)
    assert entered["viewer"] == {"displayName": "张三丰"}
    assert (await ask(ANONYMOUS, LOGIN, input=answer))["code"] == "CHALLENGE_INVALID"

    named = {"passkeyId": passkey["id"], "name": "Old phone"}
    assert (await ask(viewer, RENAME, input=named))["passkey"]["name"] == "Old phone"
    context = Context(viewer=viewer)
    found = await schema.execute(MINE, {"id": passkey["id"]}, context_value=context)
    assert found.data == {
        "viewer": {"passkeys": [{"id": passkey["id"], "name": "Old phone"}]},
        "node": {"id": passkey["id"], "__typename": "Passkey"},
    }
    other = await schema.execute(
        MINE, {"id": passkey["id"]}, context_value=Context(viewer=await town.resident())
    )
    assert other.data == {"viewer": {"passkeys": []}, "node": None}

    removing = {"passkeyId": passkey["id"], "password": make.PASSWORD}
    last = await ask(viewer, REMOVE, input=removing)
    assert (last["code"], last["remaining"]) == ("LAST_PASSKEY", ["PIN", "PIN_AND_CODE"])
    gone = await ask(viewer, REMOVE, input=removing | {"acceptRemaining": True})
    assert gone["viewer"] == {"passkeys": []}
    assert gone["remaining"] == ["PIN", "PIN_AND_CODE"]


@usefixtures
async def test_a_large_transfer_is_proven_by_passkey_or_by_pin_and_code(
    superuser: asyncpg.Connection,
) -> None:
    payer, payee = await town.resident(balance=400_000), await town.resident()
    device, _ = await keys.added(payer)
    deed = {"phone": persons.phone_of(payee), "amount": yuan("1500.00"), "memo": "房租"}

    weak = await ask(
        payer, TRANSFER, input={**deed, "proof": {"pin": make.PIN}, "idempotencyKey": "t1"}
    )
    assert weak["code"] == "PROOF_TOO_WEAK"
    assert weak["path"] == ["input", "proof"]

    asked = await ask(payer, CHALLENGE, input={"deed": {"transfer": deed}, "idempotencyKey": "t1"})
    challenge = asked["challenge"]
    assert challenge["methods"] == ["PIN_AND_CODE", "PASSKEY"]
    proof = {"challengeId": challenge["id"], "credential": device.get(challenge["options"])}
    moved = {**deed, "proof": {"passkey": proof}, "idempotencyKey": "t1"}
    assert (await ask(payer, TRANSFER, input=moved))["__typename"] == "CreateTransferSuccess"

    asked = await ask(payer, CHALLENGE, input={"deed": {"transfer": deed}, "idempotencyKey": "t2"})
    sent = await ask(payer, SEND_CODE, input={"challengeId": asked["challenge"]["id"]})
    code = await make.code_of(superuser, persons.phone_of(payer), make.CodePurpose.PAYMENT)
    proof = {"pin": make.PIN, "verificationId": sent["verification"]["id"], "code": code}
    moved = {**deed, "proof": {"pinAndCode": proof}, "idempotencyKey": "t2"}
    assert (await ask(payer, TRANSFER, input=moved))["__typename"] == "CreateTransferSuccess"
    assert await town.balance(payee.account_id) == 300_000


@usefixtures
async def test_a_challenge_names_what_is_wrong_with_its_deed() -> None:
    payer = await town.resident(balance=1_000)
    deeds = {
        ("NOT_FOUND", "paymentId"): {"paymentId": "nonsense"},
        ("RECIPIENT_NOT_FOUND", "transfer"): {
            "transfer": {"phone": "13812345678", "amount": yuan("1.00")}
        },
        ("INVALID_INPUT", "allowance"): {
            "allowance": {"amountMax": yuan("9000.00"), "dailyCountMax": 1}
        },
    }
    for (code, name), deed in deeds.items():
        answer = await ask(payer, CHALLENGE, input={"deed": deed, "idempotencyKey": "k"})
        assert (answer["code"], answer["path"][:3]) == (code, ["input", "deed", name])
    zero = {"allowance": {"amountMax": yuan("0.00"), "dailyCountMax": 0}}
    asked = await ask(payer, CHALLENGE, input={"deed": zero, "idempotencyKey": "k"})
    assert asked["challenge"]["options"] is None
    lifted = await ask(payer, CHALLENGE, input={"deed": {"unfreeze": True}, "idempotencyKey": "k"})
    assert lifted["challenge"]["methods"] == ["PIN_AND_CODE", "PASSKEY"]


@usefixtures
async def test_a_step_up_challenge_has_a_subject_of_a_sane_length() -> None:
    viewer = await town.resident()
    wanted = {"action": "CLOSE_ACCOUNT"}
    asked = await ask(viewer, STEP_UP, input=wanted)
    assert asked["challenge"]["methods"] == ["PIN_AND_CODE", "PASSKEY"]
    refused = await ask(viewer, STEP_UP, input=wanted | {"subject": "x" * 201})
    assert refused["path"] == ["input", "subject"]


@pytest.mark.parametrize("proof", [{}, {"pin": None}, {"pin": "820461", "passkey": None}])
@usefixtures
async def test_a_proof_in_a_variable_is_exactly_one_thing(proof: dict[str, Any]) -> None:
    engine = Engine(schema, Limits())
    given = {"paymentId": "x", "proof": proof, "idempotencyKey": "k"}
    plan = engine.plan(CONFIRM, None, {"input": given})
    answer = await engine.execute(plan, Context(viewer=await town.resident()))
    assert answer.get("data") is None
    assert [one["extensions"]["code"] for one in answer["errors"]] == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("proof", ["{}", "{pin: null}", '{pin: "820461", passkey: null}'])
def test_a_proof_in_a_document_is_exactly_one_thing(proof: str) -> None:
    given = f'{{paymentId: "x", proof: {proof}, idempotencyKey: "k"}}'
    document = f"mutation {{ confirmPayment(input: {given}) {{ __typename }} }}"
    with pytest.raises(documents.Unacceptable):
        Engine(schema, Limits()).plan(document, None, None)
    Engine(schema, Limits()).plan(document.replace(proof, '{pin: "820461"}'), None, None)
