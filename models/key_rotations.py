"""Rotations of the keys that seal personal data, with how far each has come."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class KeyRotation(Model):
    """All texts that may be rewritten get sealed by ``key``; at most one rotation is RUNNING.

    It stands in ``phase`` START, RESEAL or COUNT, at the column ``step`` of `domain.sealing` and
    behind the row ``position``. ``keys``: what was counted, by key number: rows that rotate, and
    texts that stay.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    key = fields.IntField()
    state = fields.CharField(max_length=16, db_default="RUNNING")
    started_by = fields.BigIntField()
    started_at = fields.DatetimeField(default=None, db_default=NOW)
    finished_at = fields.DatetimeField(null=True)
    round = fields.SmallIntField(db_default=1)
    phase = fields.CharField(max_length=8, db_default="START")
    step = fields.SmallIntField(db_default=0)
    position = fields.TextField(null=True)
    total = fields.BigIntField(db_default=0)
    done = fields.BigIntField(db_default=0)
    resealed = fields.BigIntField(db_default=0)
    broken = fields.BigIntField(db_default=0)
    keys = fields.JSONField(db_default="{}")

    class Meta:
        table = "key_rotation"
        indexes = (("started_at",),)
