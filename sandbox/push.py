"""The push gateway of the development city: it keeps what phones would have shown.

``python -m sandbox.push --port 0 --data DIR --secret S`` prints ``{"port": N}`` when it is ready.
"""

from __future__ import annotations

import sqlite3
from typing import Annotated, Literal

import msgspec

from sandbox import behaviour, messages, serving


class Push(messages.Message, frozen=True, kw_only=True):
    """A title and a text for the app that holds the token ``to``."""

    to: Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,4096}$")]
    platform: Literal["IOS", "ANDROID", "HARMONY"]
    title: messages.Short
    text: messages.Text


class PushBehaviour(messages.MessageBehaviour, kw_only=True):
    """Beside what all gateways do wrong: apps that were uninstalled."""

    gone_next: behaviour.Count = 0


def _refuse_gone(_: Push, settings: behaviour.Behaviour[PushBehaviour]) -> None:
    if settings.spend("gone_next"):
        raise serving.Refused(410, "TOKEN_GONE", "no app has this token any more")


def gateway(
    database: sqlite3.Connection, secret: str, seed: int | None
) -> messages.Gateway[Push, PushBehaviour]:
    """The gateway over one database."""
    return messages.Gateway(
        database,
        title="Sandbox push gateway",
        secret=secret,
        seed=seed,
        kind=Push,
        settings=PushBehaviour,
        refuse=_refuse_gone,
    )


if __name__ == "__main__":
    messages.main(gateway, name="push", description="the push gateway of the development city")
