"""How often somebody looked up recipients: a phone book must not be read out one by one."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model


class RecipientLookup(Model):
    """Look-ups in the current hour; ``key`` is the purpose and the user."""

    key = fields.CharField(max_length=40, primary_key=True)
    hour = fields.DatetimeField()
    count = fields.IntField()

    class Meta:
        table = "recipient_lookup"
