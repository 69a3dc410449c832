"""Codes are bound to the request they were asked for by, and capped over all phones."""

from tortoise import fields, migrations
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations import operations as ops

from infra.migrate import sql


class Migration(migrations.Migration):
    dependencies = [("models", "0005_emergency")]

    initial = False

    operations = [
        ops.AddField(
            model_name="VerificationCode",
            name="subject",
            field=fields.CharField(db_default="", max_length=64),
        ),
        ops.CreateModel(
            name="CodeTotal",
            fields=[
                ("id", fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))),
                ("askers", fields.CharField(max_length=8)),
                ("period", fields.CharField(max_length=8)),
                ("starts_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("count", fields.IntField()),
            ],
            options={"table": "code_total", "app": "models", "unique_together": (("askers", "period", "starts_at"),), "pk_attr": "id", "table_description": "How many codes were asked for in an hour or a day, over all phones."},
            bases=["Model"],
        ),
        ops.RunSQL(sql("codes")),
    ]
