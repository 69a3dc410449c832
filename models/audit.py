"""What staff did and looked at, and the chain of seals over it. Append-only for the app's roles."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NEW_UUID, NOW


class AuditEntry(Model):
    """``actor`` did ``action`` to ``object``; written in the transaction of the deed.

    ``role`` and ``session_id`` are the actor's at that moment, ``address_hash`` a keyed hash of the
    network address, ``reason`` the actor's own words, encrypted.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    actor_id = fields.BigIntField()
    role = fields.CharField(max_length=16, null=True)
    session_id = fields.UUIDField(null=True)
    address_hash = fields.CharField(max_length=64, null=True)
    request_id = fields.CharField(max_length=64, null=True)
    action = fields.CharField(max_length=40)
    object = fields.CharField(max_length=80)
    detail = fields.JSONField(db_default="{}")
    reason = fields.BinaryField(null=True)
    created_at = fields.DatetimeField(default=None, db_default=NOW)

    class Meta:
        table = "audit_entry"
        indexes = (("created_at",), ("actor_id", "created_at"), ("object", "created_at"))


class AuditSeal(Model):
    """A batch of entries, hashed together with the seal before it.

    ``complete``: nothing that was committed an hour before ``sealed_at`` was left out. A seal of no
    entries says that nothing had happened.
    """

    id = fields.BigIntField(primary_key=True, generated=False)
    first_seq = fields.BigIntField()
    count = fields.IntField()
    complete = fields.BooleanField()
    previous_hash = fields.CharField(max_length=64)
    hash = fields.CharField(max_length=64)
    sealed_at = fields.DatetimeField()

    class Meta:
        table = "audit_seal"


class AuditLeaf(Model):
    """The number that the sealer gave an entry, without gaps, and the keyed hash of the entry."""

    seq = fields.BigIntField(primary_key=True, generated=False)
    entry_id = fields.UUIDField(unique=True)
    hash = fields.CharField(max_length=64)

    class Meta:
        table = "audit_leaf"
