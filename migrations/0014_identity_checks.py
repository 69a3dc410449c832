"""Name and ID number handed in after registering by phone, and the names that banks have checked."""

from tortoise import fields, migrations
from tortoise.fields.db_defaults import SqlDefault
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

from infra.migrate import sql


class Migration(migrations.Migration):
    dependencies = [("models", "0013_contact")]

    initial = False

    operations = [
        ops.CreateModel(
            name="IdentityCheck",
            fields=[
                ("id", fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))),
                ("user_id", fields.BigIntField(db_index=True)),
                ("state", fields.CharField(max_length=16)),
                ("name", fields.BinaryField(null=True)),
                ("id_number", fields.BinaryField(null=True)),
                ("reason", fields.CharField(max_length=40, null=True)),
                ("review_text", fields.BinaryField(null=True)),
                ("reviewed_by", fields.BigIntField(null=True)),
                ("reviewed_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("version", fields.IntField(db_default=1)),
                ("created_at", fields.DatetimeField(db_default=SqlDefault("ledger.now()"), auto_now=False, auto_now_add=False)),
            ],
            options={"table": "identity_check", "app": "models", "indexes": [Index(fields=["state", "created_at"])], "pk_attr": "id", "table_description": "Name and ID number of somebody who registered by phone only, handed in to be reviewed."},
            bases=["Model"],
        ),
        ops.AddField(
            model_name="BankCard",
            name="holder_checked",
            field=fields.BooleanField(db_default=True),
        ),
        ops.RunSQL(sql("identity_checks")),
    ]
