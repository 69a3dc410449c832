"""The SMS gateway of the development city: it keeps the messages and shows them.

``python -m sandbox.sms --port 0 --data DIR --secret S`` prints ``{"port": N}`` when it is ready.
"""

from __future__ import annotations

import sqlite3
from typing import Annotated

import msgspec

from sandbox import messages


class Sms(messages.Message, frozen=True, kw_only=True):
    """A text for a phone (E.164)."""

    to: Annotated[str, msgspec.Meta(pattern=r"^\+[1-9][0-9]{6,14}$")]
    template: messages.Short
    text: messages.Text


def gateway(
    database: sqlite3.Connection, secret: str, seed: int | None
) -> messages.Gateway[Sms, messages.MessageBehaviour]:
    """The gateway over one database."""
    return messages.Gateway(
        database,
        title="Sandbox SMS gateway",
        secret=secret,
        seed=seed,
        kind=Sms,
        settings=messages.MessageBehaviour,
    )


if __name__ == "__main__":
    messages.main(gateway, name="sms", description="the SMS gateway of the development city")
