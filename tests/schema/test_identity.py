"""Registration, sessions and review as a client speaks them."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import strawberry
from strawberry.schema.config import StrawberryConfig

from domain.identity import ANONYMOUS, Role, Status, Viewer
from schema import fields, ids, scalars
from schema.context import Context
from schema.identity import IdentityMutation, IdentityQuery, IdentitySubscription
from schema.registrations import IdentityStaffMutation, IdentityStaffQuery
from services.identity import sessions
from services.unit_of_work import snapshot
from tests import people as make


@strawberry.type
class Query(IdentityQuery, IdentityStaffQuery):
    pass


@strawberry.type
class Mutation(IdentityMutation, IdentityStaffMutation):
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
  __typename ...no ... on LoginSuccess { session { ...tokens } viewer {
    displayName phone role status hasPaymentPin language } } } }"""
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
SET_PIN = (
    """mutation($input: SetPaymentPinInput!) { setPaymentPin(input: $input) {
  __typename ...no ... on SetPaymentPinSuccess { viewer { hasPaymentPin } } } }"""
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
    phone = make.phone()
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

    token = {"refreshToken": success["session"]["refreshToken"]}
    renewed = (await ask(REFRESH, input=token))["refreshSession"]
    assert renewed["__typename"] == "RefreshSessionSuccess"
    await ask(
        LOGOUT,
        input={"refreshToken": renewed["session"]["refreshToken"]},
    )
    again = await ask(REFRESH, input={"refreshToken": renewed["session"]["refreshToken"]})
    assert again["refreshSession"]["__typename"] == "SessionInvalidError"


async def test_signing_in_shows_oneself_with_the_phone_masked(
    app: object, superuser: asyncpg.Connection
) -> None:
    phone = make.phone()
    await make.resident(superuser, phone)
    data = await ask(LOGIN, input={"phone": phone, "password": make.PASSWORD})

    assert data["login"]["viewer"] == {
        "displayName": "王小明",
        "phone": f"+86 {phone[3:6]}****{phone[-4:]}",
        "role": "RESIDENT",
        "status": "ACTIVE",
        "hasPaymentPin": False,
        "language": "ZH_CN",
    }


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
