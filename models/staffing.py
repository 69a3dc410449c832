"""Changes of role: who proposed them, who else confirmed them. Written by the database only."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class RoleChange(Model):
    """A person's way from one role to another. ``reason`` is the proposer's own words, encrypted.

    ``decided_by`` is whoever proposed it where one person is enough, else another ADMIN.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField(db_index=True)
    from_role = fields.CharField(max_length=16)
    to_role = fields.CharField(max_length=16)
    state = fields.CharField(max_length=16)
    reason = fields.BinaryField(null=True)
    proposed_by = fields.BigIntField()
    proposed_at = fields.DatetimeField(default=None, db_default=NOW)
    decided_by = fields.BigIntField(null=True)
    decided_at = fields.DatetimeField(null=True)

    class Meta:
        table = "role_change"
        indexes = (("proposed_at",),)
