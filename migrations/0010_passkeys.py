"""Passkeys, one-use challenges, and which proofs are enough for what."""

from tortoise import migrations
from tortoise.migrations import operations as ops
import functools
from json import dumps, loads
from tortoise.fields.db_defaults import SqlDefault
from tortoise import fields
from tortoise.indexes import Index

from infra.migrate import sql


class Migration(migrations.Migration):
    dependencies = [("models", "0009_devices")]

    initial = False

    operations = [
        ops.CreateModel(
            name='ProofChallenge',
            fields=[
                ('id', fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault('uuidv7()'))),
                ('purpose', fields.CharField(max_length=16)),
                ('user_id', fields.BigIntField(null=True)),
                ('session_id', fields.UUIDField(null=True)),
                ('nonce_hash', fields.BinaryField()),
                ('terms_hash', fields.BinaryField()),
                ('caller_hash', fields.CharField(max_length=64)),
                ('verification_id', fields.UUIDField(null=True, unique=True)),
                ('created_at', fields.DatetimeField(db_index=True, db_default=SqlDefault('ledger.now()'), auto_now=False, auto_now_add=False)),
                ('expires_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('used_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('answer_hash', fields.BinaryField(null=True)),
            ],
            options={'table': 'proof_challenge', 'app': 'models', 'indexes': [Index(fields=['caller_hash', 'created_at'])], 'pk_attr': 'id', 'table_description': 'What a passkey signs, or a code is sent for; good once, for five minutes.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Passkey',
            fields=[
                ('id', fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault('uuidv7()'))),
                ('user_id', fields.BigIntField(db_index=True)),
                ('credential_id', fields.BinaryField()),
                ('credential_hash', fields.CharField(unique=True, max_length=64)),
                ('public_key', fields.BinaryField()),
                ('user_handle', fields.BinaryField()),
                ('sign_count', fields.BigIntField()),
                ('name', fields.BinaryField()),
                ('transports', fields.JSONField(encoder=functools.partial(dumps, separators=(',', ':')), decoder=loads)),
                ('aaguid', fields.UUIDField()),
                ('synced', fields.BooleanField()),
                ('created_at', fields.DatetimeField(db_default=SqlDefault('ledger.now()'), auto_now=False, auto_now_add=False)),
                ('last_used_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('removed_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'passkey', 'app': 'models', 'pk_attr': 'id', 'table_description': 'A WebAuthn credential. Removed ones stay, so that they are known and refused.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='ProofPolicy',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('deed', fields.CharField(db_index=True, max_length=40)),
                ('amount_min_minor', fields.BigIntField(db_default=0)),
                ('kyc_level_max', fields.SmallIntField(null=True)),
                ('risk_min', fields.SmallIntField(null=True)),
                ('device_younger_than_seconds', fields.IntField(null=True)),
                ('sufficient', fields.JSONField(encoder=functools.partial(dumps, separators=(',', ':')), decoder=loads)),
                ('reason', fields.TextField(unique=False)),
                ('valid_from', fields.DatetimeField(db_default=SqlDefault('ledger.now()'), auto_now=False, auto_now_add=False)),
                ('valid_until', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'proof_policy', 'app': 'models', 'pk_attr': 'id', 'table_description': 'For which deeds a rule holds, from when till when, and which methods satisfy it.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='StepUp',
            fields=[
                ('id', fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault('uuidv7()'))),
                ('user_id', fields.BigIntField()),
                ('action', fields.CharField(max_length=40)),
                ('subject_hash', fields.BinaryField()),
                ('method', fields.CharField(max_length=16)),
                ('created_at', fields.DatetimeField(db_index=True, db_default=SqlDefault('ledger.now()'), auto_now=False, auto_now_add=False)),
                ('expires_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('used_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'step_up', 'app': 'models', 'pk_attr': 'id', 'table_description': 'A proof for one deed without money, used in the transaction of the deed.'},
            bases=['Model'],
        ),
        ops.RunSQL(sql('passkeys')),
    ]
