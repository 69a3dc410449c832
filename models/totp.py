"""Authenticators of staff: a shared secret, encrypted, and the last time step that was used."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.identity import NOW


class Totp(Model):
    """One person's authenticator; good for signing in once ``confirmed_at`` is set.

    ``last_step`` never goes back: no code works twice. ``failures`` in a row block it for a while.
    """

    user_id = fields.BigIntField(primary_key=True, generated=False)
    secret = fields.BinaryField()
    created_at = fields.DatetimeField(default=None, db_default=NOW)
    confirmed_at = fields.DatetimeField(null=True)
    last_step = fields.BigIntField(db_default=0)
    failures = fields.SmallIntField(db_default=0)
    blocked_until = fields.DatetimeField(null=True)

    class Meta:
        table = "totp"
