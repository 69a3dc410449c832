"""Challenges that are answered once."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class ProofChallenge(Model):
    """What a passkey signs, or a code is sent for; good once, for five minutes.

    ``caller_hash`` is of the user or address that asked. ``nonce_hash`` is of the bytes that the
    client got, ``terms_hash`` of what they stand for. ``answer_hash`` is of the answer that used
    it, so that the same answer is known again.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    purpose = fields.CharField(max_length=16)
    user_id = fields.BigIntField(null=True)
    session_id = fields.UUIDField(null=True)
    nonce_hash = fields.BinaryField()
    terms_hash = fields.BinaryField()
    caller_hash = fields.CharField(max_length=64)
    verification_id = fields.UUIDField(null=True, unique=True)
    created_at = fields.DatetimeField(default=None, db_default=NOW, db_index=True)
    expires_at = fields.DatetimeField()
    used_at = fields.DatetimeField(null=True)
    answer_hash = fields.BinaryField(null=True)

    class Meta:
        table = "proof_challenge"
        indexes = (("caller_hash", "created_at"),)
