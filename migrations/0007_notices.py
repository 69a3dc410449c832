from tortoise import fields, migrations
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations import operations as ops

from infra.migrate import sql


class Migration(migrations.Migration):
    dependencies = [("models", "0006_codes")]

    initial = False

    operations = [
        ops.CreateModel(
            name="NoticePreference",
            fields=[
                ("id", fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))),
                ("user_id", fields.BigIntField()),
                ("notice_group", fields.CharField(max_length=16)),
                ("channel", fields.CharField(max_length=8)),
                ("enabled", fields.BooleanField()),
            ],
            options={"table": "notice_preference", "app": "models", "unique_together": (("user_id", "notice_group", "channel"),), "pk_attr": "id", "table_description": "What a user decided about one channel of a group of notices; no row, no decision."},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="PushToken",
            fields=[
                ("id", fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))),
                ("user_id", fields.BigIntField(db_index=True)),
                ("session_id", fields.UUIDField(unique=True)),
                ("token_index", fields.CharField(unique=True, max_length=64)),
                ("token", fields.BinaryField()),
                ("platform", fields.CharField(max_length=8)),
                ("registered_at", fields.DatetimeField(db_default=SqlDefault("ledger.now()"), auto_now=False, auto_now_add=False)),
            ],
            options={"table": "push_token", "app": "models", "pk_attr": "id", "table_description": "Where a session's app gets push messages. It goes with the session that registered it."},
            bases=["Model"],
        ),
        ops.RunSQL(sql("notices")),
    ]
