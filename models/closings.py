"""Accounts that their owners close, and what the law has us keep of them."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class Closing(Model):
    """COOLING until ``due_at``, then CLOSING, CLOSED; or CANCELLED by its owner, or STOPPED.

    ``status_before`` is the user's status, to go back to when money came in between.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField(db_index=True)
    session_id = fields.UUIDField(null=True)
    state = fields.CharField(max_length=16, db_default="COOLING")
    status_before = fields.CharField(max_length=16, null=True)
    requested_at = fields.DatetimeField(default=None, db_default=NOW)
    due_at = fields.DatetimeField()
    ended_at = fields.DatetimeField(null=True)

    class Meta:
        table = "closing"
        indexes = (("state", "due_at"),)


class RetainedIdentity(Model):
    """Who a closed account belonged to, sealed, out of the API's reach until it is erased."""

    user_id = fields.BigIntField(primary_key=True, generated=False)
    sealed = fields.BinaryField()
    retained_at = fields.DatetimeField(default=None, db_default=NOW)

    class Meta:
        table = "retained_identity"


class RetentionRule(Model):
    """How long a class of data is kept, and why. ``domain/retention.py`` says what is in it."""

    code = fields.CharField(max_length=24, primary_key=True)
    kept_days = fields.IntField(null=True)
    ground_zh = fields.TextField()
    ground_en = fields.TextField()

    class Meta:
        table = "retention_rule"
