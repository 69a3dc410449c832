"""Who may have personal data sealed with another key, and see how far that has come."""

from __future__ import annotations

from domain.identity import Role
from resolvers.viewer import Viewer, access, elevated, staff
from services import key_rotations
from services.key_rotations import Rotation
from services.unit_of_work import snapshot, unit_of_work


@access(elevated(staff(Role.ADMIN)))
async def rotate_keys(viewer: Viewer, *, key: int) -> Rotation:
    """Start a rotation to the key that seals, or have the running one go on.

    Raises InvalidInput.
    """
    async with unit_of_work() as work:
        return await key_rotations.start(work, actor_id=viewer.user_id, key=key)


@access(staff(Role.ADMIN, Role.AUDITOR))
async def key_rotation(viewer: Viewer) -> Rotation | None:
    """The newest rotation; it tells numbers of rows and keys, nobody's data."""
    async with snapshot() as read:
        return await key_rotations.latest(read)
