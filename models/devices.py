"""Devices that people have enrolled, each with a key of its own."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class Device(Model):
    """A phone or browser of a user. ``public_key`` is P-256 (DER), ``name`` is encrypted.

    A revoked one stays, so that its key never comes back.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField()
    public_key = fields.BinaryField()
    name = fields.BinaryField()
    platform = fields.CharField(max_length=16)
    created_at = fields.DatetimeField(default=None, db_default=NOW)
    last_seen_at = fields.DatetimeField(default=None, db_default=NOW)
    revoked_at = fields.DatetimeField(null=True)

    class Meta:
        table = "device"
        unique_together = (("user_id", "public_key"),)
