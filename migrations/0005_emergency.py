"""Freezing by the owner, freezing in full, and caution after a change of credentials."""

from tortoise import migrations
from tortoise.migrations import operations as ops

from infra.migrate import sql


class Migration(migrations.Migration):
    dependencies = [("models", "0004_review_text")]

    initial = False

    operations = [
        ops.RunSQL(sql("ledger_emergency")),
        ops.RunSQL(sql("ledger_post")),
    ]
