"""Copies of the caller's own data."""

from __future__ import annotations

from datetime import datetime

import strawberry

from domain import exports as domain
from domain import refusals as no
from resolvers import exports
from schema import enums, fields, ids, proofs
from schema.context import Info
from services.exports.orders import Export as Row

enums.described(
    domain.ExportState,
    "DataExportState",
    "Where a copy of somebody's data stands.",
    WAITING="Asked for.",
    RUNNING="Being written; `progressPercent` says how far.",
    READY="Can be fetched at `url` until `expiresAt`.",
    EXPIRED="Was deleted; ask for another.",
    FAILED="Could not be finished; ask for another.",
)


@strawberry.type(description="A copy of the caller's data.")
class DataExport:
    """As `services.exports.orders.Export`."""

    id: strawberry.ID = strawberry.field(description="Tells copies apart.")
    state: domain.ExportState = strawberry.field(description="Where it stands.")
    progress_percent: int = strawberry.field(description="How much of it is written.")
    size_bytes: int = strawberry.field(description="The archive's size so far.")
    requested_at: datetime = strawberry.field(description="When it was asked for.")
    ready_at: datetime | None = strawberry.field(description="Since when it can be fetched.")
    expires_at: datetime | None = strawberry.field(description="Until when it can be fetched.")
    fetched_at: datetime | None = strawberry.field(description="When it was first fetched.")
    url: str | None = strawberry.field(
        description="Where to fetch the archive (GET) while it is READY; keep it to yourself."
    )

    @classmethod
    def of(cls, row: Row) -> DataExport:
        return cls(
            id=strawberry.ID(ids.encode("DataExport", row.id)),
            state=row.state,
            progress_percent=row.progress_percent,
            size_bytes=row.size_bytes,
            requested_at=row.requested_at,
            ready_at=row.ready_at,
            expires_at=row.expires_at,
            fetched_at=row.fetched_at,
            url=row.url,
        )


@strawberry.input(description="A request for a copy of the caller's data.")
class ExportMyDataInput:
    """See `resolvers.exports.export_my_data`."""

    proof: proofs.AccountProofInput = strawberry.field(description="Proves who asks.")


@strawberry.type(description="The copy is being made.")
class ExportMyDataSuccess:
    """A notice says when it is ready."""

    data_export: DataExport = strawberry.field(description="The copy; follow it by the viewer.")
    archive_password: str = strawberry.field(
        description="Opens the archive. It is shown this once and can't be asked for again."
    )


@strawberry.type
class ExportViewer:
    """The part of Viewer about copies of data."""

    @fields.query_field(
        calls=exports.data_exports, description="The newest ten copies, newest first."
    )
    async def data_exports(self, info: Info) -> list[DataExport]:
        return [DataExport.of(row) for row in await exports.data_exports(info.context.viewer)]


@strawberry.type
class ExportMutation:
    """The part of Mutation about copies of data."""

    @fields.mutation(
        calls=exports.export_my_data,
        description="Have a copy of all data about the caller made, as an encrypted ZIP archive. "
        "One at a time, three a day.",
        costly=True,
        refuses=(no.AccountNotActive, no.ExportUnderWay, no.WrongCredentials, *proofs.REFUSALS),
    )
    async def export_my_data(self, info: Info, input: ExportMyDataInput) -> ExportMyDataSuccess:
        ordered = await exports.export_my_data(
            info.context.viewer, proof=input.proof.shown(info.context.address)
        )
        return ExportMyDataSuccess(
            data_export=DataExport.of(ordered.export), archive_password=ordered.password
        )
