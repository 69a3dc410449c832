"""People, their sessions and codes. Phone and name are ciphertext with a blind index."""

from __future__ import annotations

from tortoise import fields
from tortoise.fields.db_defaults import SqlDefault
from tortoise.models import Model

RANDOM_ID = SqlDefault("(hashtextextended(gen_random_uuid()::text, 0) & 4611686018427387903)")
NEW_UUID = SqlDefault("uuidv7()")
NOW = SqlDefault("ledger.now()")


class User(Model):
    """A resident, a merchant's operator or a member of staff (``role``).

    ``review_reason`` is a rule's code, ``review_text`` what staff wrote, encrypted. ID number,
    e-mail and postal address are what the applicant gave, encrypted; one person's wallets have the
    same ``id_number_index``. ``email_verified_at``: when a code that was mailed there came back.
    ``rejections`` counts those since the last cool-down. Whose number was released, because the
    carrier gave it to somebody else, has no phone: ``former_phone_index`` was its index.
    """

    id = fields.BigIntField(primary_key=True, generated=False, default=None, db_default=RANDOM_ID)
    role = fields.CharField(max_length=16)
    status = fields.CharField(max_length=16)
    phone = fields.BinaryField()
    phone_index = fields.CharField(max_length=64, unique=True)
    former_phone_index = fields.CharField(max_length=64, null=True, db_index=True)
    name = fields.BinaryField()
    language = fields.CharField(max_length=8, db_default="zh-CN")
    password_hash = fields.TextField()
    pin_hash = fields.TextField(null=True)
    pin_tries_left = fields.SmallIntField(db_default=5)
    version = fields.IntField(db_default=1)
    review_reason = fields.TextField(null=True)
    review_text = fields.BinaryField(null=True)
    reviewed_by = fields.BigIntField(null=True)
    reviewed_at = fields.DatetimeField(null=True)
    id_number = fields.BinaryField(null=True)
    id_number_index = fields.CharField(max_length=64, null=True, db_index=True)
    email = fields.BinaryField(null=True)
    email_verified_at = fields.DatetimeField(null=True)
    postal_address = fields.BinaryField(null=True)
    kyc_level = fields.CharField(max_length=16, db_default="PHONE")
    rejections = fields.SmallIntField(db_default=0)
    password_changed_at = fields.DatetimeField(null=True)
    password_reminded_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField(default=None, db_default=NOW)

    class Meta:
        table = "users"
        indexes = (("status", "created_at"),)


class Session(Model):
    """One signed-in device; of its tokens only hashes are kept.

    A refresh token has two halves: the family half stays for the session's life, the other half
    rotates. The right family with a wrong half is a token that was used before. The half before
    the newest stays known: its device may ask again for what it was given at ``refreshed_at``,
    which ``refresh_salt`` and our key make once more. ``network`` (encrypted) is where it was last
    used, roughly. ``ends_at`` is the end of its life, however often it is used. ``second_factor``
    says whether a passkey or an authenticator opened it; staff may do nothing without.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField(db_index=True)
    access_hash = fields.CharField(max_length=64, unique=True)
    access_expires_at = fields.DatetimeField()
    family_hash = fields.CharField(max_length=64, unique=True)
    refresh_hash = fields.CharField(max_length=64)
    refresh_expires_at = fields.DatetimeField()
    created_at = fields.DatetimeField(default=None, db_default=NOW)
    revoked_at = fields.DatetimeField(null=True)
    revoked_reason = fields.CharField(max_length=32, null=True)
    device_id = fields.UUIDField(null=True)
    previous_hash = fields.CharField(max_length=64, null=True)
    refreshed_at = fields.DatetimeField(null=True)
    refresh_salt = fields.CharField(max_length=43, null=True)
    network = fields.BinaryField(null=True)
    ends_at = fields.DatetimeField(null=True)
    second_factor = fields.BooleanField(db_default=False)
    elevated_until = fields.DatetimeField(null=True)

    class Meta:
        table = "session"


class VerificationCode(Model):
    """A six-digit code, hashed, bound to a purpose, a phone and a request; five tries.

    ``subject`` names the one thing it was asked for (a challenge), empty if that is the request
    itself. ``code`` is phone and code, encrypted, for the job that sends them; empty once they are
    sent. A code that is mailed has a mail address where the others have a phone, and its user as
    ``subject``.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    purpose = fields.CharField(max_length=24)
    subject = fields.CharField(max_length=64, db_default="")
    phone_index = fields.CharField(max_length=64)
    address_hash = fields.CharField(max_length=64)
    code_hash = fields.CharField(max_length=64)
    code = fields.BinaryField()
    tries_left = fields.SmallIntField(db_default=5)
    created_at = fields.DatetimeField(default=None, db_default=NOW)
    expires_at = fields.DatetimeField()
    used_at = fields.DatetimeField(null=True)
    sent_at = fields.DatetimeField(null=True)

    class Meta:
        table = "verification_code"
        indexes = (("phone_index", "created_at"), ("address_hash", "created_at"))


class IdentityCheck(Model):
    """Name and ID number of somebody who registered by phone only, handed in to be reviewed.

    Both are encrypted, and gone once it is decided: what was approved is with the user then.
    ``reason`` is a rule's code, ``review_text`` what staff wrote, encrypted. A user has one at a
    time that is not decided.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField(db_index=True)
    state = fields.CharField(max_length=16)
    name = fields.BinaryField(null=True)
    id_number = fields.BinaryField(null=True)
    reason = fields.CharField(max_length=40, null=True)
    review_text = fields.BinaryField(null=True)
    reviewed_by = fields.BigIntField(null=True)
    reviewed_at = fields.DatetimeField(null=True)
    version = fields.IntField(db_default=1)
    created_at = fields.DatetimeField(default=None, db_default=NOW)

    class Meta:
        table = "identity_check"
        indexes = (("state", "created_at"),)


class CodeTotal(Model):
    """How many codes were asked for in an hour or a day, over all phones.

    ``askers``: OPEN counts what anybody may ask for, KNOWN what takes a session or a password, MAIL
    what is mailed.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    askers = fields.CharField(max_length=8)
    period = fields.CharField(max_length=8)
    starts_at = fields.DatetimeField()
    count = fields.IntField()

    class Meta:
        table = "code_total"
        unique_together = (("askers", "period", "starts_at"),)


class LoginChallenge(Model):
    """A right password that waits for its second factor: five tries, five minutes, used once.

    The client's id of it is a secret of which only a hash is here.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=NEW_UUID)
    user_id = fields.BigIntField(db_index=True)
    secret_hash = fields.CharField(max_length=64, unique=True)
    tries_left = fields.SmallIntField(db_default=5)
    created_at = fields.DatetimeField(default=None, db_default=NOW)
    expires_at = fields.DatetimeField()
    used_at = fields.DatetimeField(null=True)

    class Meta:
        table = "login_challenge"


class LoginThrottle(Model):
    """Failed logins of one phone or one address: the delay grows with the count."""

    key = fields.CharField(max_length=64, primary_key=True)
    failures = fields.IntField(db_default=0)
    blocked_until = fields.DatetimeField(null=True)
    updated_at = fields.DatetimeField(default=None, db_default=NOW)

    class Meta:
        table = "login_throttle"
