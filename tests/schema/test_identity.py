"""Registration, sessions and review as a client speaks them."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
import strawberry
from strawberry.schema.config import StrawberryConfig

from domain.identity import ANONYMOUS, CodePurpose, Role, Status, Viewer
from schema import fields, ids, scalars
from schema.context import Context
from schema.identity import IdentityMutation, IdentityQuery, IdentitySubscription
from schema.nodes import NodeQuery
from schema.passwords import PasswordMutation
from schema.pins import PinMutation
from schema.registrations import IdentityStaffMutation, IdentityStaffQuery, RegistrationMutation
from services.identity import sessions
from services.unit_of_work import snapshot
from tests import people as make
from tests.demo.device import DeviceKey


@strawberry.type
class Query(IdentityQuery, IdentityStaffQuery, NodeQuery):
    pass


@strawberry.type
class Mutation(
    IdentityMutation, PinMutation, PasswordMutation, RegistrationMutation, IdentityStaffMutation
):
    pass


@strawberry.type
class Subscription(IdentitySubscription):
    pass


SCHEMA = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    config=StrawberryConfig(scalar_map=scalars.SCALAR_MAP),
)
CONSENTS = [{"purpose": "TERMS", "version": 1}, {"purpose": "PRIVACY", "version": 1}]
NO = " fragment no on Error { code path retryable message }"
TOKENS = " fragment tokens on SessionTokens { accessToken refreshToken expiresAt }"
REQUEST_CODE = (
    """mutation($input: RequestVerificationCodeInput!) {
  requestVerificationCode(input: $input) {
    __typename ...no ... on RequestVerificationCodeSuccess {
      verification { id expiresAt resendAfterSeconds } } } }"""
    + NO
)
REGISTER = (
    """mutation($input: RegisterInput!) { register(input: $input) {
  __typename ...no ... on RegisterSuccess {
    session { ...tokens } viewer { status hasPaymentPin displayName } } } }"""
    + NO
    + TOKENS
)
LOGIN = (
    """mutation($input: LoginInput!) { login(input: $input) {
  __typename ...no ... on LoginSuccess { challenge { id nonce methods expiresAt } } } }"""
    + NO
)
SEND_CODE = (
    """mutation($input: SendLoginCodeInput!) { sendLoginCode(input: $input) {
  __typename ...no ... on SendLoginCodeSuccess { verification { id resendAfterSeconds } } } }"""
    + NO
)
COMPLETE = (
    """mutation($input: CompleteLoginInput!) { completeLogin(input: $input) {
  __typename ...no ... on CompleteLoginSuccess { session { ...tokens }
    device { id name platform current revokedAt }
    viewer { displayName phone role status hasPaymentPin language } } } }"""
    + NO
    + TOKENS
)
REFRESH = (
    """mutation($input: RefreshSessionInput!) { refreshSession(input: $input) {
  __typename ...no ... on RefreshSessionSuccess { session { ...tokens } } } }"""
    + NO
    + TOKENS
)
LOGOUT = "mutation($input: LogoutInput!) { logout(input: $input) { __typename } }"
DEVICES = """{ viewer {
  sessions(first: 5) { edges { node { id network current device { id name platform current } } } }
  devices(first: 5) { edges { node { id name current enrolledAt lastSeenAt } } } } }"""
REVOKE_SESSION = (
    """mutation($input: RevokeSessionInput!) { revokeSession(input: $input) {
  __typename ...no ... on RevokeSessionSuccess { sessionId } } }"""
    + NO
)
REVOKE_DEVICE = (
    """mutation($input: RevokeDeviceInput!) { revokeDevice(input: $input) {
  __typename ...no ... on RevokeDeviceSuccess { device { id revokedAt } sessionsEnded } } }"""
    + NO
)
LOGOUT_EVERYWHERE = """mutation($input: LogoutEverywhereInput!) { logoutEverywhere(input: $input) {
  __typename ... on LogoutEverywhereSuccess { sessionsEnded } } }"""
CODE = {"verificationId": "x", "code": "1"}
NODE = "query($id: ID!) { node(id: $id) { __typename } }"
SET_PIN = (
    """mutation($input: SetPaymentPinInput!) { setPaymentPin(input: $input) {
  __typename ...no ... on SetPaymentPinSuccess { viewer { hasPaymentPin } } } }"""
    + NO
)
RESUBMIT = (
    """mutation($input: ResubmitRegistrationInput!) { resubmitRegistration(input: $input) {
  __typename ...no ... on ResubmitRegistrationSuccess { viewer {
    status displayName kycLevel mayApplyAgainAt
    personalDetails { maskedIdNumber email postalAddress } } } } }"""
    + NO
)
CHANGE_PASSWORD = (
    """mutation($input: ChangePasswordInput!) { changePassword(input: $input) {
  __typename ...no ... on ChangePasswordSuccess { viewer { displayName } } } }"""
    + NO
)
QUEUE = """query($first: Int, $after: String) { staff {
  registrationQueue(first: $first, after: $after) {
    edges { cursor node { id displayName phone state reason requestedAt version } }
    pageInfo { hasNextPage endCursor } } } }"""
REVIEW = (
    """mutation($input: ReviewRegistrationInput!) { reviewRegistration(input: $input) {
  __typename ...no ... on ReviewRegistrationSuccess { registration { id state } } } }"""
    + NO
)


def context(viewer: Viewer = ANONYMOUS, **changes: Any) -> Context:
    return Context(viewer=viewer, address="192.0.2.8", **changes)


async def ask(document: str, viewer: Viewer = ANONYMOUS, **variables: Any) -> dict[str, Any]:
    """The data of an operation that ends without top-level errors."""
    result = await SCHEMA.execute(document, variables, context_value=context(viewer))
    assert not result.errors, result.errors
    assert result.data is not None
    return result.data


async def refused(document: str, viewer: Viewer, **variables: Any) -> str:
    """The code of the denial that an operation ends with."""
    result = await SCHEMA.execute(document, variables, context_value=context(viewer))
    assert result.errors
    denied = result.errors[0].original_error
    assert denied is not None
    return denied.code  # type: ignore[attr-defined]


async def viewer_of(session: dict[str, str]) -> Viewer:
    async with snapshot() as read:
        viewer = await sessions.viewer_of(read, session["accessToken"])
    assert viewer is not None
    return viewer


def test_every_way_in_has_a_rule() -> None:
    assert fields.fields_without_rule(SCHEMA) == []


def test_everything_is_described() -> None:
    for name, kind in SCHEMA._schema.type_map.items():
        if name.startswith("__"):
            continue
        for field_name, field in {
            **getattr(kind, "fields", {}),
            **getattr(kind, "values", {}),
        }.items():
            assert field.description, f"{name}.{field_name}"


async def test_a_resident_registers_is_approved_live_sets_a_pin_and_leaves(
    app: object, superuser: asyncpg.Connection
) -> None:
    phone, key = make.phone(), DeviceKey()
    requested = await ask(
        REQUEST_CODE,
        input={"phone": phone, "purpose": "REGISTER"},
    )
    verification = requested["requestVerificationCode"]["verification"]
    assert verification["resendAfterSeconds"] == 60
    registered = await ask(
        REGISTER,
        input={
            "name": "王小明",
            "phone": phone,
            "verificationId": verification["id"],
            "code": await make.code_of(superuser, phone),
            "password": make.PASSWORD,
            "language": "EN",
            "device": key.input("王小明的手机"),
            "consents": CONSENTS,
        },
    )
    success = registered["register"]
    assert success["__typename"] == "RegisterSuccess"
    assert success["viewer"] == {
        "status": "PENDING_REVIEW",
        "hasPaymentPin": False,
        "displayName": "王小明",
    }
    caller = await viewer_of(success["session"])

    events = await SCHEMA.subscribe(
        "subscription { viewerStatusEvents { status } }", context_value=context(caller)
    )
    async with asyncio.timeout(20):
        first = await anext(events)  # type: ignore[arg-type]
        assert first.data == {"viewerStatusEvents": {"status": "PENDING_REVIEW"}}
        waiting = asyncio.ensure_future(anext(events))  # type: ignore[arg-type]
        assert await make.reviewed(caller.user_id) is Status.ACTIVE
        assert (await waiting).data == {"viewerStatusEvents": {"status": "ACTIVE"}}
    await events.aclose()  # type: ignore[union-attr]

    pin = await ask(
        SET_PIN,
        await viewer_of(success["session"]),
        input={"password": make.PASSWORD, "pin": make.PIN},
    )
    assert pin["setPaymentPin"]["viewer"] == {"hasPaymentPin": True}

    renewed = (await ask(REFRESH, input=refreshing(success["session"], key)))["refreshSession"]
    assert renewed["__typename"] == "RefreshSessionSuccess"
    await ask(
        LOGOUT,
        input={"refreshToken": renewed["session"]["refreshToken"]},
    )
    again = await ask(REFRESH, input=refreshing(renewed["session"], key))
    assert again["refreshSession"]["__typename"] == "SessionInvalidError"


def refreshing(session: dict[str, str], key: DeviceKey) -> dict[str, str]:
    token = session["refreshToken"]
    return {"refreshToken": token, "deviceSignature": key.refresh_signature(token)}


async def challenged(phone: str) -> dict[str, Any]:
    data = await ask(LOGIN, input={"phone": phone, "password": make.PASSWORD})
    return data["login"]["challenge"]


async def signed_in(phone: str, key: DeviceKey) -> dict[str, Any]:
    """Both steps, by a known device."""
    challenge = await challenged(phone)
    proof = key.login_proof(challenge)
    data = await ask(COMPLETE, input={"challengeId": challenge["id"], "proof": proof})
    return data["completeLogin"]


async def test_a_rejected_applicant_corrects_the_application_and_sees_the_own_details(
    app: object, superuser: asyncpg.Connection
) -> None:
    signed_in = await make.registered(superuser, make.phone(), name="测试")
    await make.reviewed(signed_in.viewer.user_id)
    caller, number = await make.again(signed_in.viewer), make.id_number()
    shown = await ask("{ viewer { status mayApplyAgainAt } }", caller)
    assert shown["viewer"]["mayApplyAgainAt"] is not None

    given = {"name": "王小明", "idNumber": number.lower(), "email": "w@example.com"}
    bad = await ask(RESUBMIT, caller, input=given | {"idNumber": number[::-1]})
    assert bad["resubmitRegistration"]["path"] == ["input", "idNumber"]
    done = await ask(RESUBMIT, caller, input=given)
    assert done["resubmitRegistration"]["viewer"] == {
        "status": "PENDING_REVIEW",
        "displayName": "王小明",
        "kycLevel": "PHONE",
        "mayApplyAgainAt": None,
        "personalDetails": {
            "maskedIdNumber": f"4{'*' * 16}{number[-1]}",
            "email": "w@example.com",
            "postalAddress": None,
        },
    }
    again = await ask(RESUBMIT, caller, input=given)
    assert again["resubmitRegistration"]["code"] == "REGISTRATION_NOT_REJECTED"


async def test_a_password_is_changed(app: object, superuser: asyncpg.Connection) -> None:
    phone = make.phone()
    caller = await make.resident(superuser, phone)
    given = {"password": make.PASSWORD, "newPassword": "password123"}
    easy = await ask(CHANGE_PASSWORD, caller, input=given)
    assert easy["changePassword"]["code"] == "PASSWORD_UNACCEPTABLE"
    same = await ask(CHANGE_PASSWORD, caller, input=given | {"newPassword": make.PASSWORD})
    assert same["changePassword"]["code"] == "PASSWORD_UNCHANGED"
    done = await ask(CHANGE_PASSWORD, caller, input=given | {"newPassword": "Futian-9-lighthouse"})
    assert done["changePassword"] == {
        "__typename": "ChangePasswordSuccess",
        "viewer": {"displayName": "王小明"},
    }


async def test_signing_in_shows_oneself_with_the_phone_masked(
    app: object, superuser: asyncpg.Connection
) -> None:
    phone, key = make.phone(), DeviceKey()
    await make.resident(superuser, phone, key=key)

    assert (await signed_in(phone, key))["viewer"] == {
        "displayName": "王小明",
        "phone": f"+86 {phone[3:6]}****{phone[-4:]}",
        "role": "RESIDENT",
        "status": "ACTIVE",
        "hasPaymentPin": False,
        "language": "ZH_CN",
    }


async def test_a_new_device_comes_in_by_code_and_is_listed_and_revoked(
    app: object, superuser: asyncpg.Connection
) -> None:
    phone, old, new = make.phone(), DeviceKey(), DeviceKey()
    await make.resident(superuser, phone, key=old)
    await make.pass_time(superuser, 61)
    challenge = await challenged(phone)
    assert challenge["methods"] == ["DEVICE_KEY", "CODE"]
    sent = await ask(SEND_CODE, input={"challengeId": challenge["id"]})
    assert sent["sendLoginCode"]["__typename"] == "SendLoginCodeSuccess"
    given = {
        "challengeId": challenge["id"],
        "proof": {
            "code": {
                "verificationId": sent["sendLoginCode"]["verification"]["id"],
                "code": await make.code_of(superuser, phone, CodePurpose.LOGIN),
            }
        },
        "device": new.input("平板"),
    }
    came = (await ask(COMPLETE, input=given))["completeLogin"]
    assert (came["device"]["name"], came["device"]["current"]) == ("平板", True)
    again = (await ask(COMPLETE, input=given))["completeLogin"]
    assert (again["code"], again["path"]) == ("LOGIN_CHALLENGE_INVALID", ["input", "challengeId"])

    caller = await viewer_of(came["session"])
    viewer = (await ask(DEVICES, caller))["viewer"]
    shown = [edge["node"] for edge in viewer["sessions"]["edges"]]
    known = [edge["node"] for edge in viewer["devices"]["edges"]]
    assert [one["current"] for one in shown] == [True, False]
    assert [one["device"]["name"] for one in shown] == ["平板", "测试手机"]
    assert {one["network"] for one in shown} == {"192.0.*.*"}
    assert [one["current"] for one in known] == [True, False]

    ended = await ask(REVOKE_SESSION, caller, input={"sessionId": shown[1]["id"]})
    assert ended["revokeSession"]["sessionId"] == shown[1]["id"]
    for id in (known[0]["id"], shown[0]["id"]):
        kind = (await ask(NODE, caller, id=id))["node"]["__typename"]
        assert kind == ("Device" if id == known[0]["id"] else "Session")
    stranger = (await make.registered(superuser, make.phone())).viewer
    for id in (known[0]["id"], shown[0]["id"]):
        assert (await ask(NODE, stranger, id=id))["node"] is None
    wrong = await ask(REVOKE_DEVICE, stranger, input={"deviceId": known[1]["id"]})
    assert wrong["revokeDevice"]["code"] == "NOT_FOUND"
    gone = await ask(REVOKE_DEVICE, caller, input={"deviceId": known[1]["id"]})
    assert gone["revokeDevice"]["sessionsEnded"] == 0
    refused_ = await signed_in(phone, old)
    assert refused_["code"] == "DEVICE_PROOF_INVALID"
    everywhere = await ask(LOGOUT_EVERYWHERE, caller, input={"exceptThis": True})
    assert everywhere["logoutEverywhere"]["sessionsEnded"] == 0


@pytest.mark.parametrize("proof", [{}, {"code": CODE, "deviceKey": None}, {"code": None}])
async def test_a_login_takes_exactly_one_proof(app: object, proof: dict[str, Any]) -> None:
    result = await SCHEMA.execute(
        COMPLETE, {"input": {"challengeId": "x", "proof": proof}}, context_value=context()
    )
    assert result.errors


async def test_a_wrong_password_and_a_bad_phone_are_data(app: object) -> None:
    wrong = await ask(LOGIN, input={"phone": make.phone(), "password": "guess"})
    assert wrong["login"] == {
        "__typename": "WrongCredentialsError",
        "code": "WRONG_CREDENTIALS",
        "path": None,
        "retryable": False,
        "message": "Wrong phone number or password.",
    }
    bad = await ask(LOGIN, input={"phone": "0755 8888 8888", "password": "guess"})
    assert bad["login"]["__typename"] == "InvalidInputError"
    assert bad["login"]["path"] == ["input", "phone"]


async def test_without_a_session_there_is_no_viewer_and_no_staff(app: object) -> None:
    assert await refused("{ viewer { id } }", ANONYMOUS) == "UNAUTHENTICATED"
    assert await ask("{ staff { registrationQueue { pageInfo { hasNextPage } } } }") == {
        "staff": None
    }


async def test_staff_page_through_the_queue_and_decide(
    app: object, superuser: asyncpg.Connection
) -> None:
    applicants = []
    for _ in range(3):
        signed_in = await make.registered(superuser, make.phone(), name="Иван Петров")
        await make.reviewed(signed_in.viewer.user_id)
        applicants.append(await make.again(signed_in.viewer))
    support, finance = await make.staff(Role.SUPPORT), await make.staff(Role.FINANCE)

    assert (await ask(QUEUE, applicants[0]))["staff"] is None
    assert await refused(QUEUE, finance) == "FORBIDDEN"
    page = (await ask(QUEUE, support, first=2))["staff"]["registrationQueue"]
    assert page["pageInfo"]["hasNextPage"]
    rest = await ask(QUEUE, support, first=2, after=page["pageInfo"]["endCursor"])
    nodes = [edge["node"] for edge in page["edges"] + rest["staff"]["registrationQueue"]["edges"]]
    assert len({node["id"] for node in nodes}) == 3
    assert {node["state"] for node in nodes} == {"REFERRED"}
    assert nodes[0]["reason"] == "A person will check the name."

    first = {"registrationId": nodes[0]["id"], "decision": "APPROVE"}
    decided = await ask(REVIEW, support, input=first | {"expectedVersion": nodes[0]["version"]})
    assert decided["reviewRegistration"]["registration"]["state"] == "ACTIVE"
    late = await ask(REVIEW, support, input=first | {"decision": "REJECT", "reason": "late"})
    assert late["reviewRegistration"]["code"] == "STALE_VERSION"
    assert (await make.again(applicants[0])).status is Status.ACTIVE
    for stranger in ("", "rubbish", nodes[0]["id"][::-1]):
        nobody = await ask(REVIEW, support, input=first | {"registrationId": stranger})
        assert nobody["reviewRegistration"]["code"] == "NOT_FOUND"


async def test_a_resident_reads_why_in_the_language_of_the_request(
    app: object, superuser: asyncpg.Connection
) -> None:
    signed_in = await make.registered(superuser, make.phone(), name="测试")
    await make.reviewed(signed_in.viewer.user_id)
    caller = await make.again(signed_in.viewer)
    reasons = []
    for language in ("en", "zh-CN"):
        result = await SCHEMA.execute(
            "{ viewer { reviewReason } }", context_value=context(caller, language=language)
        )
        assert result.data is not None
        reasons.append(result.data["viewer"]["reviewReason"])
    assert reasons == ["The name is not a real name.", "姓名不真实。"]


async def test_an_applicant_can_not_decide_the_own_registration(
    app: object, superuser: asyncpg.Connection
) -> None:
    signed_in = await make.registered(superuser, make.phone(), name="Иван Петров")
    await make.reviewed(signed_in.viewer.user_id)
    caller = await make.again(signed_in.viewer)
    given = {"registrationId": ids.encode("Registration", caller.user_id), "decision": "APPROVE"}

    assert await refused(REVIEW, caller, input=given) == "FORBIDDEN"
    assert await refused(REVIEW, ANONYMOUS, input=given) == "UNAUTHENTICATED"
    assert (await make.again(caller)).status is Status.REFERRED
