"""Notices in the app, numbered per user without a gap, and where else they are told."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class NoticeStream(Model):
    """The newest number of a user's notices; its row lock orders them."""

    user_id = fields.BigIntField(primary_key=True, generated=False)
    seq = fields.BigIntField(db_default=0)

    class Meta:
        table = "notice_stream"


class Notice(Model):
    """``source`` names what happened, so nothing is told twice; texts are made when read."""

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField()
    seq = fields.BigIntField()
    kind = fields.CharField(max_length=40)
    params = fields.JSONField()
    source = fields.CharField(max_length=80)
    created_at = fields.DatetimeField(default=None, db_default=NOW)
    read_at = fields.DatetimeField(null=True)

    class Meta:
        table = "notice"
        unique_together = (("user_id", "seq"), ("user_id", "source"))


class NoticePreference(Model):
    """What a user decided about one channel of a group of notices; no row, no decision."""

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField()
    notice_group = fields.CharField(max_length=16)
    channel = fields.CharField(max_length=8)
    enabled = fields.BooleanField()

    class Meta:
        table = "notice_preference"
        unique_together = (("user_id", "notice_group", "channel"),)


class PushToken(Model):
    """Where a session's app gets push messages. It goes with the session that registered it.

    ``token`` is encrypted; by ``token_index`` the same app is recognised in another session.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField(db_index=True)
    session_id = fields.UUIDField(unique=True)
    token_index = fields.CharField(max_length=64, unique=True)
    token = fields.BinaryField()
    platform = fields.CharField(max_length=8)
    registered_at = fields.DatetimeField(default=None, db_default=NOW)

    class Meta:
        table = "push_token"
