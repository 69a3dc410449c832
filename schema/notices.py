"""Notices, as their user sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Union
from uuid import UUID

import strawberry

from domain import notices as domain
from resolvers import notices
from resolvers.viewer import Viewer as Caller
from schema import enums, fields, ids, live, nodes, pagination, payments, refunds
from schema.context import Info
from schema.notice_settings import NoticeSettingsMutation, NoticeSettingsViewer
from schema.payments import Payment
from schema.refunds import Refund
from schema.scalars import EventCursor
from services.notices import Notice as Row

enums.described(
    domain.NoticeKind,
    "NoticeKind",
    "What a notice is about.",
    REGISTRATION_APPROVED="The wallet can be used.",
    REGISTRATION_REFERRED="A person looks at the registration.",
    REGISTRATION_REJECTED="The registration was not approved.",
    IDENTITY_APPROVED="Name and ID number were confirmed; `kycLevel` has risen.",
    IDENTITY_REFERRED="A person looks at the identity that was handed in.",
    IDENTITY_REJECTED="The identity that was handed in was not confirmed.",
    PASSWORD_CHANGED="The login password was changed.",  # noqa: S106 - no password
    PASSWORD_RESET="The login password was replaced by who had forgotten it.",  # noqa: S106
    PIN_SET="A first payment PIN was set.",
    PIN_CHANGED="The payment PIN was replaced.",
    PHONE_CHANGED="The account has another phone number.",
    RECOVERY_REQUESTED="Somebody asks staff for help into the account; see `objectToRecovery`.",
    RECOVERY_APPROVED="Staff have approved that.",
    RECOVERY_REJECTED="Staff have refused that.",
    NUMBER_RELEASE_REQUESTED="The number's new holder asks for it; see `objectToRecovery`.",
    NUMBER_RELEASE_APPROVED="Staff have approved that.",
    NUMBER_RELEASE_REJECTED="Staff have refused that.",
    NUMBER_RELEASED="The account has no phone number any more; see `requestPhoneReplacement`.",
    PASSWORD_REMINDER="The login password is a year old.",  # noqa: S106 - no password
    CONTACT_EMAIL_CHANGED="The contact e-mail address was changed or removed.",
    PAYMENT_SUCCEEDED="The user paid.",
    PAYMENT_RECEIVED="The merchant was paid.",
    TRANSFER_SENT="The user sent money.",
    TRANSFER_RECEIVED="The user received money.",
    TOP_UP_SUCCEEDED="A top-up arrived.",
    TOP_UP_FAILED="The bank refused a top-up.",
    REFUND_REQUESTED="A refund was asked for and waits for finance.",
    REFUND_APPROVED="Finance approved a refund.",
    REFUND_REJECTED="Finance rejected a refund.",
    REFUND_CREDITED="A refund is back in the wallet.",
    REFUND_DEBITED="The merchant gave a payment back.",
    WALLET_FROZEN="Money can't leave the wallet; `appealFreeze` answers.",
    WALLET_UNFROZEN="The wallet works again.",
    WALLET_FROZEN_BY_OWNER="The owner froze the wallet.",
    WALLET_UNFROZEN_BY_OWNER="The owner let the wallet work again.",
    NEW_DEVICE="Somebody signed in on a device that was not known.",
    DEVICE_REVOKED="A device was removed and signed out.",
    SESSION_MISUSED="A refresh token was used twice, so its session was ended.",
    SIGNED_OUT_BY_STAFF="Staff ended all sessions of the user.",
    PASSKEY_ADDED="A passkey was added.",
    PASSKEY_REMOVED="A passkey was removed.",
    PASSKEY_REFUSED="A passkey was refused, because it may have been copied.",
    DATA_EXPORT_READY="A copy of the user's data can be fetched.",
    CLOSING_REQUESTED="The account will be closed in a week.",
    CLOSING_CANCELLED="The account stays open: its owner wants it.",
    CLOSING_STOPPED="The account stays open: money or unfinished business came up.",
    STAFF_ROLE_CHANGED="Staff: an ADMIN changed the user's role.",
    AUTHENTICATOR_ADDED="Staff: an authenticator app was set up.",
    AUTHENTICATOR_REMOVED="Staff: an ADMIN removed the authenticator app.",
)


@strawberry.type(description="Something the user is told.")
class Notice(nodes.Node):
    """As `services.notices.Notice`."""

    kind: domain.NoticeKind = strawberry.field(description="What it is about.")
    sequence: int = strawberry.field(description="Its number among the user's, without a gap.")
    at: datetime = strawberry.field(description="When it was written.")
    read_at: datetime | None = strawberry.field(description="When it was marked as read.")
    row: strawberry.Private[Row]

    @strawberry.field(description="A few words, in the caller's language.")
    def title(self, info: Info) -> str:
        return self.row.text(info.context.language)[0]

    @strawberry.field(description="The whole text, in the caller's language.")
    def text(self, info: Info) -> str:
        return self.row.text(info.context.language)[1]

    @strawberry.field(description="The payment that it is about.")
    async def payment(self, info: Info) -> Payment | None:
        key = self._about("payment_id")
        return await payments.payment(info, key) if key is not None else None

    @strawberry.field(description="The refund that it is about.")
    async def refund(self, info: Info) -> Refund | None:
        key = self._about("refund_id")
        return await refunds.refund(info, key) if key is not None else None

    def _about(self, name: str) -> UUID | None:
        key = self.row.params.get(name)
        return UUID(key) if key is not None else None

    @classmethod
    def of(cls, row: Row) -> Notice:
        return cls(
            id=strawberry.ID(ids.encode("Notice", row.id)),
            kind=row.kind,
            sequence=row.seq,
            at=row.created_at,
            read_at=row.read_at,
            row=row,
        )


@strawberry.type
class NoticeViewer(NoticeSettingsViewer):
    """The part of Viewer about notices."""

    # Before the field of the module's own name, which hides the module from what follows here.
    @fields.query_field(
        calls=notices.unread_count,
        description="How many notices are unread; 100 stands for 100 or more.",
    )
    async def unread_notice_count(self, info: Info) -> int:
        return await notices.unread_count(info.context.viewer)

    @fields.query_field(
        calls=notices.notice_page, description="The caller's notices, newest first."
    )
    async def notices(
        self,
        info: Info,
        first: pagination.First = None,
        last: pagination.Last = None,
        after: pagination.After = None,
        before: pagination.Before = None,
    ) -> pagination.Connection[Notice]:
        viewer = info.context.viewer
        return await pagination.connection(
            pagination.window(
                f"notices:{viewer.user_id}", first=first, last=last, after=after, before=before
            ),
            partial(notices.notice_page, viewer),
            place=nodes.number,
            key=lambda row: (row.seq,),
            node=Notice.of,
        )


@strawberry.input(description="How far the caller has read.")
class MarkNoticesReadInput:
    """Repeating it changes nothing."""

    up_to_sequence: int = strawberry.field(description="The `sequence` of the newest one read.")


@strawberry.type(description="Marked.")
class MarkNoticesReadSuccess:
    """Those read before keep their time."""

    unread_notice_count: int = strawberry.field(
        description="How many are unread now; 100 stands for 100 or more."
    )


@strawberry.type
class NoticeMutation(NoticeSettingsMutation):
    """The part of Mutation about notices."""

    @fields.mutation(
        calls=notices.mark_read, description="Mark notices as read, up to one of them."
    )
    async def mark_notices_read(
        self, info: Info, input: MarkNoticesReadInput
    ) -> MarkNoticesReadSuccess:
        count = await notices.mark_read(info.context.viewer, up_to_sequence=input.up_to_sequence)
        return MarkNoticesReadSuccess(unread_notice_count=count)


@strawberry.type(description="A new notice.")
class NotificationEvent:
    """``sequence`` is the notice's number."""

    cursor: EventCursor = strawberry.field(description="To go on behind this event.")
    sequence: int = strawberry.field(description="The notice's number, from 1 without a gap.")
    notice: Notice = strawberry.field(description="The notice.")


NotificationEventsResult: Any = Annotated[
    Union[NotificationEvent, live.EventsGap],  # noqa: UP007 - strawberry names unions this way
    strawberry.union("NotificationEventsResult", description="A notice, or why some are missing."),
]


@strawberry.type
class NoticeSubscription:
    """The part of Subscription about notices."""

    @fields.subscription(
        calls=notices.notice_events,
        description="The caller's notices behind `after` (without it: from now on).",
    )
    async def notification_events(
        self, info: Info, after: live.After = None
    ) -> AsyncIterator[NotificationEventsResult]:  # pyright: ignore[reportInvalidTypeForm]
        stream = notices.notice_events(info.context.viewer, after=after)
        async for event in live.events(
            stream,
            info.context.language,
            make=lambda cursor, sequence, row: NotificationEvent(
                cursor=cursor, sequence=sequence, notice=Notice.of(row)
            ),
        ):
            yield event


async def _load(viewer: Caller, keys: list[str]) -> Mapping[str, Notice]:
    rows = await notices.notices_by_ids(viewer, nodes.uuids(keys))
    return {str(key): Notice.of(row) for key, row in rows.items()}


nodes.loads("Notice", _load)
