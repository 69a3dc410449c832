"""How often somebody looked up recipients: a phone book must not be read out one by one."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model


class RecipientLookup(Model):
    """Look-ups of one user in the current hour."""

    user_id = fields.BigIntField(primary_key=True, generated=False)
    hour = fields.DatetimeField()
    count = fields.IntField()

    class Meta:
        table = "recipient_lookup"
