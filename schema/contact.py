"""How somebody is reached beside the phone, and changing it."""

from __future__ import annotations

import strawberry

from domain import refusals as no
from resolvers import contact
from schema import callers, fields, ids
from schema.callers import LazyViewer
from schema.context import Info
from schema.verifications import Verification


@strawberry.input(description="An e-mail address to prove.")
class SetContactEmailInput:
    """See `resolvers.contact.set_contact_email`."""

    email: str = strawberry.field(description="Where mail reaches the caller.")


@strawberry.input(description="A code that was mailed.")
class ConfirmContactEmailInput:
    """See `resolvers.contact.confirm_contact_email`."""

    email: str = strawberry.field(description="The address that the code was mailed to.")
    verification_id: strawberry.ID = strawberry.field(description="As `setContactEmail` gave it.")
    code: str = strawberry.field(description="The six digits.")


@strawberry.input(description="A postal address.")
class SetPostalAddressInput:
    """See `resolvers.contact.set_postal_address`."""

    postal_address: str | None = strawberry.field(
        default=None, description="One line of up to 200 characters; left out, none is kept."
    )


@strawberry.type(description="A code is being mailed; the address counts when it comes back.")
class SetContactEmailSuccess:
    """Until then everything is as it was."""

    verification: Verification = strawberry.field(description="The request; keep its id.")


@strawberry.type(description="The address is the caller's contact address now.")
class ConfirmContactEmailSuccess:
    """Whoever reads at the old one has been told."""

    viewer: LazyViewer = strawberry.field(description="The caller.")


@strawberry.input(description="An e-mail address that is to be kept no longer.")
class RemoveContactEmailInput:
    """See `resolvers.contact.remove_contact_email`."""

    email: str = strawberry.field(description="The contact address; another one stays.")


@strawberry.type(description="The e-mail address is not kept.")
class RemoveContactEmailSuccess:
    """Also if there was none."""

    viewer: LazyViewer = strawberry.field(description="The caller.")


@strawberry.type(description="The postal address is kept, or removed.")
class SetPostalAddressSuccess:
    """Nobody verifies it."""

    viewer: LazyViewer = strawberry.field(description="The caller.")


@strawberry.type
class ContactMutation:
    """The part of Mutation about how to reach somebody."""

    @fields.mutation(
        calls=contact.set_contact_email,
        description="Mail a six-digit code to an address, for `confirmContactEmail`. One a minute, "
        "and a few an hour, of each address and each caller.",
        costly=True,
    )
    async def set_contact_email(
        self, info: Info, input: SetContactEmailInput
    ) -> SetContactEmailSuccess:
        requested = await contact.set_contact_email(
            info.context.viewer,
            email=input.email,
            address=info.context.address,
            language=info.context.language,
        )
        return SetContactEmailSuccess(verification=Verification.of(requested))

    @fields.mutation(
        calls=contact.confirm_contact_email,
        description="Prove an address by the code that was mailed there. It replaces the one "
        "before, whose reader is told.",
        refuses=(no.CodeInvalid, no.CodeExpired),
    )
    async def confirm_contact_email(
        self, info: Info, input: ConfirmContactEmailInput
    ) -> ConfirmContactEmailSuccess:
        changed = await contact.confirm_contact_email(
            info.context.viewer,
            email=input.email,
            verification_id=ids.decode_uuid(input.verification_id, "Verification"),
            code=input.code,
        )
        return ConfirmContactEmailSuccess(viewer=callers.of(changed))

    @fields.mutation(
        calls=contact.remove_contact_email,
        description="Keep no e-mail address. Whoever reads at it is told, if it was verified.",
    )
    async def remove_contact_email(
        self, info: Info, input: RemoveContactEmailInput
    ) -> RemoveContactEmailSuccess:
        changed = await contact.remove_contact_email(info.context.viewer, email=input.email)
        return RemoveContactEmailSuccess(viewer=callers.of(changed))

    @fields.mutation(
        calls=contact.set_postal_address, description="Replace the postal address, or remove it."
    )
    async def set_postal_address(
        self, info: Info, input: SetPostalAddressInput
    ) -> SetPostalAddressSuccess:
        changed = await contact.set_postal_address(
            info.context.viewer, postal_address=input.postal_address
        )
        return SetPostalAddressSuccess(viewer=callers.of(changed))
