"""What staff did and looked at. Append-only for the app's roles."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class AuditEntry(Model):
    """``actor`` did ``action`` to ``object``; written in the transaction of the deed."""

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    actor_id = fields.BigIntField()
    action = fields.CharField(max_length=40)
    object = fields.CharField(max_length=80)
    detail = fields.JSONField(db_default="{}")
    created_at = fields.DatetimeField(default=None, db_default=NOW)

    class Meta:
        table = "audit_entry"
        indexes = (("created_at",),)
