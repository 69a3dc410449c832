"""Grants, checks and triggers of the app's own tables, and the first risk rules."""

from tortoise import migrations
from tortoise.migrations import operations as ops

from infra.migrate import sql


class Migration(migrations.Migration):
    dependencies = [("models", "0002_app")]

    operations = [ops.RunSQL(sql("app_access"))]
