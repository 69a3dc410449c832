"""People as clients see them: registration, the payment PIN, and the viewer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import strawberry

from domain import identity as domain
from domain import refusals as no
from resolvers import identity
from resolvers.registrations import Told
from resolvers.viewer import Viewer as Caller
from schema import callers, devices, enums, fields, ids, logins, sessions
from schema.callers import LazyViewer
from schema.consents import ConsentInput
from schema.context import Info
from schema.verifications import Verification

enums.described(
    domain.Role,
    "UserRole",
    "What somebody is to the city.",
    RESIDENT="A resident with a wallet.",
    MERCHANT="The operator of a shop.",
    SUPPORT="Staff: customer service.",
    FINANCE="Staff: the finance desk, which decides refunds.",
    RISK="Staff: fraud and frozen wallets.",
    COMPLIANCE="Staff: reviews registrations.",
    AUDITOR="Staff: reads, decides nothing.",
    ADMIN="Staff: administers the installation.",
)
enums.described(
    domain.Status,
    "UserStatus",
    "Where a registration stands.",
    PENDING_REVIEW="Applied for; the rules are looking at it.",
    REFERRED="Waiting for a person to decide.",
    ACTIVE="Approved: the wallet can be used.",
    REJECTED="Not approved; `reviewReason` says why.",
    CLOSED="Closed for good.",
)
enums.described(
    domain.Decision,
    "RegistrationDecision",
    "What a member of staff decides.",
    APPROVE="What was applied for holds: the wallet can be used, or the identity is confirmed.",
    REJECT="It doesn't; the applicant is told the reason.",
)
enums.described(
    domain.KycLevel,
    "KycLevel",
    "How well the city knows somebody.",
    PHONE="By a phone number.",
    IDENTITY="By name and resident ID number, reviewed.",
    BANK_CARD="By a bank card in the same name, too.",
)
enums.described(
    domain.CodePurpose,
    "VerificationPurpose",
    "What a verification code is for.",
    REGISTER="To register with this phone number.",
    LOGIN="To sign in on a new device; sent within the login.",
    PAYMENT="To confirm one payment; sent with its challenge.",
    RESET_PASSWORD="To set a new password; "  # noqa: S106 - says what it is for
    "sent by `requestPasswordReset`.",
    CHANGE_PHONE="To move an account to another number; sent by that request.",
    REPLACE_PHONE="To move an account whose phone is lost to this number; sent by "
    "`requestPhoneReplacement`.",
    STEP_UP="To confirm a security setting; for the caller's own number, with a session.",
    CONTACT_EMAIL="To prove a contact e-mail address; mailed by `setContactEmail`.",
)


enums.described(
    domain.Language,
    "Language",
    "The languages of texts and notices.",
    ZH_CN="Simplified Chinese.",
    EN="English.",
)


@strawberry.type
class IdentityViewer:
    """The part of Viewer that says who the caller is."""

    caller: strawberry.Private[Caller]

    @fields.query_field(calls=identity.me, description="A global id of the caller.")
    def id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode("Viewer", identity.me(self.caller).user_id))

    @fields.query_field(calls=identity.display_name, description="The caller's own name.")
    def display_name(self) -> str:
        return identity.display_name(self.caller)

    @fields.query_field(
        calls=identity.masked_phone,
        description="The caller's phone number, masked: `+86 138****1234`. Null once the account "
        "has let go of it for its new holder.",
    )
    def phone(self) -> str | None:
        return identity.masked_phone(self.caller)

    @fields.query_field(calls=identity.me, description="What the caller is to the city.")
    def role(self) -> domain.Role:
        role = identity.me(self.caller).role
        assert role is not None
        return role

    @fields.query_field(calls=identity.me, description="Where the registration stands.")
    def status(self) -> domain.Status:
        status = identity.me(self.caller).status
        assert status is not None
        return status

    @fields.query_field(
        calls=identity.review_reason,
        description="Why the registration waits for a person, or was rejected.",
    )
    def review_reason(self, info: Info) -> str | None:
        return identity.review_reason(self.caller, language=info.context.language)

    @fields.query_field(calls=identity.me, description="Whether a payment PIN is set.")
    def has_payment_pin(self) -> bool:
        return identity.me(self.caller).pin_set

    @fields.query_field(
        calls=identity.me,
        description="Staff who signed in without passkey or authenticator: nothing is open but "
        "setting one up (`enrolTotp`, `requestPasskeyRegistration`).",
    )
    def needs_second_factor(self) -> bool:
        return identity.me(self.caller).must_enrol

    @fields.query_field(
        calls=identity.me, description="How well the city knows the caller; limits follow it."
    )
    def kyc_level(self) -> domain.KycLevel:
        return identity.me(self.caller).kyc_level

    @fields.query_field(calls=identity.me, description="The language of notices and messages.")
    def language(self) -> domain.Language:
        return domain.Language(identity.me(self.caller).language)


@strawberry.input(description="Whom to send a verification code.")
class RequestVerificationCodeInput:
    """See `resolvers.identity.request_verification_code`."""

    phone: str = strawberry.field(
        description="A mobile number; without country code a mainland one."
    )
    purpose: domain.CodePurpose = strawberry.field(description="What the code is for.")


@strawberry.input(description="An application for a wallet.")
class RegisterInput:
    """See `resolvers.identity.register`."""

    name: str = strawberry.field(description="The real name.")
    phone: str = strawberry.field(description="The mobile number that got the code.")
    verification_id: strawberry.ID = strawberry.field(
        description="As `requestVerificationCode` gave it."
    )
    code: str = strawberry.field(description="The six digits.")
    password: str = strawberry.field(description="8 to 128 characters, hard to guess.")
    device: devices.DeviceInput = strawberry.field(description="The device that asks.")
    consents: list[ConsentInput] = strawberry.field(
        description="What the applicant agrees to, as `consentPurposes` shows it; all that is "
        "required there."
    )
    language: domain.Language = strawberry.field(
        default=domain.Language.ZH_CN, description="The language of notices and messages."
    )
    id_number: str | None = strawberry.field(
        default=None, description="The resident ID number. Without one, limits stay low."
    )
    email: str | None = strawberry.field(default=None, description="Where mail reaches you.")
    postal_address: str | None = strawberry.field(
        default=None, description="Where letters reach you."
    )


@strawberry.type(description="A code is on its way, if the number can receive one.")
class RequestVerificationCodeSuccess:
    """The same for every phone."""

    verification: Verification = strawberry.field(description="The request; keep its id.")


@strawberry.type(description="The application is in; the session lets its progress be followed.")
class RegisterSuccess:
    """A session of a user who is PENDING_REVIEW."""

    session: sessions.SessionTokens = strawberry.field(description="The tokens of the new session.")
    viewer: LazyViewer = strawberry.field(description="The new user.")
    device: devices.Device = strawberry.field(description="The user's first device.")


@strawberry.type
class IdentityQuery:
    """The part of Query about people."""

    @fields.query_field(
        calls=identity.me, description="All that belongs to the caller. Needs a session."
    )
    def viewer(self, info: Info) -> LazyViewer | None:
        return callers.of(identity.me(info.context.viewer))


@strawberry.type
class IdentityMutation(logins.LoginMutation, sessions.SessionMutation, devices.DeviceMutation):
    """The part of Mutation about people."""

    @fields.mutation(
        calls=identity.request_verification_code,
        costly=True,
        description="Send a six-digit code to a phone. One a minute, and a few an hour.",
    )
    async def request_verification_code(
        self, info: Info, input: RequestVerificationCodeInput
    ) -> RequestVerificationCodeSuccess:
        requested = await identity.request_verification_code(
            info.context.viewer,
            phone=input.phone,
            purpose=input.purpose,
            address=info.context.address,
            language=info.context.language,
        )
        return RequestVerificationCodeSuccess(verification=Verification.of(requested))

    @fields.mutation(
        calls=identity.register,
        costly=True,
        description="Apply for a wallet. The application is reviewed; follow it by "
        "`viewerStatusEvents`.",
        refuses=(
            *(no.CodeInvalid, no.CodeExpired, no.PhoneTaken, no.PasswordUnacceptable),
            *(no.UnderAge, no.ConsentRequired, no.StaleVersion),
        ),
    )
    async def register(self, info: Info, input: RegisterInput) -> RegisterSuccess:
        signed_in = await identity.register(
            info.context.viewer,
            name=input.name,
            phone=input.phone,
            verification_id=ids.decode_uuid(input.verification_id, "Verification"),
            code=input.code,
            password=input.password,
            language=input.language,
            device=input.device.described(),
            address=info.context.address,
            given=[(one.purpose, one.version) for one in input.consents],
            told=Told(input.id_number, input.email, input.postal_address),
        )
        return RegisterSuccess(
            session=sessions.SessionTokens.of(signed_in.session),
            viewer=callers.of(signed_in.viewer),
            device=devices.Device.of(signed_in.device, signed_in.viewer),
        )


@strawberry.type
class IdentitySubscription:
    """The part of Subscription about people."""

    @fields.subscription(
        calls=identity.viewer_status_events,
        description="The viewer now, and again whenever its `status` or `kycLevel` changes.",
    )
    async def viewer_status_events(self, info: Info) -> AsyncIterator[LazyViewer]:
        async for caller in identity.viewer_status_events(info.context.viewer):
            yield callers.of(caller)
