"""Which proofs are enough for what, and the proofs of deeds without money."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class ProofPolicy(Model):
    """For which deeds a rule holds, from when till when, and which methods satisfy it.

    A deed must satisfy every rule that holds for it (``domain/proofs.py``). A rule is never
    changed: it is ended, and another begins.
    """

    id = fields.BigIntField(primary_key=True)
    deed = fields.CharField(max_length=40, db_index=True)
    amount_min_minor = fields.BigIntField(db_default=0)
    kyc_level_max = fields.SmallIntField(null=True)
    risk_min = fields.SmallIntField(null=True)
    device_younger_than_seconds = fields.IntField(null=True)
    sufficient = fields.JSONField()
    reason = fields.TextField()
    valid_from = fields.DatetimeField(default=None, db_default=NOW)
    valid_until = fields.DatetimeField(null=True)

    class Meta:
        table = "proof_policy"


class StepUp(Model):
    """A proof for one deed without money, used in the transaction of the deed."""

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField()
    action = fields.CharField(max_length=40)
    subject_hash = fields.BinaryField()
    method = fields.CharField(max_length=16)
    created_at = fields.DatetimeField(default=None, db_default=NOW, db_index=True)
    expires_at = fields.DatetimeField()
    used_at = fields.DatetimeField(null=True)

    class Meta:
        table = "step_up"
