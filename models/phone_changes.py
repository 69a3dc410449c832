"""Changes of phone numbers that wait for their codes."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class PhoneChange(Model):
    """A wish to move an account to another number: five minutes, five tries, used once.

    ``new_phone`` is encrypted, and empty once it is used.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField(db_index=True)
    old_phone_index = fields.CharField(max_length=64)
    new_phone_index = fields.CharField(max_length=64)
    new_phone = fields.BinaryField()
    old_verification_id = fields.UUIDField()
    new_verification_id = fields.UUIDField()
    tries_left = fields.SmallIntField(db_default=5)
    created_at = fields.DatetimeField(default=None, db_default=NOW)
    expires_at = fields.DatetimeField()
    used_at = fields.DatetimeField(null=True)

    class Meta:
        table = "phone_change"
