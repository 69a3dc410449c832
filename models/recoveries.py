"""Accounts that staff help their owners back into."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class RecoveryCase(Model):
    """A resident with a code and no second proof, whom two members of staff have to believe.

    Or a number's new holder, who wants an old account to let go of it. ``kind`` is what it is good
    for. ``new_phone`` (encrypted) is where an account whose phone is lost is to move; empty once
    the case has ended. ``statement`` (encrypted) is what the asker wrote. Good from
    ``usable_from`` to ``expires_at``, once.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField(db_index=True)
    kind = fields.CharField(max_length=16, db_default="PASSWORD")
    new_phone = fields.BinaryField(null=True)
    statement = fields.BinaryField()
    state = fields.CharField(max_length=16, db_default="REQUESTED")
    version = fields.IntField(db_default=1)
    created_at = fields.DatetimeField(default=None, db_default=NOW)
    usable_from = fields.DatetimeField()
    expires_at = fields.DatetimeField()
    first_by = fields.BigIntField(null=True)
    second_by = fields.BigIntField(null=True)
    ended_at = fields.DatetimeField(null=True)

    class Meta:
        table = "recovery_case"
        indexes = (("state", "created_at"),)
