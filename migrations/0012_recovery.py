"""Getting back in: forgotten passwords."""

from tortoise import fields, migrations
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations import operations as ops

from infra.migrate import sql


def _time(**options):
    return fields.DatetimeField(auto_now=False, auto_now_add=False, **options)


def _id():
    return fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))


class Migration(migrations.Migration):
    dependencies = [("models", "0011_registration")]

    initial = False

    operations = [
        ops.CreateModel(
            name="PasswordReset",
            fields=[
                ("id", _id()),
                ("phone_index", fields.CharField(db_index=True, max_length=64)),
                ("secret_hash", fields.CharField(unique=True, max_length=64)),
                ("verification_id", fields.UUIDField()),
                ("tries_left", fields.SmallIntField(db_default=5)),
                ("created_at", _time(db_default=SqlDefault("ledger.now()"))),
                ("expires_at", _time()),
                ("used_at", _time(null=True)),
            ],
            options={"table": "password_reset", "app": "models", "pk_attr": "id", "table_description": "A forgotten password: five tries, five minutes, used once; the same for unknown phones."},
            bases=["Model"],
        ),
        ops.RunSQL(sql("recovery")),
    ]
