"""Registrations as staff see and decide them."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import strawberry

from domain import identity as domain
from domain import refusals as no
from domain import registration as rules
from domain import resident_ids
from resolvers import registrations
from resolvers.viewer import Viewer as Caller
from schema import callers, fields, ids, pagination
from schema.callers import LazyViewer
from schema.context import Info
from services.identity import registration

if TYPE_CHECKING:
    from schema.staff import Staff


@strawberry.type(description="An application for a wallet. Reading one is recorded.")
class Registration:
    """As `services.identity.registration.Registration`."""

    id: strawberry.ID = strawberry.field(description="Its global id.")
    display_name: str = strawberry.field(description="The name as the applicant wrote it.")
    phone: str = strawberry.field(description="The proved phone number, in E.164.")
    id_number: str | None = strawberry.field(description="The resident ID number.")
    age_years: int | None = strawberry.field(description="The age that the ID number says.")
    email: str | None = strawberry.field(description="The e-mail address.")
    email_verified: bool = strawberry.field(
        description="Whether a code that was mailed there came back."
    )
    postal_address: str | None = strawberry.field(description="The postal address.")
    other_accounts: int = strawberry.field(
        description="How many active wallets the ID number has beside this one."
    )
    rejections: int = strawberry.field(
        description="How often it was rejected since the last cool-down."
    )
    state: domain.Status = strawberry.field(description="Where it stands.")
    reason: str | None = strawberry.field(description="Why it waits, or was rejected.")
    requested_at: datetime = strawberry.field(description="When the applicant asked.")
    version: int = strawberry.field(description="Grows with every change.")

    @classmethod
    def of(cls, row: registration.Registration, language: str) -> Registration:
        return cls(
            id=strawberry.ID(ids.encode("Registration", row.user_id)),
            display_name=row.name,
            phone=row.phone,
            id_number=row.details.id_number,
            age_years=row.age_years,
            email=row.details.email,
            email_verified=row.details.email_verified,
            postal_address=row.details.postal_address,
            other_accounts=row.others,
            rejections=row.rejections,
            state=row.status,
            reason=rules.reason_text(row.reason, language),
            requested_at=row.requested_at,
            version=row.version,
        )


@strawberry.type(description="What the caller told of themselves beside name and phone.")
class PersonalDetails:
    """As `services.people.Details`; the ID number is masked even for its owner."""

    masked_id_number: str | None = strawberry.field(
        description="The resident ID number, masked: `4****************X`."
    )
    email: str | None = strawberry.field(description="The e-mail address.")
    email_verified: bool = strawberry.field(
        description="Whether it was proved by `confirmContactEmail`; if not, nothing is sent there."
    )
    postal_address: str | None = strawberry.field(description="The postal address.")


@strawberry.type
class RegistrationViewer:
    """The part of Viewer about the own application."""

    caller: strawberry.Private[Caller]

    @fields.query_field(
        calls=registrations.personal_details, description="What the caller told of themselves."
    )
    async def personal_details(self) -> PersonalDetails:
        details = await registrations.personal_details(self.caller)
        number = details.id_number
        return PersonalDetails(
            masked_id_number=resident_ids.masked(number) if number else None,
            email=details.email,
            email_verified=details.email_verified,
            postal_address=details.postal_address,
        )

    @fields.query_field(
        calls=registrations.may_apply_again_at,
        description="From when a rejected application may be corrected by `resubmitRegistration`; "
        "null if it isn't rejected.",
    )
    async def may_apply_again_at(self) -> datetime | None:
        return await registrations.may_apply_again_at(self.caller)


@strawberry.input(description="A rejected application, corrected; all of it is replaced.")
class ResubmitRegistrationInput:
    """See `resolvers.registrations.resubmit_registration`."""

    name: str = strawberry.field(description="The real name.")
    id_number: str | None = strawberry.field(
        default=None, description="The resident ID number. Without one, limits stay low."
    )
    email: str | None = strawberry.field(default=None, description="Where mail reaches you.")
    postal_address: str | None = strawberry.field(
        default=None, description="Where letters reach you."
    )


@strawberry.type(description="The application is in again, and is being reviewed.")
class ResubmitRegistrationSuccess:
    """Followed by `viewerStatusEvents` as the first one was."""

    viewer: LazyViewer = strawberry.field(description="The caller, PENDING_REVIEW.")


@strawberry.type
class RegistrationMutation:
    """The part of Mutation about the own application."""

    @fields.mutation(
        calls=registrations.resubmit_registration,
        description="Correct a rejected application and have it reviewed again. After each third "
        "rejection it takes a day until that is possible.",
        refuses=(no.RegistrationNotRejected, no.UnderAge),
    )
    async def resubmit_registration(
        self, info: Info, input: ResubmitRegistrationInput
    ) -> ResubmitRegistrationSuccess:
        changed = await registrations.resubmit_registration(
            info.context.viewer,
            name=input.name,
            told=registrations.Told(input.id_number, input.email, input.postal_address),
        )
        return ResubmitRegistrationSuccess(viewer=callers.of(changed))


@strawberry.input(description="A decision about one registration.")
class ReviewRegistrationInput:
    """See `resolvers.registrations.review_registration`."""

    registration_id: strawberry.ID = strawberry.field(description="As the queue gave it.")
    decision: domain.Decision = strawberry.field(description="Approve or reject.")
    reason: str | None = strawberry.field(
        default=None, description="What the applicant reads; needed to reject."
    )
    expected_version: int | None = strawberry.field(
        default=None, description="The `version` that was looked at; refused if it changed since."
    )


@strawberry.type(description="Decided; the applicant has been told.")
class ReviewRegistrationSuccess:
    """The decision of exactly one member of staff."""

    registration: Registration = strawberry.field(description="As it is now.")


@strawberry.type
class IdentityStaff:
    """The part of Staff about people."""

    @fields.query_field(
        calls=registrations.registration_queue,
        description="The registrations that the rules could not decide, oldest first. Who looked "
        "is recorded. For SUPPORT, COMPLIANCE and ADMIN.",
    )
    async def registration_queue(
        self,
        info: Info,
        first: pagination.First = None,
        last: pagination.Last = None,
        after: pagination.After = None,
        before: pagination.Before = None,
    ) -> pagination.Connection[Registration]:
        language = info.context.language
        return await pagination.connection(
            pagination.window(
                "registrationQueue", first=first, last=last, after=after, before=before
            ),
            partial(registrations.registration_queue, info.context.viewer),
            key=lambda row: (row.requested_at, row.user_id),
            node=lambda row: Registration.of(row, language),
        )


LazyStaff = Annotated["Staff", strawberry.lazy("schema.staff")]


@strawberry.type
class IdentityStaffQuery:
    """The way in to Staff."""

    @fields.query_field(
        calls=registrations.staff_or_none,
        description="All that staff see; null for everybody else.",
    )
    def staff(self, info: Info) -> LazyStaff | None:
        if registrations.staff_or_none(info.context.viewer) is None:
            return None
        # Late, because schema.staff builds on this module; the module is loaded by then.
        from schema.staff import Staff  # noqa: PLC0415

        return Staff()


@strawberry.type
class IdentityStaffMutation:
    """The part of Mutation in which staff decide about people."""

    @fields.mutation(
        calls=registrations.review_registration,
        description="Approve or reject a referred registration. Of two at once, one wins.",
        refuses=(no.NotFound, no.StaleVersion, no.TooManyAccounts),
    )
    async def review_registration(
        self, info: Info, input: ReviewRegistrationInput
    ) -> ReviewRegistrationSuccess:
        key = ids.decode(input.registration_id, "Registration")
        if key is None or not key.isdecimal():
            raise no.NotFound(path=("input", "registrationId"))
        decided = await registrations.review_registration(
            info.context.viewer,
            user_id=int(key),
            decision=input.decision,
            reason=input.reason,
            expected_version=input.expected_version,
        )
        return ReviewRegistrationSuccess(
            registration=Registration.of(decided, info.context.language)
        )
