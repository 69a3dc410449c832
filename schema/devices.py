"""Devices, as their owner sees them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial

import strawberry

from domain import devices as domain
from domain import refusals as no
from resolvers import devices
from resolvers.viewer import Viewer as Caller
from schema import enums, fields, ids, nodes, pagination
from schema.context import Info
from services.devices import Device as Row

enums.described(
    domain.Platform,
    "DevicePlatform",
    "What a device runs.",
    IOS="iOS or iPadOS.",
    ANDROID="Android.",
    HARMONY="HarmonyOS.",
    WEB="A browser.",
    OTHER="Something else.",
)


@strawberry.type(description="A phone or browser that its owner has enrolled.")
class Device(nodes.Node):
    """As `services.devices.Device`."""

    name: str = strawberry.field(description="What it was called when it was enrolled.")
    platform: domain.Platform = strawberry.field(description="What it runs.")
    enrolled_at: datetime = strawberry.field(description="When it became known.")
    last_seen_at: datetime = strawberry.field(
        description="When it last signed in or refreshed a session."
    )
    revoked_at: datetime | None = strawberry.field(
        description="When it was revoked; null while it is good for signing in."
    )
    current: bool = strawberry.field(description="Whether this request comes from it.")

    @classmethod
    def of(cls, row: Row, viewer: Caller) -> Device:
        return cls(
            id=strawberry.ID(ids.encode("Device", row.id)),
            name=row.name,
            platform=row.platform,
            enrolled_at=row.created_at,
            last_seen_at=row.last_seen_at,
            revoked_at=row.revoked_at,
            current=row.id == viewer.device_id,
        )


@strawberry.input(description="The device that asks, to be known from now on.")
class DeviceInput:
    """See `resolvers.devices.Described`."""

    public_key: str = strawberry.field(
        description="A P-256 public key, made on the device and never leaving it as a pair: "
        "SubjectPublicKeyInfo in base64url without padding."
    )
    name: str = strawberry.field(description="What its owner calls it: 1 to 40 characters.")
    platform: domain.Platform = strawberry.field(description="What it runs.")

    def described(self) -> devices.Described:
        return devices.Described(self.public_key, self.name, self.platform)


@strawberry.type
class DeviceViewer:
    """The part of Viewer about devices."""

    @fields.query_field(
        calls=devices.device_page,
        description="The caller's devices that are not revoked, newest first.",
    )
    async def devices(
        self,
        info: Info,
        first: pagination.First = None,
        last: pagination.Last = None,
        after: pagination.After = None,
        before: pagination.Before = None,
    ) -> pagination.Connection[Device]:
        viewer = info.context.viewer
        return await pagination.connection(
            pagination.window(
                f"devices:{viewer.user_id}", first=first, last=last, after=after, before=before
            ),
            partial(devices.device_page, viewer),
            place=nodes.time_and_uuid,
            key=lambda row: (row.created_at, str(row.id)),
            node=lambda row: Device.of(row, viewer),
        )


@strawberry.input(description="The device to revoke.")
class RevokeDeviceInput:
    """See `resolvers.devices.revoke_device`."""

    device_id: strawberry.ID = strawberry.field(description="One of the caller's devices.")


@strawberry.type(description="The device counts for nothing any more.")
class RevokeDeviceSuccess:
    """Its sessions have ended, everywhere."""

    device: Device = strawberry.field(description="What it was.")
    sessions_ended: int = strawberry.field(description="How many sessions it had.")


@strawberry.type
class DeviceMutation:
    """The part of Mutation about devices."""

    @fields.mutation(
        calls=devices.revoke_device,
        description="Revoke a device, for good, and end its sessions at once. To come back it "
        "needs a new key and a second proof.",
        refuses=(no.NotFound,),
    )
    async def revoke_device(self, info: Info, input: RevokeDeviceInput) -> RevokeDeviceSuccess:
        viewer = info.context.viewer
        row, ended = await devices.revoke_device(
            viewer, device_id=ids.decode_uuid(input.device_id, "Device")
        )
        return RevokeDeviceSuccess(device=Device.of(row, viewer), sessions_ended=ended)


async def device(info: Info, key: object) -> Device | None:
    """The caller's device by its key, also a revoked one; all of one step in one query."""
    viewer = info.context.viewer

    async def load(keys: list[object]) -> Mapping[object, Device]:
        rows = await devices.devices_by_ids(viewer, nodes.uuids(map(str, keys)))
        return {one: Device.of(row, viewer) for one, row in rows.items()}

    return await nodes.together(info, "devices", load, key)


async def _load(viewer: Caller, keys: list[str]) -> Mapping[str, Device]:
    rows = await devices.devices_by_ids(viewer, nodes.uuids(keys))
    return {str(key): Device.of(row, viewer) for key, row in rows.items()}


nodes.loads("Device", _load)
