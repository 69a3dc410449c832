"""A caller's own devices: listed, recognised, revoked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from domain import devices as rules
from domain import refusals
from domain.devices import NewDevice, Platform
from domain.notices import NoticeKind
from infra import device_keys
from resolvers.viewer import SIGNED_IN, Viewer, access
from services import devices, notices
from services.devices import Device, Key
from services.identity import sessions
from services.unit_of_work import snapshot, unit_of_work


@dataclass(frozen=True, slots=True)
class Described:
    """A device in its client's own words; `checked` says whether they make sense."""

    public_key: str
    name: str = field(repr=False)
    platform: Platform


def checked(given: Described) -> NewDevice:
    """A device that can be enrolled. Raises InvalidInput."""
    public_key, name = device_keys.parse(given.public_key), rules.clean_name(given.name)
    if public_key is None:
        raise refusals.InvalidInput(
            path=("input", "device", "publicKey"),
            en="The device's key must be a P-256 public key.",
            zh="设备密钥须为P-256公钥。",
        )
    if name is None:
        raise refusals.InvalidInput(
            path=("input", "device", "name"),
            en=f"The device's name must have 1 to {rules.NAME_LENGTH_MAX} readable characters.",
            zh=f"设备名称须为1至{rules.NAME_LENGTH_MAX}个可见字符。",
        )
    return NewDevice(public_key=public_key, name=name, platform=given.platform)


@access(SIGNED_IN)
async def device_page(
    viewer: Viewer, *, limit: int, after: Key | None, before: Key | None, backwards: bool
) -> list[Device]:
    """The caller's devices that are not revoked, newest first."""
    async with snapshot() as read:
        return await devices.page(
            read, viewer.user_id, limit=limit, after=after, before=before, backwards=backwards
        )


@access(SIGNED_IN)
async def devices_by_ids(viewer: Viewer, device_ids: Sequence[UUID]) -> dict[UUID, Device]:
    """Those of the devices that are the caller's."""
    async with snapshot() as read:
        return await devices.by_ids(read, viewer.user_id, device_ids)


@access(SIGNED_IN)
async def revoke_device(viewer: Viewer, *, device_id: UUID | None) -> tuple[Device, int]:
    """Make a device a stranger, and end its sessions everywhere; how many there were.

    Its key can't sign in, refresh or be enrolled again. It may be the one that asks. Raises
    NotFound.
    """
    async with unit_of_work() as work:
        known = device_id is not None and await devices.revoke(
            work, user_id=viewer.user_id, device_id=device_id
        )
        if not known or device_id is None:
            raise refusals.NotFound(path=("input", "deviceId"))
        ended = await sessions.end_all(
            work, viewer.user_id, reason="DEVICE_REVOKED", device_id=device_id
        )
        device = (await devices.by_ids(work, viewer.user_id, [device_id]))[device_id]
        await notices.tell(
            work,
            user_id=viewer.user_id,
            kind=NoticeKind.DEVICE_REVOKED,
            params={"device_id": device_id, "platform": device.platform},
            source=f"device:{device_id}:revoked",
        )
        return device, ended
