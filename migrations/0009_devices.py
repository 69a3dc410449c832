"""Devices with keys, login challenges, and what sessions know of both."""

from tortoise import fields, migrations
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations import operations as ops

from infra.migrate import sql


def _time(**options):
    return fields.DatetimeField(auto_now=False, auto_now_add=False, **options)


class Migration(migrations.Migration):
    dependencies = [("models", "0008_vault")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Device",
            fields=[
                ("id", fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))),
                ("user_id", fields.BigIntField()),
                ("public_key", fields.BinaryField()),
                ("name", fields.BinaryField()),
                ("platform", fields.CharField(max_length=16)),
                ("created_at", _time(db_default=SqlDefault("ledger.now()"))),
                ("last_seen_at", _time(db_default=SqlDefault("ledger.now()"))),
                ("revoked_at", _time(null=True)),
            ],
            options={"table": "device", "app": "models", "unique_together": (("user_id", "public_key"),), "pk_attr": "id", "table_description": "A phone or browser of a user. ``public_key`` is P-256 (DER), ``name`` is encrypted."},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="LoginChallenge",
            fields=[
                ("id", fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))),
                ("user_id", fields.BigIntField(db_index=True)),
                ("secret_hash", fields.CharField(unique=True, max_length=64)),
                ("tries_left", fields.SmallIntField(db_default=5)),
                ("created_at", _time(db_default=SqlDefault("ledger.now()"))),
                ("expires_at", _time()),
                ("used_at", _time(null=True)),
            ],
            options={"table": "login_challenge", "app": "models", "pk_attr": "id", "table_description": "A right password that waits for its second factor: five tries, five minutes, used once."},
            bases=["Model"],
        ),
        ops.AddField(model_name="Session", name="device_id", field=fields.UUIDField(null=True)),
        ops.AddField(model_name="Session", name="previous_hash", field=fields.CharField(max_length=64, null=True)),
        ops.AddField(model_name="Session", name="refreshed_at", field=_time(null=True)),
        ops.AddField(model_name="Session", name="refresh_salt", field=fields.CharField(max_length=43, null=True)),
        ops.AddField(model_name="Session", name="network", field=fields.BinaryField(null=True)),
        ops.AddField(model_name="Session", name="ends_at", field=_time(null=True)),
        ops.RunSQL(sql("devices")),
    ]
