"""Elevations: for how long, why, and by what proof a member of staff could do sensitive things."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class Elevation(Model):
    """One elevation of one session, at most 15 minutes. ``reason`` is encrypted.

    That it lasts is said by ``session.elevated_until``, which the one read of a session sees.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField(db_index=True)
    session_id = fields.UUIDField(db_index=True)
    method = fields.CharField(max_length=16)
    reason = fields.BinaryField()
    started_at = fields.DatetimeField(default=None, db_default=NOW)
    until = fields.DatetimeField()
    ended_at = fields.DatetimeField(null=True)

    class Meta:
        table = "elevation"
