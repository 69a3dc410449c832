"""Top-ups: money asked from a bank card, and what the bank told us."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class TopUp(Model):
    """PROCESSING → SUCCEEDED or FAILED. Its id is the bank's reference and the ledger's key."""

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField()
    account_id = fields.BigIntField()
    card_id = fields.UUIDField()
    key = fields.CharField(max_length=128)
    input_hash = fields.CharField(max_length=64)
    amount = fields.BigIntField()
    currency = fields.CharField(max_length=3)
    state = fields.CharField(max_length=16, db_default="PROCESSING")
    failure_code = fields.CharField(max_length=40, null=True)
    created_at = fields.DatetimeField(default=None, db_default=NOW)
    finished_at = fields.DatetimeField(null=True)
    asked_count = fields.SmallIntField(db_default=0)
    ask_at = fields.DatetimeField(default=None, db_default=NOW)

    class Meta:
        table = "top_up"
        unique_together = (("user_id", "key"),)
        indexes = (("state", "ask_at"), ("user_id", "created_at"))


class BankEvent(Model):
    """What the bank called back with, kept before it is acted on; one row per event of the bank."""

    event_id = fields.CharField(max_length=64, primary_key=True)
    reference = fields.CharField(max_length=64, db_index=True)
    body = fields.JSONField()
    received_at = fields.DatetimeField(default=None, db_default=NOW)

    class Meta:
        table = "bank_event"
