"""Replacements of lost phones that wait for the code of the new one."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class PhoneReplacement(Model):
    """A wish to move an account whose phone is lost: five minutes, five tries, used once.

    The same for numbers that nobody has. The client's id of it is a secret of which only a hash is
    here. ``new_phone`` is encrypted, and empty once it is used.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    old_phone_index = fields.CharField(max_length=64, db_index=True)
    new_phone_index = fields.CharField(max_length=64, db_index=True)
    new_phone = fields.BinaryField()
    secret_hash = fields.CharField(max_length=64, unique=True)
    verification_id = fields.UUIDField()
    tries_left = fields.SmallIntField(db_default=5)
    created_at = fields.DatetimeField(default=None, db_default=NOW)
    expires_at = fields.DatetimeField()
    used_at = fields.DatetimeField(null=True)

    class Meta:
        table = "phone_replacement"
