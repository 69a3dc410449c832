"""The last step of every way in: the device becomes known, and gets a session."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from domain import refusals
from domain.devices import NewDevice
from domain.identity import Viewer
from domain.notices import NoticeKind
from services import devices, notices
from services.devices import Device
from services.identity import closings, sessions
from services.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session, the caller it belongs to, and the device that it is bound to."""

    session: sessions.Issued
    viewer: Viewer = field(repr=False)
    device: Device


async def admit(work: UnitOfWork, user_id: int, *, device_id: UUID, address: str) -> SignedIn:
    """Somebody on a device that has just proved itself (`devices.lock`). Raises NotSignedIn."""
    found = await devices.by_ids(work, user_id, [device_id])
    return await _admit(work, user_id, found[device_id], address=address, second_factor=False)


async def admit_new(
    work: UnitOfWork,
    user_id: int,
    given: NewDevice,
    *,
    address: str,
    registering: bool = False,
    second_factor: bool = False,
) -> SignedIn:
    """Somebody proved otherwise, on a device to enrol; those who know the account are told.

    Except when the account itself is new. ``second_factor``: proved by passkey or authenticator.
    Raises InvalidInput (a revoked key), NotSignedIn.
    """
    enrolled = await devices.enrol(work, user_id, given)
    signed_in = await _admit(
        work, user_id, enrolled.device, address=address, second_factor=second_factor
    )
    if enrolled.new and not registering:
        await notices.tell(
            work,
            user_id=user_id,
            kind=NoticeKind.NEW_DEVICE,
            params={"device_id": enrolled.device.id, "platform": given.platform},
            source=f"device:{enrolled.device.id}",
        )
    return signed_in


async def _admit(
    work: UnitOfWork, user_id: int, device: Device, *, address: str, second_factor: bool
) -> SignedIn:
    # Whoever comes in stays. First, so that a closing that begins now waits for this, or this sees
    # that it has begun.
    await closings.cancel(work, user_id)
    issued = await sessions.issue(
        work, user_id, device_id=device.id, address=address, second_factor=second_factor
    )
    viewer = await sessions.viewer_by_session(work, issued.session_id)
    if viewer is None:
        raise refusals.NotSignedIn  # closed in the meantime
    return SignedIn(session=issued, viewer=viewer, device=device)
