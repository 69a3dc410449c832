"""The console on a server of its own: the sign-in contract, one queue, one decision, one feed."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Annotated

import graphql
import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from strawberry.asgi import GraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import Info

from domain import devices
from infra import device_keys
from transport import console

PASSWORD = "correct horse battery"
CODE = "204816"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
FINANCE_PHONE, RESIDENT_PHONE = "+8613800000001", "+8613800000002"


@strawberry.enum
class Role(Enum):
    RESIDENT = "RESIDENT"
    FINANCE = "FINANCE"


@dataclass
class Desk:
    """Who may come in, which tokens are good, and what was decided."""

    access_seconds: int = 600
    access: dict[str, str] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)
    challenges: dict[str, str] = field(default_factory=dict)
    codes_sent: int = 0
    authenticator: bool = False
    must_enrol: bool = False
    devices: dict[str, bytes] = field(default_factory=dict)
    renewals: int = 0
    renewed: threading.Event = field(default_factory=threading.Event)
    decided: dict[str, str] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)

    def challenge(self, phone: str) -> Challenge:
        id = secrets.token_hex(8)
        self.challenges[id] = phone
        known = ["DEVICE_KEY"] if self.devices else []
        methods = ["TOTP"] if self.authenticator else [*known, "CODE"]
        return Challenge(id=strawberry.ID(id), nonce=f"nonce of {id}", methods=methods)

    def open(self, phone: str, device_id: str) -> Session:
        access, refresh = secrets.token_hex(8), secrets.token_hex(8)
        self.access[access], self.refresh[refresh] = phone, f"{phone} {device_id}"
        ends = datetime.now(UTC) + timedelta(seconds=self.access_seconds)
        return Session(access_token=access, refresh_token=refresh, expires_at=ends)

    def phone_of(self, authorization: str) -> str | None:
        return self.access.get(authorization.removeprefix("Bearer "))


@strawberry.type
class Session:
    access_token: str
    refresh_token: str
    expires_at: datetime


@strawberry.type
class Challenge:
    id: strawberry.ID
    nonce: str
    methods: list[str]
    passkey_options: str | None = None


@strawberry.type
class Verification:
    id: strawberry.ID


@strawberry.type
class Device:
    id: strawberry.ID


@strawberry.interface
class Error:
    code: str
    message: str


@strawberry.type
class WrongCredentialsError(Error):
    pass


@strawberry.type
class LoginSuccess:
    challenge: Challenge


@strawberry.type
class SendLoginCodeSuccess:
    verification: Verification


@strawberry.type
class CompleteLoginSuccess:
    session: Session
    device: Device


@strawberry.type
class EnrolTotpSuccess:
    secret: str
    uri: str


@strawberry.type
class ConfirmTotpSuccess:
    confirmed: bool


@strawberry.type
class RefreshSessionSuccess:
    session: Session


@strawberry.type
class LogoutSuccess:
    done: bool


@strawberry.type
class DecideRefundSuccess:
    refund_id: str
    decision: str


@strawberry.input
class LoginInput:
    phone: str
    password: str


@strawberry.input
class SendLoginCodeInput:
    challenge_id: strawberry.ID


@strawberry.input
class DeviceKeyProof:
    device_id: strawberry.ID
    signature: str


@strawberry.input
class CodeProof:
    verification_id: strawberry.ID
    code: str


@strawberry.input
class LoginProofInput:
    device_key: DeviceKeyProof | None = None
    code: CodeProof | None = None
    totp: str | None = None


@strawberry.input
class DeviceInput:
    public_key: str
    name: str
    platform: str


@strawberry.input
class CompleteLoginInput:
    challenge_id: strawberry.ID
    proof: LoginProofInput
    device: DeviceInput | None = None


@strawberry.input
class EnrolTotpInput:
    password: str


@strawberry.input
class ConfirmTotpInput:
    code: str


@strawberry.input
class RefreshSessionInput:
    refresh_token: str
    device_signature: str


@strawberry.input
class LogoutInput:
    refresh_token: str


@strawberry.input
class DecideRefundInput:
    refund_id: str
    decision: str
    idempotency_key: str


@strawberry.type
class Viewer:
    id: strawberry.ID
    display_name: str
    role: Role
    needs_second_factor: bool = False


@strawberry.type
class Money:
    amount: str
    currency_code: str


@strawberry.type
class Refund:
    id: strawberry.ID
    reason: str
    state: str
    amount: Money


@strawberry.type
class Staff:
    @strawberry.field
    def refund_queue(self, first: int) -> list[Refund]:
        waiting = [("重复付款", "38.50"), ("商品未收到", "126.00"), ("金额有误", "9.90")]
        return [
            Refund(
                id=strawberry.ID(f"refund-{number}"),
                reason=reason,
                state="REQUESTED",
                amount=Money(amount=amount, currency_code="CNY"),
            )
            for number, (reason, amount) in enumerate(waiting[:first], start=1)
        ]


class SignedOut(graphql.GraphQLError):
    def __init__(self) -> None:
        super().__init__("You are not signed in.", extensions={"code": "UNAUTHENTICATED"})


def caller(info: Info) -> str:
    """The phone behind the token of this request or socket, or the top-level error."""
    request = info.context["request"]
    authorization = request.headers.get("authorization", "")
    if "connection_params" in info.context:
        authorization = (info.context["connection_params"] or {}).get("authorization", "")
    if phone := request.app.state.desk.phone_of(authorization):
        return phone
    raise SignedOut


def desk_of(info: Info) -> Desk:
    return info.context["request"].app.state.desk


@strawberry.type
class Query:
    @strawberry.field
    def viewer(self, info: Info) -> Viewer:
        if caller(info) == FINANCE_PHONE:
            missing = desk_of(info).must_enrol
            return Viewer(
                id=strawberry.ID("1"),
                display_name="林会计",
                role=Role.FINANCE,
                needs_second_factor=missing,
            )
        return Viewer(id=strawberry.ID("2"), display_name="陈女士", role=Role.RESIDENT)

    @strawberry.field
    def staff(self, info: Info) -> Staff | None:
        return Staff() if caller(info) == FINANCE_PHONE else None


LoginResult = Annotated[LoginSuccess | WrongCredentialsError, strawberry.union("LoginResult")]
SendLoginCodeResult = Annotated[
    SendLoginCodeSuccess | WrongCredentialsError, strawberry.union("SendLoginCodeResult")
]
CompleteLoginResult = Annotated[
    CompleteLoginSuccess | WrongCredentialsError, strawberry.union("CompleteLoginResult")
]
EnrolTotpResult = Annotated[
    EnrolTotpSuccess | WrongCredentialsError, strawberry.union("EnrolTotpResult")
]
ConfirmTotpResult = Annotated[
    ConfirmTotpSuccess | WrongCredentialsError, strawberry.union("ConfirmTotpResult")
]
RefreshResult = Annotated[
    RefreshSessionSuccess | WrongCredentialsError, strawberry.union("RefreshSessionResult")
]


@strawberry.type
class Mutation:
    @strawberry.mutation
    def login(self, info: Info, input: LoginInput) -> LoginResult:
        if input.password == PASSWORD:
            return LoginSuccess(challenge=desk_of(info).challenge(input.phone))
        chinese = info.context["request"].headers["accept-language"].startswith("zh")
        message = "手机号或密码不正确。" if chinese else "The phone or the password is wrong."
        return WrongCredentialsError(code="WRONG_CREDENTIALS", message=message)

    @strawberry.mutation
    def send_login_code(self, info: Info, input: SendLoginCodeInput) -> SendLoginCodeResult:
        desk_of(info).codes_sent += 1
        verification = Verification(id=strawberry.ID(f"code for {input.challenge_id}"))
        return SendLoginCodeSuccess(verification=verification)

    @strawberry.mutation
    def complete_login(self, info: Info, input: CompleteLoginInput) -> CompleteLoginResult:
        desk = desk_of(info)
        id = str(input.challenge_id)
        if (key := input.proof.device_key) is not None:
            device_id = str(key.device_id)
            message = devices.login_message(id, f"nonce of {id}")
            public_key = desk.devices.get(device_id)
            if public_key is None or not device_keys.verify(public_key, key.signature, message):
                return WrongCredentialsError(code="DEVICE_PROOF_INVALID", message="Unknown device.")
        else:
            if (wrong := _wrong_code(desk, id, input.proof)) is not None:
                return wrong
            device_id = f"device-{len(desk.devices)}"
            public_key = device_keys.parse(input.device.public_key) if input.device else None
            assert public_key is not None, "the browser's key is none"
            desk.devices[device_id] = public_key
        session = desk.open(desk.challenges.pop(id), device_id)
        return CompleteLoginSuccess(session=session, device=Device(id=strawberry.ID(device_id)))

    @strawberry.mutation
    def refresh_session(self, info: Info, input: RefreshSessionInput) -> RefreshResult:
        desk = desk_of(info)
        phone, _, device_id = desk.refresh.pop(input.refresh_token, "").partition(" ")
        message = devices.refresh_message(input.refresh_token)
        if phone and device_keys.verify(desk.devices[device_id], input.device_signature, message):
            desk.renewals += 1
            desk.renewed.set()
            return RefreshSessionSuccess(session=desk.open(phone, device_id))
        return WrongCredentialsError(code="SESSION_INVALID", message="The session has ended.")

    @strawberry.mutation
    def enrol_totp(self, info: Info, input: EnrolTotpInput) -> EnrolTotpResult:
        caller(info)
        if input.password == PASSWORD:
            return EnrolTotpSuccess(secret=SECRET, uri=f"otpauth://totp/x?secret={SECRET}")
        return WrongCredentialsError(code="WRONG_CREDENTIALS", message="The password is wrong.")

    @strawberry.mutation
    def confirm_totp(self, info: Info, input: ConfirmTotpInput) -> ConfirmTotpResult:
        caller(info)
        if input.code != CODE:
            return WrongCredentialsError(code="TOTP_INVALID", message="Not what the app shows.")
        desk_of(info).must_enrol, desk_of(info).authenticator = False, True
        return ConfirmTotpSuccess(confirmed=True)

    @strawberry.mutation
    def logout(self, info: Info, input: LogoutInput) -> LogoutSuccess:
        desk, phone = desk_of(info), caller(info)
        desk.refresh.pop(input.refresh_token, None)
        desk.access = {token: owner for token, owner in desk.access.items() if owner != phone}
        return LogoutSuccess(done=True)

    @strawberry.mutation
    def decide_refund(self, info: Info, input: DecideRefundInput) -> DecideRefundSuccess:
        caller(info)
        desk = desk_of(info)
        desk.decided[input.refund_id] = input.decision
        desk.keys.append(input.idempotency_key)
        return DecideRefundSuccess(refund_id=input.refund_id, decision=input.decision)


def _wrong_code(desk: Desk, id: str, proof: LoginProofInput) -> WrongCredentialsError | None:
    if desk.authenticator:
        if proof.totp == CODE:
            return None
        return WrongCredentialsError(code="TOTP_INVALID", message="Not what the app shows.")
    right = (f"code for {id}", CODE)
    if proof.code is not None and (proof.code.verification_id, proof.code.code) == right:
        return None
    return WrongCredentialsError(code="CODE_INVALID", message="The code is wrong.")


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def notification_events(self, info: Info) -> AsyncIterator[str]:
        phone = caller(info)
        yield f"live for {phone[-4:]}"
        await asyncio.Event().wait()


TABS = {
    "FINANCE": [
        console.Operation(
            "# The refunds that wait for a decision.\nquery RefundQueue {\n  staff {\n"
            "    refundQueue(first: 20) {\n      id\n      reason\n      state\n"
            "      amount {\n        amount\n        currencyCode\n      }\n    }\n  }\n}\n"
        ),
        console.Operation(
            "# Approves or rejects one refund.\n"
            "mutation DecideRefund($input: DecideRefundInput!) {\n"
            "  decideRefund(input: $input) {\n    refundId\n    decision\n  }\n}\n",
            '{\n  "input": {\n    "refundId": "refund-1",\n    "decision": "APPROVE",\n'
            '    "idempotencyKey": "$uuid"\n  }\n}\n',
        ),
    ],
    "RISK": [console.Operation("query FreezeQueue {\n  viewer {\n    id\n  }\n}\n")],
    console.EVERYBODY: [
        console.Operation("subscription NotificationEvents {\n  notificationEvents\n}\n")
    ],
}


def small_app(desk: Desk) -> Starlette:
    """The console in front of a schema of its own, over the same two transports."""
    schema = strawberry.Schema(Query, Mutation, Subscription, types=[WrongCredentialsError])
    endpoint = GraphQL(schema, subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL])
    pages = console.routes(graphql_path="/graphql", prepared=TABS, environment="test")
    app = Starlette(
        routes=[Route("/graphql", endpoint), WebSocketRoute("/graphql", endpoint), *pages]
    )
    app.state.desk = desk
    return app


@dataclass(frozen=True)
class Site:
    """Where the console is, and who may enter it."""

    url: str
    desk: Desk
    server: uvicorn.Server
    thread: threading.Thread

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()


@contextlib.contextmanager
def serve(desk: Desk) -> Iterator[Site]:
    # The socket listens before the server starts, so nobody has to wait for it.
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(small_app(desk), log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    site = Site(f"http://127.0.0.1:{listener.getsockname()[1]}", desk, server, thread)
    try:
        yield site
    finally:
        site.stop()
        listener.close()
