"""Passkeys: public keys of people's authenticators."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class Passkey(Model):
    """A WebAuthn credential. Removed ones stay, so that they are known and refused.

    ``name`` is encrypted: people call their devices by their own names.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField(db_index=True)
    credential_id = fields.BinaryField()
    credential_hash = fields.CharField(max_length=64, unique=True)
    public_key = fields.BinaryField()
    user_handle = fields.BinaryField()
    sign_count = fields.BigIntField()
    name = fields.BinaryField()
    transports = fields.JSONField()
    aaguid = fields.UUIDField()
    synced = fields.BooleanField()
    created_at = fields.DatetimeField(default=None, db_default=NOW)
    last_used_at = fields.DatetimeField(null=True)
    removed_at = fields.DatetimeField(null=True)

    class Meta:
        table = "passkey"
