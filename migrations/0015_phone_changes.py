"""Other phone numbers, by the codes of both phones."""

from tortoise import fields, migrations
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations import operations as ops

from infra.migrate import sql


def _time(**options):
    return fields.DatetimeField(auto_now=False, auto_now_add=False, **options)


def _id():
    return fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))


class Migration(migrations.Migration):
    dependencies = [("models", "0014_identity_checks")]

    initial = False

    operations = [
        ops.CreateModel(
            name="PhoneChange",
            fields=[
                ("id", _id()),
                ("user_id", fields.BigIntField(db_index=True)),
                ("old_phone_index", fields.CharField(max_length=64)),
                ("new_phone_index", fields.CharField(max_length=64)),
                ("new_phone", fields.BinaryField()),
                ("old_verification_id", fields.UUIDField()),
                ("new_verification_id", fields.UUIDField()),
                ("tries_left", fields.SmallIntField(db_default=5)),
                ("created_at", _time(db_default=SqlDefault("ledger.now()"))),
                ("expires_at", _time()),
                ("used_at", _time(null=True)),
            ],
            options={"table": "phone_change", "app": "models", "pk_attr": "id", "table_description": "A wish to move an account to another number: five minutes, five tries, used once."},
            bases=["Model"],
        ),
        ops.RunSQL(sql("phone_changes")),
    ]
