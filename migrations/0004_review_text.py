from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("models", "0003_app_access")]

    initial = False

    operations = [
        ops.AddField(
            model_name="User",
            name="review_text",
            field=fields.BinaryField(null=True),
        ),
    ]
