"""Authenticator apps of staff."""

from __future__ import annotations

import strawberry

from domain import refusals as no
from resolvers import totp
from schema import fields, nodes
from schema.context import Info
from schema.staffing import StaffMember


@strawberry.type
class TotpViewer:
    """The part of Viewer about the authenticator app."""

    @fields.query_field(
        calls=totp.has_totp,
        description="Whether the caller's authenticator app is set up; false for all but staff.",
    )
    async def has_totp(self, info: Info) -> bool:
        return await totp.has_totp(info.context.viewer)


@strawberry.input(description="Who wants to set an authenticator app up.")
class EnrolTotpInput:
    """See `resolvers.totp.enrol_totp`."""

    password: str = strawberry.field(description="The login password.")


@strawberry.input(description="The first code of a new authenticator.")
class ConfirmTotpInput:
    """See `resolvers.totp.confirm_totp`."""

    code: str = strawberry.field(description="The six digits that the app shows.")


@strawberry.input(description="Whose authenticator is to go.")
class RemoveTotpInput:
    """See `resolvers.totp.remove_totp`."""

    staff_id: strawberry.ID = strawberry.field(description="As `members` gave it.")
    reason: str = strawberry.field(description="Why, up to 200 characters; kept for good.")
    passkeys_too: bool | None = strawberry.field(
        default=None, description="Remove all passkeys, too: of somebody who has lost them."
    )


@strawberry.type(description="What the app needs. Shown once; works after `confirmTotp`.")
class EnrolTotpSuccess:
    """As `services.identity.totp.Enrolment`."""

    uri: str = strawberry.field(description="To show as a QR code: `otpauth://totp/…`.")
    secret: str = strawberry.field(description="The same to type, in base32.")


@strawberry.type(description="Set up: its codes are asked for from now on.")
class ConfirmTotpSuccess:
    """The code is used up."""

    confirmed: bool = strawberry.field(description="Always true.")


@strawberry.type(description="Removed; all sessions of the person have ended.")
class RemoveTotpSuccess:
    """They set up a new one after signing in."""

    member: StaffMember = strawberry.field(description="The person, as of now.")


@strawberry.type
class TotpMutation:
    """The part of Mutation about authenticator apps."""

    @fields.mutation(
        calls=totp.enrol_totp,
        description="Get the secret for one's authenticator app. For staff.",
        refuses=(no.WrongCredentials, no.TotpAlreadySet),
        costly=True,
    )
    async def enrol_totp(self, info: Info, input: EnrolTotpInput) -> EnrolTotpSuccess:
        made = await totp.enrol_totp(
            info.context.viewer, password=input.password, address=info.context.address
        )
        return EnrolTotpSuccess(uri=made.uri, secret=made.secret)

    @fields.mutation(
        calls=totp.confirm_totp,
        description="Put the new secret to use by a first code. For staff; opens a session "
        "that had to set up a second factor first, and ends all others.",
        refuses=(no.TotpInvalid, no.TotpNotSet, no.TotpAlreadySet),
    )
    async def confirm_totp(self, info: Info, input: ConfirmTotpInput) -> ConfirmTotpSuccess:
        await totp.confirm_totp(info.context.viewer, code=input.code)
        return ConfirmTotpSuccess(confirmed=True)

    @fields.mutation(
        calls=totp.remove_totp,
        description="Take somebody's authenticator away, not one's own; the next sign-in sets up a "
        "new one. For ADMIN, elevated.",
        refuses=(no.NotFound, no.ReviewerIsParty, no.TotpNotSet),
    )
    async def remove_totp(self, info: Info, input: RemoveTotpInput) -> RemoveTotpSuccess:
        member = await totp.remove_totp(
            info.context.viewer,
            user_id=nodes.user_of(input.staff_id, "input", "staffId"),
            reason=input.reason,
            passkeys_too=bool(input.passkeys_too),
        )
        return RemoveTotpSuccess(member=StaffMember.of(member))
