"""Bank cards linked to a wallet. The wallet's money itself is in the ledger."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class BankCard(Model):
    """A linked card: we keep the bank's token (encrypted) and the last four digits.

    ``holder_checked``: the bank has found the name on it that its user has now.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField(db_index=True)
    token = fields.BinaryField()
    number_index = fields.CharField(max_length=64)
    bank_name = fields.CharField(max_length=80)
    last4 = fields.CharField(max_length=4)
    linked_at = fields.DatetimeField(default=None, db_default=NOW)
    removed_at = fields.DatetimeField(null=True)
    holder_checked = fields.BooleanField(db_default=True)

    class Meta:
        table = "bank_card"
        unique_together = (("user_id", "number_index"),)
