"""The job that seals personal data anew. Killed at any point, it goes on from where it was."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from services import key_rotations
from services.unit_of_work import unit_of_work

STEPS_AT_ONCE_MAX = 20
SECONDS_AT_ONCE_MAX = 8.0


async def rotate_keys(args: dict[str, Any]) -> None:
    """Take some steps of a rotation and ask for the next ones. ``args``: ``rotation_id``.

    A few at a time, because a job has a minute and a large city has more rows than that; and no
    new one after half of the outbox's lease, or somebody else would start on it, too.
    """
    rotation_id = UUID(args["rotation_id"])
    started = time.monotonic()
    for _ in range(STEPS_AT_ONCE_MAX):
        if time.monotonic() - started > SECONDS_AT_ONCE_MAX:
            break
        async with unit_of_work() as work:
            more = await key_rotations.advance(work, rotation_id)
        if not more:
            return
    async with unit_of_work() as work:
        key_rotations.go_on(work, rotation_id)
