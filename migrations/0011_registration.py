"""Resident IDs, contact data and KYC levels of users, and the age of their passwords."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

from infra.migrate import sql


class Migration(migrations.Migration):
    dependencies = [("models", "0010_passkeys")]

    initial = False

    operations = [
        ops.AddField(model_name="User", name="id_number", field=fields.BinaryField(null=True)),
        ops.AddField(
            model_name="User",
            name="id_number_index",
            field=fields.CharField(db_index=True, max_length=64, null=True),
        ),
        ops.AddField(model_name="User", name="email", field=fields.BinaryField(null=True)),
        ops.AddField(model_name="User", name="postal_address", field=fields.BinaryField(null=True)),
        ops.AddField(
            model_name="User",
            name="kyc_level",
            field=fields.CharField(db_default="PHONE", max_length=16),
        ),
        ops.AddField(
            model_name="User", name="rejections", field=fields.SmallIntField(db_default=0)
        ),
        ops.AddField(
            model_name="User", name="password_changed_at", field=fields.DatetimeField(null=True)
        ),
        ops.AddField(
            model_name="User", name="password_reminded_at", field=fields.DatetimeField(null=True)
        ),
        ops.RunSQL(sql("registration")),
    ]
