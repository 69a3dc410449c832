"""Accounts whose phone is lost: another number by two of staff."""

from tortoise import fields, migrations
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations import operations as ops

from infra.migrate import sql


def _time(**options):
    return fields.DatetimeField(auto_now=False, auto_now_add=False, **options)


def _id():
    return fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))


class Migration(migrations.Migration):
    dependencies = [("models", "0018_staffing")]

    initial = False

    operations = [
        ops.AddField(
            model_name="RecoveryCase",
            name="kind",
            field=fields.CharField(db_default="PASSWORD", max_length=16),
        ),
        ops.AddField(
            model_name="RecoveryCase", name="new_phone", field=fields.BinaryField(null=True)
        ),
        ops.CreateModel(
            name="PhoneReplacement",
            fields=[
                ("id", _id()),
                ("old_phone_index", fields.CharField(db_index=True, max_length=64)),
                ("new_phone_index", fields.CharField(db_index=True, max_length=64)),
                ("new_phone", fields.BinaryField()),
                ("secret_hash", fields.CharField(unique=True, max_length=64)),
                ("verification_id", fields.UUIDField()),
                ("tries_left", fields.SmallIntField(db_default=5)),
                ("created_at", _time(db_default=SqlDefault("ledger.now()"))),
                ("expires_at", _time()),
                ("used_at", _time(null=True)),
            ],
            options={"table": "phone_replacement", "app": "models", "pk_attr": "id", "table_description": "A wish to move an account whose phone is lost: five minutes, five tries, used once."},
            bases=["Model"],
        ),
        ops.RunSQL(sql("lost_phone")),
    ]
