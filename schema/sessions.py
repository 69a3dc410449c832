"""Sessions: signing in, going on, signing out."""

from __future__ import annotations

from datetime import datetime

import strawberry

from domain import refusals as no
from resolvers import identity
from schema import callers, fields
from schema.callers import LazyViewer
from schema.context import Info
from services.identity import sessions


@strawberry.type(description="The tokens of a session. Keep them secret.")
class SessionTokens:
    """Shown once; the server keeps hashes."""

    access_token: str = strawberry.field(description="Goes into `Authorization: Bearer …`.")
    refresh_token: str = strawberry.field(
        description="Gets the next tokens by `refreshSession`. It works once: using it again ends "
        "the session."
    )
    expires_at: datetime = strawberry.field(description="When the access token stops working.")

    @classmethod
    def of(cls, issued: sessions.Issued) -> SessionTokens:
        return cls(
            access_token=issued.access_token,
            refresh_token=issued.refresh_token,
            expires_at=issued.expires_at,
        )


@strawberry.input(description="Phone and password.")
class LoginInput:
    """See `resolvers.identity.login`."""

    phone: str = strawberry.field(description="The registered mobile number.")
    password: str = strawberry.field(description="The login password.")


@strawberry.input(description="The newest refresh token of a session.")
class RefreshSessionInput:
    """See `resolvers.identity.refresh_session`."""

    refresh_token: str = strawberry.field(description="As the last answer gave it.")


@strawberry.input(description="The session to end.")
class LogoutInput:
    """See `resolvers.identity.logout`."""

    refresh_token: str = strawberry.field(description="Any refresh token of the session.")


@strawberry.type(description="Signed in.")
class LoginSuccess:
    """A new session."""

    session: SessionTokens = strawberry.field(description="The tokens of the new session.")
    viewer: LazyViewer = strawberry.field(description="Who signed in.")


@strawberry.type(description="The session goes on.")
class RefreshSessionSuccess:
    """The tokens before these stopped working."""

    session: SessionTokens = strawberry.field(description="The new tokens.")


@strawberry.type(description="The session has ended, if there was one.")
class LogoutSuccess:
    """Also for tokens that nobody knows."""

    signed_out: bool = strawberry.field(description="Always true.")


@strawberry.type
class SessionMutation:
    """The part of Mutation about sessions."""

    @fields.mutation(
        calls=identity.login,
        description="Sign in by phone and password.",
        refuses=(no.WrongCredentials, no.AccountNotActive),
    )
    async def login(self, info: Info, input: LoginInput) -> LoginSuccess:
        signed_in = await identity.login(
            info.context.viewer,
            phone=input.phone,
            password=input.password,
            address=info.context.address,
        )
        return LoginSuccess(
            session=SessionTokens.of(signed_in.session), viewer=callers.of(signed_in.viewer)
        )

    @fields.mutation(
        calls=identity.refresh_session,
        description="Get new tokens for the newest refresh token. A token used twice ends the "
        "session, because one of the two users has stolen it.",
        refuses=(no.SessionInvalid,),
    )
    async def refresh_session(
        self, info: Info, input: RefreshSessionInput
    ) -> RefreshSessionSuccess:
        issued = await identity.refresh_session(
            info.context.viewer, refresh_token=input.refresh_token
        )
        return RefreshSessionSuccess(session=SessionTokens.of(issued))

    @fields.mutation(
        calls=identity.logout, description="End a session, on all its connections at once."
    )
    async def logout(self, info: Info, input: LogoutInput) -> LogoutSuccess:
        await identity.logout(info.context.viewer, refresh_token=input.refresh_token)
        return LogoutSuccess(signed_out=True)
