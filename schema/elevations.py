"""Elevation: what staff prove anew, and how long it lasts."""

from __future__ import annotations

from datetime import datetime

import strawberry

from domain import refusals as no
from domain.proofs import Passkey
from resolvers import elevations
from schema import fields, proofs
from schema.context import Info
from services.identity import elevations as rows


@strawberry.type(description="This session may do what is sensitive, for a while.")
class Elevation:
    """As `services.identity.elevations.Elevation`."""

    until: datetime = strawberry.field(description="When it ends by itself.")
    reason: str = strawberry.field(description="What the caller gave as the reason.")

    @classmethod
    def of(cls, row: rows.Elevation) -> Elevation:
        return cls(until=row.until, reason=row.reason)


@strawberry.type
class ElevationViewer:
    """The part of Viewer about elevation."""

    @fields.query_field(
        calls=elevations.own,
        description="The elevation of this session; null unless there is one.",
    )
    async def elevation(self, info: Info) -> Elevation | None:
        found = await elevations.own(info.context.viewer)
        return Elevation.of(found) if found is not None else None


@strawberry.input(
    one_of=True, description="A new proof of who a member of staff is: exactly one of these."
)
class StaffProofInput:
    """See `resolvers.elevations.elevate`."""

    totp: str | None = strawberry.field(
        default=strawberry.UNSET, description="The six digits that the authenticator app shows."
    )
    passkey: proofs.PasskeyAnswerInput | None = strawberry.field(
        default=strawberry.UNSET,
        description="A passkey's answer to a challenge of `requestStepUpChallenge` for `ELEVATE`.",
    )

    def given(self) -> Passkey | str:
        """As the resolver takes it."""
        if self.passkey:
            return proofs.passkey_given(self.passkey)
        return self.totp or ""


@strawberry.input(description="Why, and by what proof.")
class ElevateInput:
    """See `resolvers.elevations.elevate`."""

    reason: str = strawberry.field(description="Why, up to 200 characters; kept for good.")
    proof: StaffProofInput = strawberry.field(description="Who the caller is, proved anew.")


@strawberry.type(description="Elevated, for a quarter of an hour.")
class ElevateSuccess:
    """This session only."""

    elevation: Elevation = strawberry.field(description="What lasts now.")


@strawberry.input(description="Which elevations of the caller's to end.")
class EndElevationInput:
    """See `resolvers.elevations.end_elevation`."""

    everywhere: bool = strawberry.field(
        description="Those of all the caller's sessions, or of this one only."
    )


@strawberry.type(description="Not elevated any more.")
class EndElevationSuccess:
    """Also where there was none."""

    ended: bool = strawberry.field(description="Always true.")


@strawberry.type
class ElevationMutation:
    """The part of Mutation about elevation."""

    @fields.mutation(
        calls=elevations.elevate,
        description="Prove anew who one is, to do what is sensitive for a quarter of an hour. For "
        "staff. Logging out and changes of role end it.",
        refuses=(
            no.TotpInvalid,
            no.TotpNotSet,
            no.ProofRequired,
            no.ChallengeInvalid,
            no.PasskeyInvalid,
        ),
    )
    async def elevate(self, info: Info, input: ElevateInput) -> ElevateSuccess:
        elevation = await elevations.elevate(
            info.context.viewer,
            reason=input.reason,
            given=input.proof.given(),
        )
        return ElevateSuccess(elevation=Elevation.of(elevation))

    @fields.mutation(calls=elevations.end_elevation, description="End one's elevation at once.")
    async def end_elevation(self, info: Info, input: EndElevationInput) -> EndElevationSuccess:
        await elevations.end_elevation(info.context.viewer, everywhere=input.everywhere)
        return EndElevationSuccess(ended=True)
