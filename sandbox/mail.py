"""The mail gateway of the development city: it keeps the mails and shows them.

``python -m sandbox.mail --port 0 --data DIR --secret S`` prints ``{"port": N}`` when it is ready.
"""

from __future__ import annotations

import sqlite3
from typing import Annotated

import msgspec

from sandbox import messages


class Mail(messages.Message, frozen=True, kw_only=True):
    """A plain text for an address."""

    to: Annotated[str, msgspec.Meta(pattern=r"^[^@\s]{1,64}@[^@\s]{1,255}$")]
    subject: Annotated[str, msgspec.Meta(pattern=r"^[^\r\n]{1,200}$")]
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]


def gateway(
    database: sqlite3.Connection, secret: str, seed: int | None
) -> messages.Gateway[Mail, messages.MessageBehaviour]:
    """The gateway over one database."""
    return messages.Gateway(
        database,
        title="Sandbox mail gateway",
        secret=secret,
        seed=seed,
        kind=Mail,
        settings=messages.MessageBehaviour,
    )


if __name__ == "__main__":
    messages.main(gateway, name="mail", description="the mail gateway of the development city")
