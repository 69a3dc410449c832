"""Numbers that a carrier has given to somebody else: old accounts let go of them."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from infra.migrate import sql


class Migration(migrations.Migration):
    dependencies = [("models", "0019_lost_phone")]

    initial = False

    operations = [
        ops.AddField(
            model_name="User",
            name="former_phone_index",
            field=fields.CharField(db_index=True, max_length=64, null=True),
        ),
        ops.RunSQL(sql("number_release")),
    ]
