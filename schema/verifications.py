"""Requests for a verification code, as everything that sends one answers."""

from __future__ import annotations

from datetime import datetime

import strawberry

from schema import ids
from services.identity import codes


@strawberry.type(description="A request for a code. Only whoever has its id can use the code.")
class Verification:
    """As `services.identity.codes.Requested`."""

    id: strawberry.ID = strawberry.field(description="Goes with the code to where it is used.")
    expires_at: datetime = strawberry.field(description="When the code stops working.")
    resend_after_seconds: int = strawberry.field(description="When another may be asked for.")

    @classmethod
    def of(cls, requested: codes.Requested) -> Verification:
        return cls(
            id=strawberry.ID(ids.encode("Verification", requested.verification_id)),
            expires_at=requested.expires_at,
            resend_after_seconds=requested.resend_after_seconds,
        )
