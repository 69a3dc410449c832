"""Closing an account."""

from tortoise import migrations
from tortoise.migrations import operations as ops

from infra.migrate import sql


class Migration(migrations.Migration):
    dependencies = [("models", "0015_phone_changes")]

    initial = False

    operations = [
        ops.RunSQL(sql("ledger_closing")),
        ops.RunSQL(sql("ledger_post")),
    ]
