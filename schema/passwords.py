"""Changing a password."""

from __future__ import annotations

import strawberry

from domain import refusals as no
from resolvers import passwords
from schema import callers, fields
from schema.callers import LazyViewer
from schema.context import Info


@strawberry.input(description="A new login password.")
class ChangePasswordInput:
    """See `resolvers.passwords.change_password`."""

    password: str = strawberry.field(description="The old one, to prove who asks.")
    new_password: str = strawberry.field(
        description="8 to 128 characters of any script; not common, and nothing that others know "
        "of its owner."
    )


@strawberry.type(description="Changed. All other sessions have ended.")
class ChangePasswordSuccess:
    """The session that asked goes on."""

    viewer: LazyViewer = strawberry.field(description="The caller.")


@strawberry.type
class PasswordMutation:
    """The part of Mutation about passwords."""

    @fields.mutation(
        calls=passwords.change_password,
        costly=True,
        description="Replace the login password. Ends all other sessions and tells the owner.",
        refuses=(no.WrongCredentials, no.PasswordUnacceptable, no.PasswordUnchanged),
    )
    async def change_password(
        self, info: Info, input: ChangePasswordInput
    ) -> ChangePasswordSuccess:
        changed = await passwords.change_password(
            info.context.viewer,
            password=input.password,
            new_password=input.new_password,
            address=info.context.address,
        )
        return ChangePasswordSuccess(viewer=callers.of(changed))
