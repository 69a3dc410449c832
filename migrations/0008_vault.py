"""Who an audit entry is about and from where, seals over the log, and rotations of keys."""

import functools
from json import dumps, loads

from tortoise import fields, migrations
from tortoise.fields.db_defaults import SqlDefault
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

from infra.migrate import sql


class Migration(migrations.Migration):
    dependencies = [("models", "0007_notices")]

    initial = False

    operations = [
        ops.AddField(model_name="AuditEntry", name="role", field=fields.CharField(null=True, max_length=16)),
        ops.AddField(model_name="AuditEntry", name="session_id", field=fields.UUIDField(null=True)),
        ops.AddField(model_name="AuditEntry", name="address_hash", field=fields.CharField(null=True, max_length=64)),
        ops.AddField(model_name="AuditEntry", name="request_id", field=fields.CharField(null=True, max_length=64)),
        ops.AddField(model_name="AuditEntry", name="reason", field=fields.BinaryField(null=True)),
        ops.CreateModel(
            name="AuditSeal",
            fields=[
                ("id", fields.BigIntField(primary_key=True, unique=True, db_index=True)),
                ("first_seq", fields.BigIntField()),
                ("count", fields.IntField()),
                ("complete", fields.BooleanField()),
                ("previous_hash", fields.CharField(max_length=64)),
                ("hash", fields.CharField(max_length=64)),
                ("sealed_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={"table": "audit_seal", "app": "models", "pk_attr": "id", "table_description": "A batch of entries, hashed together with the seal before it."},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="AuditLeaf",
            fields=[
                ("seq", fields.BigIntField(primary_key=True, unique=True, db_index=True)),
                ("entry_id", fields.UUIDField(unique=True)),
                ("hash", fields.CharField(max_length=64)),
            ],
            options={"table": "audit_leaf", "app": "models", "pk_attr": "seq", "table_description": "The number that the sealer gave an entry, without gaps, and the keyed hash of the entry."},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="KeyRotation",
            fields=[
                ("id", fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))),
                ("key", fields.IntField()),
                ("state", fields.CharField(db_default="RUNNING", max_length=16)),
                ("started_by", fields.BigIntField()),
                ("started_at", fields.DatetimeField(db_default=SqlDefault("ledger.now()"), auto_now=False, auto_now_add=False)),
                ("finished_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("round", fields.SmallIntField(db_default=1)),
                ("phase", fields.CharField(db_default="START", max_length=8)),
                ("step", fields.SmallIntField(db_default=0)),
                ("position", fields.TextField(null=True, unique=False)),
                ("total", fields.BigIntField(db_default=0)),
                ("done", fields.BigIntField(db_default=0)),
                ("resealed", fields.BigIntField(db_default=0)),
                ("broken", fields.BigIntField(db_default=0)),
                ("keys", fields.JSONField(db_default="{}", encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads)),
            ],
            options={"table": "key_rotation", "app": "models", "indexes": [Index(fields=["started_at"])], "pk_attr": "id", "table_description": "All texts that may be rewritten get sealed by ``key``; at most one rotation is RUNNING."},
            bases=["Model"],
        ),
        ops.AddIndex(model_name="AuditEntry", index=Index(fields=["actor_id", "created_at"])),
        ops.AddIndex(model_name="AuditEntry", index=Index(fields=["object", "created_at"])),
        ops.RunSQL(sql("vault")),
    ]
