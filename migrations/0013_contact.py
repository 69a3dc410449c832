"""Contact e-mail addresses are verified by a code that is mailed."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from infra.migrate import sql


class Migration(migrations.Migration):
    dependencies = [("models", "0012_recovery")]

    initial = False

    operations = [
        ops.AddField(
            model_name="User", name="email_verified_at", field=fields.DatetimeField(null=True)
        ),
        ops.RunSQL(sql("contact")),
    ]
