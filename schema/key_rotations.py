"""Rotating the keys that seal personal data."""

from __future__ import annotations

from datetime import datetime

import strawberry

from resolvers import key_rotations
from schema import enums, fields, ids
from schema.context import Info
from services.key_rotations import KeyUse as UseRow
from services.key_rotations import Rotation, State

enums.described(
    State,
    "KeyRotationState",
    "Whether a rotation has anything left to do.",
    RUNNING="Rows are being sealed anew, or counted.",
    DONE="Whatever could be sealed anew is.",
)


@strawberry.type(description="How many texts lie under one key.")
class KeyUse:
    """As `services.key_rotations.KeyUse`."""

    key: int = strawberry.field(description="The key's number.")
    rows: int = strawberry.field(description="Texts that a rotation seals anew.")
    kept_texts: int = strawberry.field(
        description="Texts of append-only tables, which keep their key for ever."
    )
    unused: bool = strawberry.field(
        description="Whether no text needs it, so that it may leave the settings."
    )

    @classmethod
    def of(cls, row: UseRow) -> KeyUse:
        return cls(key=row.number, rows=row.rows, kept_texts=row.kept, unused=row.unused)


@strawberry.type(description="Sealing personal data anew with one key.")
class KeyRotation:
    """As `services.key_rotations.Rotation`."""

    id: strawberry.ID = strawberry.field(description="Its global id.")
    key: int = strawberry.field(description="The number of the key that seals.")
    state: State = strawberry.field(description="Whether there is anything left to do.")
    texts: int = strawberry.field(description="How many there were when it began.")
    done: int = strawberry.field(description="How many of them have been looked at.")
    resealed: int = strawberry.field(description="How many texts were sealed anew.")
    broken: int = strawberry.field(
        description="How many did not open, and stay as they are. The worker's log names them."
    )
    started_by: strawberry.ID = strawberry.field(description="Who started it.")
    started_at: datetime = strawberry.field(description="When.")
    finished_at: datetime | None = strawberry.field(description="When it was done.")
    keys: list[KeyUse] = strawberry.field(
        description="Every key and what lies under it; empty until the rotation is done."
    )

    @classmethod
    def of(cls, row: Rotation) -> KeyRotation:
        return cls(
            id=strawberry.ID(ids.encode("KeyRotation", row.id)),
            key=row.key,
            state=row.state,
            texts=row.total,
            done=row.done,
            resealed=row.resealed,
            broken=row.broken,
            started_by=strawberry.ID(ids.encode("User", row.started_by)),
            started_at=row.started_at,
            finished_at=row.finished_at,
            keys=[KeyUse.of(use) for use in row.uses],
        )


@strawberry.input(description="Which key is meant.")
class RotateKeysInput:
    """See `resolvers.key_rotations.rotate_keys`."""

    key: int = strawberry.field(
        description="The number of the key that seals now. Any other is refused, so that nobody "
        "starts with settings that are not there yet."
    )


@strawberry.type(description="It runs, in the background.")
class RotateKeysSuccess:
    """Also when one was running."""

    key_rotation: KeyRotation = strawberry.field(description="How far it has come.")


@strawberry.type
class KeyRotationStaff:
    """The part of Staff about keys."""

    @fields.query_field(
        calls=key_rotations.key_rotation,
        description="The newest rotation of keys; null if there was none. For ADMIN and AUDITOR.",
    )
    async def key_rotation(self, info: Info) -> KeyRotation | None:
        row = await key_rotations.key_rotation(info.context.viewer)
        return None if row is None else KeyRotation.of(row)


@strawberry.type
class KeyRotationMutation:
    """The part of Mutation about keys."""

    @fields.mutation(
        calls=key_rotations.rotate_keys,
        description="Seal all personal data anew with the key that seals, beside what is going "
        "on. One that runs already goes on instead. For ADMIN, elevated.",
    )
    async def rotate_keys(self, info: Info, input: RotateKeysInput) -> RotateKeysSuccess:
        started = await key_rotations.rotate_keys(info.context.viewer, key=input.key)
        return RotateKeysSuccess(key_rotation=KeyRotation.of(started))
