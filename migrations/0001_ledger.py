"""Roles and the money core. The statements are in migrations/sql, where they can be read."""

from tortoise import migrations
from tortoise.migrations import operations as ops

from infra.migrate import sql


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.RunSQL(sql("roles")),
        ops.RunSQL(sql("ledger_tables")),
        ops.RunSQL(sql("ledger_guards")),
        ops.RunSQL(sql("ledger_data")),
        ops.RunSQL(sql("ledger_post")),
        ops.RunSQL(sql("ledger_access")),
    ]
