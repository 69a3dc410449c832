"""Consents, exports of one's own data, closing an account, and how long what is kept."""

from tortoise import migrations
from tortoise.migrations import operations as ops
from infra.migrate import sql
import functools
from json import dumps, loads
from tortoise.fields.db_defaults import SqlDefault
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [("models", "0015_phone_changes")]

    initial = False

    operations = [
        ops.RunSQL(sql("ledger_closing")),
        ops.RunSQL(sql("ledger_post")),
        ops.CreateModel(
            name='Closing',
            fields=[
                ('id', fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault('uuidv7()'))),
                ('user_id', fields.BigIntField(db_index=True)),
                ('session_id', fields.UUIDField(null=True)),
                ('state', fields.CharField(db_default='COOLING', max_length=16)),
                ('status_before', fields.CharField(null=True, max_length=16)),
                ('requested_at', fields.DatetimeField(db_default=SqlDefault('ledger.now()'), auto_now=False, auto_now_add=False)),
                ('due_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('ended_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'closing', 'app': 'models', 'indexes': [Index(fields=['state', 'due_at'])], 'pk_attr': 'id', 'table_description': 'COOLING until ``due_at``, then CLOSING, CLOSED; or CANCELLED by its owner, or STOPPED.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Consent',
            fields=[
                ('id', fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault('uuidv7()'))),
                ('user_id', fields.BigIntField()),
                ('purpose', fields.CharField(max_length=24)),
                ('version', fields.IntField()),
                ('given', fields.BooleanField()),
                ('session_id', fields.UUIDField(null=True)),
                ('said_at', fields.DatetimeField(db_default=SqlDefault('ledger.now()'), auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'consent', 'app': 'models', 'indexes': [Index(fields=['user_id', 'purpose', 'said_at'])], 'pk_attr': 'id', 'table_description': 'Somebody gave (``given``) or withdrew a consent. Append-only: the newest row counts.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='ConsentPurpose',
            fields=[
                ('code', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=24)),
                ('required', fields.BooleanField()),
                ('title_zh', fields.TextField(unique=False)),
                ('title_en', fields.TextField(unique=False)),
            ],
            options={'table': 'consent_purpose', 'app': 'models', 'pk_attr': 'code', 'table_description': '``required``: no account without it, so it ends by closing the account only.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='ConsentVersion',
            fields=[
                ('id', fields.IntField(primary_key=True, unique=True, db_index=True)),
                ('purpose', fields.CharField(max_length=24)),
                ('version', fields.IntField()),
                ('effective_from', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('text_zh', fields.TextField(unique=False)),
                ('text_en', fields.TextField(unique=False)),
            ],
            options={'table': 'consent_version', 'app': 'models', 'unique_together': (('purpose', 'version'),), 'pk_attr': 'id', 'table_description': 'The text that is in effect from an instant on, until the next version is.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='DataExport',
            fields=[
                ('id', fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault('uuidv7()'))),
                ('user_id', fields.BigIntField()),
                ('session_id', fields.UUIDField(null=True)),
                ('state', fields.CharField(db_default='WAITING', max_length=16)),
                ('password', fields.BinaryField()),
                ('token_hash', fields.CharField(unique=True, max_length=64)),
                ('part', fields.SmallIntField(db_default=0)),
                ('parts', fields.SmallIntField()),
                ('place', fields.JSONField(null=True, encoder=functools.partial(dumps, separators=(',', ':')), decoder=loads)),
                ('pieces', fields.IntField(db_default=0)),
                ('rows', fields.BigIntField(db_default=0)),
                ('size_bytes', fields.BigIntField(db_default=0)),
                ('requested_at', fields.DatetimeField(db_default=SqlDefault('ledger.now()'), auto_now=False, auto_now_add=False)),
                ('ready_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('expires_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('fetched_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'data_export', 'app': 'models', 'indexes': [Index(fields=['user_id', 'requested_at']), Index(fields=['state', 'expires_at'])], 'pk_attr': 'id', 'table_description': 'WAITING → RUNNING → READY → EXPIRED, or FAILED.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='DataExportPiece',
            fields=[
                ('id', fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault('uuidv7()'))),
                ('export_id', fields.UUIDField()),
                ('number', fields.IntField()),
                ('name', fields.CharField(max_length=80)),
                ('plain_bytes', fields.IntField()),
                ('rows', fields.IntField()),
                ('content', fields.BinaryField()),
            ],
            options={'table': 'data_export_piece', 'app': 'models', 'unique_together': (('export_id', 'number'),), 'pk_attr': 'id', 'table_description': "One file of the archive, encrypted; the last piece is the archive's directory."},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='RetainedIdentity',
            fields=[
                ('user_id', fields.BigIntField(primary_key=True, unique=True, db_index=True)),
                ('sealed', fields.BinaryField()),
                ('retained_at', fields.DatetimeField(db_default=SqlDefault('ledger.now()'), auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'retained_identity', 'app': 'models', 'pk_attr': 'user_id', 'table_description': "Who a closed account belonged to, sealed, out of the app's reach until it is erased."},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='RetentionRule',
            fields=[
                ('code', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=24)),
                ('kept_days', fields.IntField(null=True)),
                ('ground_zh', fields.TextField(unique=False)),
                ('ground_en', fields.TextField(unique=False)),
            ],
            options={'table': 'retention_rule', 'app': 'models', 'pk_attr': 'code', 'table_description': 'How long a class of data is kept, and why. ``domain/retention.py`` says what is in it.'},
            bases=['Model'],
        ),
        ops.RunSQL(sql("privacy")),
    ]
