"""Consents: what is asked, and the caller's word on it."""

from __future__ import annotations

from datetime import datetime

import strawberry

from domain import consents as domain
from domain import refusals as no
from resolvers import consents
from schema import enums, fields, ids
from schema.context import Info
from services.consents import Asked
from services.consents import Consent as Row

enums.described(
    domain.Purpose,
    "ConsentPurposeCode",
    "What personal data is used for.",
    TERMS="The terms of service. Required.",
    PRIVACY="The privacy policy. Required.",
    PERSONALISATION="Putting the usual way to pay first. Done until it is withdrawn.",
)
enums.described(
    domain.ConsentState,
    "ConsentState",
    "Where somebody stands with a purpose.",
    NEVER_ASKED="Nothing was said yet.",
    GIVEN="Agreed to the version in effect.",
    OUTDATED="Agreed to an earlier version: ask again.",
    WITHDRAWN="Taken back.",
)


@strawberry.type(description="A purpose, and what is asked in the version that is in effect.")
class ConsentPurpose:
    """As `services.consents.Asked`."""

    id: strawberry.ID = strawberry.field(description="Its global id.")
    code: domain.Purpose = strawberry.field(description="The purpose, for programs.")
    required: bool = strawberry.field(description="Whether no account can be without it.")
    version: int = strawberry.field(description="The version in effect; `giveConsent` takes it.")
    effective_from: datetime = strawberry.field(description="Since when it is in effect.")
    title: str = strawberry.field(description="In the caller's language.")
    text: str = strawberry.field(description="What is agreed to, in the caller's language.")

    @classmethod
    def of(cls, asked: Asked, language: str) -> ConsentPurpose:
        chinese = language.startswith("zh")
        return cls(
            id=strawberry.ID(ids.encode("ConsentPurpose", asked.purpose)),
            code=asked.purpose,
            required=asked.required,
            version=asked.version,
            effective_from=asked.effective_from,
            title=asked.title_zh if chinese else asked.title_en,
            text=asked.text_zh if chinese else asked.text_en,
        )


@strawberry.type(description="Where the caller stands with a purpose.")
class Consent:
    """As `services.consents.Consent`."""

    id: strawberry.ID = strawberry.field(description="Its global id.")
    purpose: ConsentPurpose = strawberry.field(description="What it is about, as of today.")
    state: domain.ConsentState = strawberry.field(description="Where the caller stands.")
    version: int | None = strawberry.field(description="The version that was last spoken of.")
    given_at: datetime | None = strawberry.field(description="When it was last given.")
    withdrawn_at: datetime | None = strawberry.field(
        description="When it was withdrawn; null while it holds."
    )

    @classmethod
    def of(cls, row: Row, language: str) -> Consent:
        return cls(
            id=strawberry.ID(ids.encode("Consent", f"{row.user_id}:{row.asked.purpose}")),
            purpose=ConsentPurpose.of(row.asked, language),
            state=row.state,
            version=row.version,
            given_at=row.given_at,
            withdrawn_at=row.withdrawn_at,
        )


@strawberry.input(description="A consent to a version of a text.")
class ConsentInput:
    """Part of `RegisterInput`."""

    purpose: domain.Purpose = strawberry.field(description="What it is about.")
    version: int = strawberry.field(description="The version that was shown.")


@strawberry.input(description="A consent to give.")
class GiveConsentInput:
    """See `resolvers.consents.give_consent`."""

    purpose: domain.Purpose = strawberry.field(description="What it is about.")
    version: int = strawberry.field(description="The version that was shown.")


@strawberry.input(description="A consent to take back.")
class WithdrawConsentInput:
    """See `resolvers.consents.withdraw_consent`."""

    purpose: domain.Purpose = strawberry.field(description="What it is about.")


@strawberry.type(description="The consent is on record.")
class GiveConsentSuccess:
    """Also if it was given before."""

    consent: Consent = strawberry.field(description="Where the caller stands now.")


@strawberry.type(description="The consent is withdrawn.")
class WithdrawConsentSuccess:
    """Holds from now on."""

    consent: Consent = strawberry.field(description="Where the caller stands now.")


@strawberry.type
class ConsentQuery:
    """The part of Query about consents."""

    @fields.query_field(
        calls=consents.consent_purposes,
        description="What everybody is asked to agree to, in today's version. Three at present.",
    )
    async def consent_purposes(self, info: Info) -> list[ConsentPurpose]:
        found = await consents.consent_purposes(info.context.viewer)
        return [ConsentPurpose.of(asked, info.context.language) for asked in found]


@strawberry.type
class ConsentViewer:
    """The part of Viewer about consents."""

    @fields.query_field(
        calls=consents.own_consents, description="Where the caller stands with each purpose."
    )
    async def consents(self, info: Info) -> list[Consent]:
        found = await consents.own_consents(info.context.viewer)
        return [Consent.of(row, info.context.language) for row in found]


@strawberry.type
class ConsentMutation:
    """The part of Mutation about consents."""

    @fields.mutation(
        calls=consents.give_consent,
        description="Agree to the version of a text that is in effect.",
        refuses=(no.StaleVersion,),
    )
    async def give_consent(self, info: Info, input: GiveConsentInput) -> GiveConsentSuccess:
        row = await consents.give_consent(
            info.context.viewer, purpose=input.purpose, version=input.version
        )
        return GiveConsentSuccess(consent=Consent.of(row, info.context.language))

    @fields.mutation(
        calls=consents.withdraw_consent,
        description="Take a consent back. What an account needs is taken back by closing it.",
        refuses=(no.ConsentRequired,),
    )
    async def withdraw_consent(
        self, info: Info, input: WithdrawConsentInput
    ) -> WithdrawConsentSuccess:
        row = await consents.withdraw_consent(info.context.viewer, purpose=input.purpose)
        return WithdrawConsentSuccess(consent=Consent.of(row, info.context.language))
