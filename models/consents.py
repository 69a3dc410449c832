"""What people are asked to agree to, in its versions, and what each of them said when."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class ConsentPurpose(Model):
    """``required``: no account without it, so it ends by closing the account only."""

    code = fields.CharField(max_length=24, primary_key=True)
    required = fields.BooleanField()
    title_zh = fields.TextField()
    title_en = fields.TextField()

    class Meta:
        table = "consent_purpose"


class ConsentVersion(Model):
    """The text that is in effect from an instant on, until the next version is."""

    id = fields.IntField(primary_key=True, generated=False)
    purpose = fields.CharField(max_length=24)
    version = fields.IntField()
    effective_from = fields.DatetimeField()
    text_zh = fields.TextField()
    text_en = fields.TextField()

    class Meta:
        table = "consent_version"
        unique_together = (("purpose", "version"),)


class Consent(Model):
    """Somebody gave (``given``) or withdrew a consent. Append-only: the newest row counts."""

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField()
    purpose = fields.CharField(max_length=24)
    version = fields.IntField()
    given = fields.BooleanField()
    session_id = fields.UUIDField(null=True)
    said_at = fields.DatetimeField(default=None, db_default=NOW)

    class Meta:
        table = "consent"
        indexes = (("user_id", "purpose", "said_at"),)
