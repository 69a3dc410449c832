"""What staff did and looked at, for auditors."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import msgspec
import strawberry

from domain import identity as domain
from domain import refusals as no
from resolvers import audit
from schema import fields, ids, nodes, pagination
from schema.context import Info
from services.audit import Entry, Filter


@strawberry.type(description="One deed or look of a member of staff. Nobody can change it.")
class AuditEntry:
    """As `services.audit.Entry`."""

    id: strawberry.ID = strawberry.field(description="Its global id.")
    actor: strawberry.ID = strawberry.field(description="Who; the city itself is number 0.")
    role: domain.Role | None = strawberry.field(description="As what they acted.")
    session_id: strawberry.ID | None = strawberry.field(
        description="In which session; null for what no session did."
    )
    address_hash: str | None = strawberry.field(
        description="A keyed hash of the network address: equal for equal addresses."
    )
    request_id: str | None = strawberry.field(description="The request, as the logs name it.")
    action: str = strawberry.field(description="What was done, for instance DECIDE_REFUND.")
    object: str = strawberry.field(description="To what, for instance `user:42`.")
    detail: str = strawberry.field(description="Facts about it, as a JSON object.")
    reason: str | None = strawberry.field(description="What the actor wrote.")
    created_at: datetime = strawberry.field(description="When.")
    seal: int | None = strawberry.field(
        description="The number of the seal that covers it; null for about a minute."
    )

    @classmethod
    def of(cls, row: Entry) -> AuditEntry:
        by = row.by
        return cls(
            id=strawberry.ID(ids.encode("AuditEntry", row.id)),
            actor=strawberry.ID(ids.encode("User", row.actor_id)),
            role=domain.Role(by.role) if by.role else None,
            session_id=_session_id(by.session_id),
            address_hash=by.address_hash,
            request_id=by.request_id,
            action=row.action,
            object=row.object,
            detail=msgspec.json.encode(row.detail, order="sorted").decode(),
            reason=row.reason,
            created_at=row.created_at,
            seal=row.seal,
        )


def _session_id(key: str | None) -> strawberry.ID | None:
    return None if key is None else strawberry.ID(ids.encode("Session", key))


@strawberry.input(description="What narrows the log down. All of it must fit.")
class AuditLogFilter:
    """See `services.audit.Filter`."""

    actor: strawberry.ID | None = strawberry.field(default=None, description="Who.")
    action: str | None = strawberry.field(default=None, description="What, exactly.")
    object: str | None = strawberry.field(default=None, description="To what, exactly.")
    address: str | None = strawberry.field(
        default=None, description="From which network address; kept as its hash only."
    )
    since: datetime | None = strawberry.field(
        default=None, name="from", description="From this instant on."
    )
    until: datetime | None = strawberry.field(
        default=None, name="to", description="Until before this instant."
    )

    def narrow(self) -> Filter:
        """The service's filter. Raises InvalidInput."""
        actor_id = None if self.actor is None else ids.decode(self.actor, "User")
        if self.actor is not None and (actor_id is None or not _is_number(actor_id)):
            raise no.InvalidInput(path=("filter", "actor"))
        return Filter(
            actor_id=None if actor_id is None else int(actor_id),
            action=self.action,
            object=self.object,
            address=self.address,
            since=self.since,
            until=self.until,
        )


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= 19 and int(text) < 2**63


@strawberry.type
class AuditStaff:
    """The part of Staff about what staff do."""

    @fields.query_field(
        calls=audit.audit_log,
        description="What staff did and looked at, newest first. Looking is recorded too. For "
        "AUDITOR and ADMIN.",
        arguments={"filter": "What narrows it; the same for all pages."},
    )
    async def audit_log(
        self,
        info: Info,
        first: pagination.First = None,
        last: pagination.Last = None,
        after: pagination.After = None,
        before: pagination.Before = None,
        filter: AuditLogFilter | None = None,
    ) -> pagination.Connection[AuditEntry]:
        wanted = filter.narrow() if filter is not None else Filter()
        return await pagination.connection(
            pagination.window(
                "auditLog",
                {"filter": repr(wanted)},
                first=first,
                last=last,
                after=after,
                before=before,
            ),
            partial(audit.audit_log, info.context.viewer, wanted=wanted),
            place=nodes.time_and_uuid,
            key=lambda row: (row.created_at, str(row.id)),
            node=AuditEntry.of,
        )
