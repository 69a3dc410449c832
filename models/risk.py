"""Anomaly rules as data, the scan's cursor, and the cases it opened."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class RiskRule(Model):
    """One rule with its thresholds (``domain/risk.py`` says which keys each has)."""

    code = fields.CharField(max_length=40, primary_key=True)
    thresholds = fields.JSONField()
    enabled = fields.BooleanField(db_default=True)

    class Meta:
        table = "risk_rule"


class RiskScan(Model):
    """How far the scan has read. Whoever holds the lease is the only one that scans."""

    name = fields.CharField(max_length=24, primary_key=True)
    scanned_until = fields.DatetimeField()
    scanned_at = fields.DatetimeField()
    lease = fields.UUIDField(null=True)
    leased_until = fields.DatetimeField(default=None, db_default=NOW)

    class Meta:
        table = "risk_scan"


class RiskCase(Model):
    """A frozen wallet: why, what the user answered, and who decided.

    ``entry_id`` is the freeze in the ledger. ``opened_by`` is None when a rule froze the wallet;
    ``reason`` is what a member of staff wrote who did.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField(db_index=True)
    account_id = fields.BigIntField()
    rule = fields.CharField(max_length=40)
    evidence = fields.JSONField()
    entry_id = fields.UUIDField(unique=True)
    state = fields.CharField(max_length=16, db_default="OPEN")
    opened_at = fields.DatetimeField(default=None, db_default=NOW)
    opened_by = fields.BigIntField(null=True)
    reason = fields.BinaryField(null=True)
    appeal = fields.BinaryField(null=True)
    appealed_at = fields.DatetimeField(null=True)
    decided_by = fields.BigIntField(null=True)
    decided_at = fields.DatetimeField(null=True)
    decision_reason = fields.BinaryField(null=True)

    class Meta:
        table = "risk_case"
        indexes = (("state", "opened_at"),)
