"""Changes of role by functions of the database only; elevations; authenticators of staff."""

from tortoise import fields, migrations
from tortoise.fields.db_defaults import SqlDefault
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

from infra.migrate import sql


class Migration(migrations.Migration):
    dependencies = [("models", "0017_recoveries")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Session",
            name="elevated_until",
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name="Session", name="second_factor", field=fields.BooleanField(db_default=False)
        ),
        ops.CreateModel(
            name="RoleChange",
            fields=[
                ("id", fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))),
                ("user_id", fields.BigIntField(db_index=True)),
                ("from_role", fields.CharField(max_length=16)),
                ("to_role", fields.CharField(max_length=16)),
                ("state", fields.CharField(max_length=16)),
                ("reason", fields.BinaryField(null=True)),
                ("proposed_by", fields.BigIntField()),
                ("proposed_at", fields.DatetimeField(db_default=SqlDefault("ledger.now()"), auto_now=False, auto_now_add=False)),
                ("decided_by", fields.BigIntField(null=True)),
                ("decided_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={"table": "role_change", "app": "models", "indexes": [Index(fields=["proposed_at"])], "pk_attr": "id", "table_description": "A person's way from one role to another. ``reason`` is the proposer's own words, encrypted."},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Elevation",
            fields=[
                ("id", fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))),
                ("user_id", fields.BigIntField(db_index=True)),
                ("session_id", fields.UUIDField(db_index=True)),
                ("method", fields.CharField(max_length=16)),
                ("reason", fields.BinaryField()),
                ("started_at", fields.DatetimeField(db_default=SqlDefault("ledger.now()"), auto_now=False, auto_now_add=False)),
                ("until", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("ended_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={"table": "elevation", "app": "models", "pk_attr": "id", "table_description": "One elevation of one session, at most 15 minutes. ``reason`` is encrypted."},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Totp",
            fields=[
                ("user_id", fields.BigIntField(primary_key=True, unique=True, db_index=True)),
                ("secret", fields.BinaryField()),
                ("created_at", fields.DatetimeField(db_default=SqlDefault("ledger.now()"), auto_now=False, auto_now_add=False)),
                ("confirmed_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("last_step", fields.BigIntField(db_default=0)),
                ("failures", fields.SmallIntField(db_default=0)),
                ("blocked_until", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={"table": "totp", "app": "models", "pk_attr": "user_id", "table_description": "One person's authenticator; good for signing in once ``confirmed_at`` is set."},
            bases=["Model"],
        ),
        ops.RunSQL(sql("staffing")),
    ]
