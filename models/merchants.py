"""Shops of the city and their QR codes."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class Merchant(Model):
    """A shop: a public name, a wallet of its own, and a code that residents scan."""

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField(unique=True)
    account_id = fields.BigIntField(unique=True)
    name = fields.CharField(max_length=80)
    category = fields.CharField(max_length=24)
    qr_token = fields.CharField(max_length=32, unique=True)
    status = fields.CharField(max_length=16, db_default="ACTIVE")
    created_at = fields.DatetimeField(default=None, db_default=NOW)

    class Meta:
        table = "merchant"
