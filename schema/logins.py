"""Signing in: the password opens a challenge, a second factor answers it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import strawberry

from domain import identity as domain
from domain import refusals as no
from resolvers import logins
from schema import callers, devices, enums, fields, ids, sessions
from schema.callers import LazyViewer
from schema.context import Info
from schema.verifications import Verification
from services.identity import second_factors

enums.described(
    domain.LoginMethod,
    "LoginMethod",
    "What may prove, besides the password, that it is the owner who signs in.",
    DEVICE_KEY="The key of a device that is known: no code needed.",
    CODE="A code by SMS, for a new device; see `sendLoginCode`.",
    PASSKEY="A passkey's answer to this challenge.",
    TOTP="The code of an authenticator app. Staff have one, or a passkey, and need it.",
)


@strawberry.input(description="Phone and password.")
class LoginInput:
    """See `resolvers.logins.login`."""

    phone: str = strawberry.field(description="The registered mobile number.")
    password: str = strawberry.field(description="The login password.")


@strawberry.type(description="A right password that waits for a second factor.")
class LoginChallenge:
    """Five minutes, five tries, one login."""

    id: strawberry.ID = strawberry.field(description="For `completeLogin`. Keep it secret.")
    nonce: str = strawberry.field(
        description="What a known device signs, with the id: see `DeviceKeyProofInput`."
    )
    methods: list[domain.LoginMethod] = strawberry.field(description="What would prove it.")
    expires_at: datetime = strawberry.field(description="When it stops working.")
    passkey_options: str | None = strawberry.field(
        description="JSON for `PublicKeyCredential.parseRequestOptionsFromJSON`; null without any "
        "passkey."
    )


@strawberry.type(description="The password is right; `completeLogin` with a proof comes next.")
class LoginSuccess:
    """Nobody is signed in yet."""

    challenge: LoginChallenge = strawberry.field(description="What waits for the proof.")


@strawberry.input(description="The challenge whose owner needs a code.")
class SendLoginCodeInput:
    """See `resolvers.logins.send_login_code`."""

    challenge_id: strawberry.ID = strawberry.field(description="As `login` answered.")


@strawberry.type(description="A code is on its way to the owner's phone.")
class SendLoginCodeSuccess:
    """It is good for this challenge only."""

    verification: Verification = strawberry.field(description="The request; keep its id.")


@strawberry.input(
    description="A known device's signature: ECDSA on P-256 with SHA-256 over the UTF-8 of three "
    "lines, joined by line feeds: `pengcheng-wallet login v1`, the challenge's `id`, its `nonce`."
)
class DeviceKeyProofInput:
    """See `domain.devices.login_message`."""

    device_id: strawberry.ID = strawberry.field(description="As it was answered at enrolment.")
    signature: str = strawberry.field(
        description="r and s, 32 bytes each, in base64url without padding."
    )


@strawberry.input(description="The code that `sendLoginCode` sent.")
class CodeProofInput:
    """Five wrong tries kill a code."""

    verification_id: strawberry.ID = strawberry.field(description="As `sendLoginCode` gave it.")
    code: str = strawberry.field(description="The six digits.")


@strawberry.input(description="A passkey's answer to a login challenge.")
class PasskeyLoginProofInput:
    """What `navigator.credentials.get` resolved to, asked with the challenge's options."""

    credential: str = strawberry.field(
        description="The credential as JSON: `JSON.stringify(credential)`."
    )


@strawberry.input(one_of=True, description="Exactly one proof.")
class LoginProofInput:
    """One field for each method."""

    device_key: DeviceKeyProofInput | None = strawberry.field(
        default=strawberry.UNSET, description="By a known device."
    )
    code: CodeProofInput | None = strawberry.field(
        default=strawberry.UNSET, description="By a code, on a new device."
    )
    passkey: PasskeyLoginProofInput | None = strawberry.field(
        default=strawberry.UNSET, description="By a passkey, on a new device or a known one."
    )
    totp: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="By the six digits that the authenticator app shows. For staff.",
    )

    def given(self) -> tuple[domain.LoginMethod, Any]:
        """The method, and the proof as `second_factors` expects it."""
        if isinstance(self.device_key, DeviceKeyProofInput):
            device_id = ids.decode_uuid(self.device_key.device_id, "Device")
            proof = second_factors.DeviceKeyProof(device_id, self.device_key.signature)
            return domain.LoginMethod.DEVICE_KEY, proof
        if isinstance(self.passkey, PasskeyLoginProofInput):
            return domain.LoginMethod.PASSKEY, second_factors.PasskeyProof(self.passkey.credential)
        if isinstance(self.totp, str):
            return domain.LoginMethod.TOTP, second_factors.TotpProof(self.totp)
        assert isinstance(self.code, CodeProofInput), "exactly one, as the schema demands"
        verification_id = ids.decode_uuid(self.code.verification_id, "Verification")
        proof = second_factors.CodeProof(verification_id, self.code.code)
        return domain.LoginMethod.CODE, proof


@strawberry.input(description="The answer to a login challenge.")
class CompleteLoginInput:
    """See `resolvers.logins.complete_login`."""

    challenge_id: strawberry.ID = strawberry.field(description="As `login` answered.")
    proof: LoginProofInput = strawberry.field(description="The second factor.")
    device: devices.DeviceInput | None = strawberry.field(
        default=None,
        description="The device to enrol. Needed unless the proof is a known device's key.",
    )


@strawberry.type(description="Signed in.")
class CompleteLoginSuccess:
    """A new session."""

    session: sessions.SessionTokens = strawberry.field(description="The tokens of the new session.")
    viewer: LazyViewer = strawberry.field(description="Who signed in.")
    device: devices.Device = strawberry.field(
        description="The device that the session is bound to."
    )


@strawberry.type
class LoginMutation:
    """The part of Mutation about signing in."""

    @fields.mutation(
        calls=logins.login,
        costly=True,
        description="The first step of signing in, by phone and password: opens a challenge.",
        refuses=(no.WrongCredentials, no.AccountNotActive),
    )
    async def login(self, info: Info, input: LoginInput) -> LoginSuccess:
        opened = await logins.login(
            info.context.viewer,
            phone=input.phone,
            password=input.password,
            address=info.context.address,
        )
        challenge = LoginChallenge(
            id=strawberry.ID(opened.secret),
            nonce=opened.nonce,
            methods=opened.methods,
            expires_at=opened.expires_at,
            passkey_options=opened.passkey_options,
        )
        return LoginSuccess(challenge=challenge)

    @fields.mutation(
        calls=logins.send_login_code,
        costly=True,
        description="Send a code to the phone of whoever the challenge is for.",
        refuses=(no.LoginChallengeInvalid, no.SecondFactorTooWeak),
    )
    async def send_login_code(self, info: Info, input: SendLoginCodeInput) -> SendLoginCodeSuccess:
        requested = await logins.send_login_code(
            info.context.viewer,
            secret=input.challenge_id,
            address=info.context.address,
            language=info.context.language,
        )
        return SendLoginCodeSuccess(verification=Verification.of(requested))

    @fields.mutation(
        calls=logins.complete_login,
        description="The second step of signing in: proves it, and enrols a new device. The "
        "owner's other devices are told of a new one.",
        refuses=(
            no.LoginChallengeInvalid,
            no.DeviceProofInvalid,
            no.CodeInvalid,
            no.CodeExpired,
            no.PasskeyInvalid,
            no.TotpInvalid,
            no.TotpNotSet,
            no.SecondFactorTooWeak,
        ),
    )
    async def complete_login(self, info: Info, input: CompleteLoginInput) -> CompleteLoginSuccess:
        method, proof = input.proof.given()
        signed_in = await logins.complete_login(
            info.context.viewer,
            secret=input.challenge_id,
            method=method,
            proof=proof,
            device=input.device.described() if input.device else None,
            address=info.context.address,
        )
        return CompleteLoginSuccess(
            session=sessions.SessionTokens.of(signed_in.session),
            viewer=callers.of(signed_in.viewer),
            device=devices.Device.of(signed_in.device, signed_in.viewer),
        )
