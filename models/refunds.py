"""What a review found about a refund request. The refund itself is in the ledger."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NOW


class RefundReview(Model):
    """The facts as they were when the request was reviewed, and what follows from them."""

    refund_id = fields.UUIDField(primary_key=True, default=None)
    facts = fields.JSONField()
    recommendation = fields.CharField(max_length=16)
    policy_id = fields.BigIntField(null=True)
    reviewed_at = fields.DatetimeField(default=None, db_default=NOW)

    class Meta:
        table = "refund_review"
