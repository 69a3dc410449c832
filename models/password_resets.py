"""Password resets that wait for their proofs."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class PasswordReset(Model):
    """A forgotten password: five tries, five minutes, used once; the same for unknown phones.

    The client's id of it is a secret of which only a hash is here. Whose phone it is stays unknown
    until the code is tried.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    phone_index = fields.CharField(max_length=64, db_index=True)
    secret_hash = fields.CharField(max_length=64, unique=True)
    verification_id = fields.UUIDField()
    tries_left = fields.SmallIntField(db_default=5)
    created_at = fields.DatetimeField(default=None, db_default=NOW)
    expires_at = fields.DatetimeField()
    used_at = fields.DatetimeField(null=True)

    class Meta:
        table = "password_reset"
