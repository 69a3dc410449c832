"""Staff come in, set an authenticator up, and are elevated, as a client speaks it."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from domain.identity import ANONYMOUS, CodePurpose, Role, Viewer
from schema import schema
from schema.context import Context
from services import people as persons
from services.identity import sessions
from services.unit_of_work import snapshot
from tests import passkeys as keys
from tests import people as make
from tests.demo.device import DeviceKey
from tests.services.test_totp import code_at

NO = "__typename ... on Error { code path }"
LOGIN = (
    "mutation($input: LoginInput!) { login(input: $input) { %s ... on LoginSuccess {"
    " challenge { id nonce methods passkeyOptions } } } }"
)
SEND = (
    "mutation($input: SendLoginCodeInput!) { sendLoginCode(input: $input) { %s"
    " ... on SendLoginCodeSuccess { verification { id } } } }"
)
COMPLETE = (
    "mutation($input: CompleteLoginInput!) { completeLogin(input: $input) { %s"
    " ... on CompleteLoginSuccess { session { accessToken } viewer { needsSecondFactor } } } }"
)
ENROL = (
    "mutation($input: EnrolTotpInput!) { enrolTotp(input: $input) { %s"
    " ... on EnrolTotpSuccess { uri secret } } }"
)
CONFIRM = (
    "mutation($input: ConfirmTotpInput!) { confirmTotp(input: $input) { %s"
    " ... on ConfirmTotpSuccess { confirmed } } }"
)
STEP_UP = (
    "mutation($input: RequestStepUpChallengeInput!) { requestStepUpChallenge(input: $input) { %s"
    " ... on RequestStepUpChallengeSuccess { challenge { id methods options } } } }"
)
ELEVATE = (
    "mutation($input: ElevateInput!) { elevate(input: $input) { %s"
    " ... on ElevateSuccess { elevation { until reason } } } }"
)
ROTATE = "mutation { rotateKeys(input: { key: 999 }) { __typename ... on Error { code } } }"
MEMBERS = (
    "{ staff { members(first: 5) { edges { node { displayName role hasTotp hasPasskey } } } } }"
)


async def ask(document: str, viewer: Viewer = ANONYMOUS, **fields: Any) -> dict[str, Any]:
    """The mutation's answer; ``fields`` are its input's."""
    result: Any = await run(document % NO, viewer, {"input": fields})
    assert result.errors is None, result.errors
    [data] = result.data.values()
    return data


async def run(document: str, viewer: Viewer, variables: dict[str, Any] | None = None) -> Any:
    context = Context(viewer=viewer, address=make.ADDRESS)
    return await schema.execute(document, variables, context_value=context)


async def refused(document: str, viewer: Viewer) -> str:
    """The code of the error that stands for the whole field."""
    result = await run(document, viewer)
    return type(result.errors[0].original_error).code


async def signed_in(answer: dict[str, Any]) -> Viewer:
    async with snapshot() as read:
        viewer = await sessions.viewer_of(read, answer["session"]["accessToken"])
    assert viewer is not None
    return viewer


async def challenged(number: str) -> dict[str, Any]:
    return (await ask(LOGIN, phone=number, password=make.PASSWORD))["challenge"]


async def complete(challenge: dict[str, Any], **proof: Any) -> dict[str, Any]:
    device = DeviceKey().input()
    return await ask(COMPLETE, challengeId=challenge["id"], proof=proof, device=device)


@pytest.mark.usefixtures("app")
async def test_an_admin_comes_in_sets_an_authenticator_up_and_is_elevated_by_it(
    superuser: asyncpg.Connection,
) -> None:
    number = persons.phone_of(await make.staff(Role.ADMIN))
    challenge = await challenged(number)
    assert challenge["methods"] == ["DEVICE_KEY", "CODE"]
    sent = await ask(SEND, challengeId=challenge["id"])
    given = {
        "verificationId": sent["verification"]["id"],
        "code": await make.code_of(superuser, number, CodePurpose.LOGIN),
    }
    answer = await complete(challenge, code=given)
    assert answer["viewer"] == {"needsSecondFactor": True}
    admin = await signed_in(answer)
    assert await refused(MEMBERS, admin) == "SECOND_FACTOR_REQUIRED"
    assert await refused(ROTATE, admin) == "SECOND_FACTOR_REQUIRED"

    made = await ask(ENROL, admin, password=make.PASSWORD)
    assert f"secret={made['secret']}" in made["uri"]
    code = await code_at(superuser, made["secret"], steps=-1)
    assert (await ask(CONFIRM, admin, code=code))["confirmed"]
    admin = await make.again(admin)
    result = await run(MEMBERS, admin)
    [edge] = result.data["staff"]["members"]["edges"]
    assert edge["node"] == {
        "displayName": "陈思远",
        "role": "ADMIN",
        "hasTotp": True,
        "hasPasskey": False,
    }
    assert await refused(ROTATE, admin) == "ELEVATION_REQUIRED"

    used = await ask(ELEVATE, admin, reason="例行检查", proof={"totp": code})
    assert (used["code"], used["path"]) == ("TOTP_INVALID", ["input", "proof", "totp"])
    code = await code_at(superuser, made["secret"])
    done = await ask(ELEVATE, admin, reason="例行检查", proof={"totp": code})
    assert done["elevation"]["reason"] == "例行检查"
    result = await run(ROTATE, await make.again(admin))
    assert result.data == {
        "rotateKeys": {"__typename": "InvalidInputError", "code": "INVALID_INPUT"}
    }

    challenge = await challenged(number)
    assert challenge["methods"] == ["TOTP"]
    for answer in (
        await ask(SEND, challengeId=challenge["id"]),
        await complete(challenge, code=given),
    ):
        assert answer["code"] == "SECOND_FACTOR_TOO_WEAK"
    code = await code_at(superuser, made["secret"], steps=1)
    answer = await complete(challenge, totp=code)
    assert answer["viewer"] == {"needsSecondFactor": False}


@pytest.mark.usefixtures("app")
async def test_a_passkey_signs_staff_in_and_elevates_them(superuser: asyncpg.Connection) -> None:
    officer = await make.staff(Role.RISK, elevated=False)
    device, _ = await keys.added(officer)
    challenge = await challenged(persons.phone_of(officer))
    assert challenge["methods"] == ["PASSKEY"]
    answer = await complete(challenge, passkey={"credential": "{}"})
    assert (answer["code"], answer["path"]) == (
        "PASSKEY_INVALID",
        ["input", "proof", "passkey", "credential"],
    )
    credential = device.get(challenge["passkeyOptions"])
    officer = await signed_in(await complete(challenge, passkey={"credential": credential}))

    asked = (await ask(STEP_UP, officer, action="ELEVATE"))["challenge"]
    assert asked["methods"] == ["PASSKEY"]
    proof = {"challengeId": asked["id"], "credential": device.get(asked["options"])}
    elevated = await ask(ELEVATE, officer, reason="处理申诉", proof={"passkey": proof})
    assert elevated["elevation"]["reason"] == "处理申诉"
    again = await ask(ELEVATE, officer, reason="处理申诉", proof={"passkey": proof})
    assert again["code"] == "CHALLENGE_INVALID"
    nothing = await ask(
        ELEVATE,
        officer,
        reason="处理申诉",
        proof={"passkey": {"challengeId": "x", "credential": "{}"}},
    )
    assert nothing["code"] == "CHALLENGE_INVALID"
