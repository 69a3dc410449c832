"""Sessions: going on, looking at them, ending them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from uuid import UUID

import strawberry

from domain import refusals as no
from resolvers import sessions
from resolvers.viewer import Viewer as Caller
from schema import devices, fields, ids, nodes, pagination
from schema.context import Info
from services.identity.sessions import Issued
from services.identity.sessions import Session as Row


@strawberry.type(description="The tokens of a session. Keep them secret.")
class SessionTokens:
    """Shown once; the server keeps hashes."""

    access_token: str = strawberry.field(description="Goes into `Authorization: Bearer …`.")
    refresh_token: str = strawberry.field(
        description="Gets the next tokens by `refreshSession`, signed by the device. It works "
        "once: using it again ends the session."
    )
    expires_at: datetime = strawberry.field(description="When the access token stops working.")

    @classmethod
    def of(cls, issued: Issued) -> SessionTokens:
        return cls(
            access_token=issued.access_token,
            refresh_token=issued.refresh_token,
            expires_at=issued.expires_at,
        )


@strawberry.type(description="A session: one sign-in on one device.")
class Session(nodes.Node):
    """As `services.identity.sessions.Session`."""

    started_at: datetime = strawberry.field(description="When somebody signed in.")
    last_seen_at: datetime = strawberry.field(
        description="When it was last refreshed: while it is in use, at most ten minutes ago."
    )
    expires_at: datetime = strawberry.field(description="When it ends if it isn't used until then.")
    network: str = strawberry.field(
        description="Roughly where it was last used: `203.0.*.*`, or empty."
    )
    current: bool = strawberry.field(description="Whether this request belongs to it.")
    device_key: strawberry.Private[UUID | None]

    @strawberry.field(description="The device that it is bound to.")
    async def device(self, info: Info) -> devices.Device | None:
        return await devices.device(info, self.device_key) if self.device_key else None

    @classmethod
    def of(cls, row: Row, viewer: Caller) -> Session:
        return cls(
            id=strawberry.ID(ids.encode("Session", row.id)),
            started_at=row.created_at,
            last_seen_at=row.last_seen_at,
            expires_at=row.expires_at,
            network=row.network,
            current=row.id == viewer.session_id,
            device_key=row.device_id,
        )


@strawberry.type
class SessionViewer:
    """The part of Viewer about sessions."""

    @fields.query_field(
        calls=sessions.session_page,
        description="The caller's sessions that are not over, newest first.",
    )
    async def sessions(
        self,
        info: Info,
        first: pagination.First = None,
        last: pagination.Last = None,
        after: pagination.After = None,
        before: pagination.Before = None,
    ) -> pagination.Connection[Session]:
        viewer = info.context.viewer
        return await pagination.connection(
            pagination.window(
                f"sessions:{viewer.user_id}", first=first, last=last, after=after, before=before
            ),
            partial(sessions.session_page, viewer),
            place=nodes.time_and_uuid,
            key=lambda row: (row.created_at, str(row.id)),
            node=lambda row: Session.of(row, viewer),
        )


@strawberry.input(description="The newest refresh token of a session.")
class RefreshSessionInput:
    """See `resolvers.sessions.refresh_session`."""

    refresh_token: str = strawberry.field(description="As the last answer gave it.")
    device_signature: str = strawberry.field(
        description="By the key of the session's device: ECDSA on P-256 with SHA-256 over the "
        "UTF-8 of two lines, `pengcheng-wallet refresh v1` and the refresh token, joined by a line "
        "feed. r and s, 32 bytes each, in base64url without padding."
    )


@strawberry.input(description="The session to end.")
class LogoutInput:
    """See `resolvers.sessions.logout`."""

    refresh_token: str = strawberry.field(description="Any refresh token of the session.")


@strawberry.input(description="The session to end, by its id.")
class RevokeSessionInput:
    """See `resolvers.sessions.revoke_session`."""

    session_id: strawberry.ID = strawberry.field(description="One of the caller's sessions.")


@strawberry.input(description="Which sessions stay.")
class LogoutEverywhereInput:
    """See `resolvers.sessions.logout_everywhere`."""

    except_this: bool | None = strawberry.field(
        default=None, description="Whether the session that asks goes on; otherwise it ends too."
    )


@strawberry.input(description="Whose sessions staff end, and why.")
class EndSessionsInput:
    """See `resolvers.sessions.end_sessions`."""

    user_id: strawberry.ID = strawberry.field(description="As `resident` or `riskCases` gave it.")
    reason: str = strawberry.field(description="For the audit log, up to 200 characters.")


@strawberry.type(description="Somebody is signed out everywhere.")
class EndSessionsSuccess:
    """Whoever had a session is told by SMS."""

    ended: int = strawberry.field(description="How many sessions there were.")


@strawberry.type(description="The session is over.")
class RevokeSessionSuccess:
    """Also if it was over before."""

    session_id: strawberry.ID = strawberry.field(description="The session that was named.")


@strawberry.type(description="The sessions are over.")
class LogoutEverywhereSuccess:
    """Those that were not over before."""

    sessions_ended: int = strawberry.field(description="How many there were.")


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
        calls=sessions.refresh_session,
        description="Get new tokens for the newest refresh token. If the answer was lost, the "
        "same device gets the same one again for 10 seconds. Otherwise a token used twice ends the "
        "session, because one of the two users has stolen it.",
        refuses=(no.SessionInvalid,),
    )
    async def refresh_session(
        self, info: Info, input: RefreshSessionInput
    ) -> RefreshSessionSuccess:
        issued = await sessions.refresh_session(
            info.context.viewer,
            refresh_token=input.refresh_token,
            device_signature=input.device_signature,
            address=info.context.address,
        )
        return RefreshSessionSuccess(session=SessionTokens.of(issued))

    @fields.mutation(
        calls=sessions.logout, description="End a session, on all its connections at once."
    )
    async def logout(self, info: Info, input: LogoutInput) -> LogoutSuccess:
        await sessions.logout(info.context.viewer, refresh_token=input.refresh_token)
        return LogoutSuccess(signed_out=True)

    @fields.mutation(
        calls=sessions.revoke_session,
        description="End one of the caller's sessions, on all its connections at once.",
        refuses=(no.NotFound,),
    )
    async def revoke_session(self, info: Info, input: RevokeSessionInput) -> RevokeSessionSuccess:
        await sessions.revoke_session(
            info.context.viewer, session_id=ids.decode_uuid(input.session_id, "Session")
        )
        return RevokeSessionSuccess(session_id=input.session_id)

    @fields.mutation(
        calls=sessions.logout_everywhere,
        description="End all sessions of the caller, on all their connections at once, and "
        "whatever sign-in is under way. Devices stay known; `revokeDevice` ends that.",
    )
    async def logout_everywhere(
        self, info: Info, input: LogoutEverywhereInput
    ) -> LogoutEverywhereSuccess:
        ended = await sessions.logout_everywhere(
            info.context.viewer, except_this=bool(input.except_this)
        )
        return LogoutEverywhereSuccess(sessions_ended=ended)

    @fields.mutation(
        calls=sessions.end_sessions,
        description="End all sessions of somebody else, on all their connections at once, and "
        "whatever sign-in or proof is under way; they are told. Recorded. For RISK and ADMIN, "
        "elevated.",
        refuses=(no.NotFound, no.ReviewerIsParty),
    )
    async def end_sessions(self, info: Info, input: EndSessionsInput) -> EndSessionsSuccess:
        ended = await sessions.end_sessions(
            info.context.viewer,
            user_id=nodes.user_of(input.user_id, "input", "userId"),
            reason=input.reason,
        )
        return EndSessionsSuccess(ended=ended)


async def _load(viewer: Caller, keys: list[str]) -> Mapping[str, Session]:
    rows = await sessions.sessions_by_ids(viewer, nodes.uuids(keys))
    return {str(key): Session.of(row, viewer) for key, row in rows.items()}


nodes.loads("Session", _load)
