"""Cases of residents whom two of staff have to believe."""

from tortoise import fields, migrations
from tortoise.fields.db_defaults import SqlDefault
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

from infra.migrate import sql


def _time(**options):
    return fields.DatetimeField(auto_now=False, auto_now_add=False, **options)


def _id():
    return fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))


class Migration(migrations.Migration):
    dependencies = [("models", "0016_privacy")]

    initial = False

    operations = [
        ops.CreateModel(
            name="RecoveryCase",
            fields=[
                ("id", _id()),
                ("user_id", fields.BigIntField(db_index=True)),
                ("statement", fields.BinaryField()),
                ("state", fields.CharField(db_default="REQUESTED", max_length=16)),
                ("version", fields.IntField(db_default=1)),
                ("created_at", _time(db_default=SqlDefault("ledger.now()"))),
                ("usable_from", _time()),
                ("expires_at", _time()),
                ("first_by", fields.BigIntField(null=True)),
                ("second_by", fields.BigIntField(null=True)),
                ("ended_at", _time(null=True)),
            ],
            options={"table": "recovery_case", "app": "models", "indexes": [Index(fields=["state", "created_at"])], "pk_attr": "id", "table_description": "A resident with a code and no second proof, whom two members of staff have to believe."},
            bases=["Model"],
        ),
        ops.RunSQL(sql("recoveries")),
    ]
