"""Copies of people's own data: asked for, written piece by piece, fetched, and forgotten."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class DataExport(Model):
    """WAITING → RUNNING → READY → EXPIRED, or FAILED.

    ``password`` is sealed, and blank as soon as nothing has to be encrypted any more. ``part`` and
    ``place`` are where the job goes on; of the link's token only a hash is kept.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField()
    session_id = fields.UUIDField(null=True)
    state = fields.CharField(max_length=16, db_default="WAITING")
    password = fields.BinaryField()
    token_hash = fields.CharField(max_length=64, unique=True)
    part = fields.SmallIntField(db_default=0)
    parts = fields.SmallIntField()
    place = fields.JSONField(null=True)
    pieces = fields.IntField(db_default=0)
    rows = fields.BigIntField(db_default=0)
    size_bytes = fields.BigIntField(db_default=0)
    requested_at = fields.DatetimeField(default=None, db_default=NOW)
    ready_at = fields.DatetimeField(null=True)
    expires_at = fields.DatetimeField(null=True)
    fetched_at = fields.DatetimeField(null=True)

    class Meta:
        table = "data_export"
        indexes = (("user_id", "requested_at"), ("state", "expires_at"))


class DataExportPiece(Model):
    """One file of the archive, encrypted; the last piece is the archive's directory."""

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    export_id = fields.UUIDField()
    number = fields.IntField()
    name = fields.CharField(max_length=80)
    plain_bytes = fields.IntField()
    rows = fields.IntField()
    content = fields.BinaryField()

    class Meta:
        table = "data_export_piece"
        unique_together = (("export_id", "number"),)
