"""``python -m tests.demo``: play the story against the running stack, or one started for it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import httpx

from infra import children, embedded, running, stack
from tests.demo import story
from tests.demo.client import GraphQLError
from tests.demo.stage import Unexpected, World


def _say(line: str) -> None:
    print(line, flush=True)


def world_of(env: dict[str, str]) -> World:
    """What the story needs to know of a stack with these settings. Raises Unexpected."""
    file = Path(env["WALLET_DEMO_FILE"])
    if not file.exists():
        raise Unexpected(f"this stack has no demo city: {file} is missing")
    city = json.loads(file.read_text(encoding="utf-8"))
    return World(
        api_url=env["WALLET_PUBLIC_URL"],
        sms_url=env["WALLET_SMS_URL"],
        logins=city["logins"],
        merchants=city["merchants"],
        devices=city["devices"],
        passkeys=city["passkeys"],
    )


def play(env: dict[str, str]) -> int:
    """Play it; the exit code."""
    try:
        asyncio.run(story.play(world_of(env), _say, colour=sys.stdout.isatty()))
    except (Unexpected, GraphQLError, httpx.HTTPError) as wrong:
        print(f"\nNOT AS PROMISED: {wrong or type(wrong).__name__}", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    """Join the stack that runs, else start one on the same data for as long as it takes."""
    joined = stack.running_environment()
    if joined is not None:
        _say(f"playing against the running stack at {joined['WALLET_PUBLIC_URL']}")
        return play(joined)
    try:
        with stack.start(
            data=stack.DATA, env=stack.wallet_environment(), demo=True, progress=_say
        ) as started:
            return play(started.env)
    except (running.StackError, children.ChildError, embedded.EmbeddedError) as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
