"""The whole wallet on one machine: servers, sandbox gateways, migrations, API and worker.

``python -m infra.stack run`` is ``make run``. ``python -m infra.stack exec COMMAND…`` runs a
command with the settings of the running stack, or with servers started just for it. Tests and
benchmarks use ``start(data=…)`` and talk to the URLs of what it returns.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import dotenv

from infra import children, embedded, running

DATA = children.CHECKOUT / ".data"


def _silent(_: str) -> None:
    """Progress for nobody."""


def start(
    *,
    data: Path,
    port: int = 0,
    api_processes: int = 1,
    env: Mapping[str, str] | None = None,
    demo: bool = False,
    progress: Callable[[str], None] = _silent,
) -> running.Running:
    """Start the whole stack on ``data``; WALLET_ keys come from ``env`` and from nowhere else.

    Port 0 takes a free one. Raises StackError, ChildError or EmbeddedError and leaves nothing.
    """
    stack = running.Running(
        data=data.absolute(),
        port=port,
        api_processes=api_processes,
        env=env or {},
        progress=progress,
    )
    try:
        stack.up(demo=demo)
    except BaseException:
        stack.stop()
        raise
    return stack


def wallet_environment() -> dict[str, str]:
    """The WALLET_ keys of ``.env`` and, above them, of our environment."""
    named = {**dotenv.dotenv_values(children.CHECKOUT / ".env"), **os.environ}
    return {key: value for key, value in named.items() if key.startswith("WALLET_") and value}


def _say(line: str) -> None:
    print(line, flush=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def run(data: Path, *, api_processes: int) -> int:
    """``make run``: up, the URLs and the demo logins, and down at Ctrl-C. Returns the exit code."""
    env = wallet_environment()
    port = int(env.get("WALLET_PORT", "8000"))
    note = data / "running.json"
    try:
        with start(
            data=data, port=port, api_processes=api_processes, env=env, demo=True, progress=_say
        ) as stack:
            _leave_note(note, stack)
            _welcome(stack)
            try:
                while True:
                    stack.tend()
                    time.sleep(0.3)
            finally:
                note.unlink(missing_ok=True)
                _say("\nstopping …")
    except KeyboardInterrupt:
        _say("everything is stopped; the data stays in " + str(data))
        return 0


def _leave_note(note: Path, stack: running.Running) -> None:
    """What ``exec`` needs to join the running stack, for its own user only."""
    note.unlink(missing_ok=True)
    with open(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        named = {k: v for k, v in stack.env.items() if k.startswith("WALLET_")}
        json.dump({"pid": os.getpid(), "env": named}, output)


def _welcome(stack: running.Running) -> None:
    _say("")
    for name, url in (
        ("GraphQL", f"{stack.api_url}/graphql"),
        ("Console", f"{stack.api_url}/console"),
        ("SMS gateway", stack.sms_url),
        ("Push gateway", stack.push_url),
        ("Mail gateway", stack.mail_url),
        ("Bank", stack.bank_url),
    ):
        _say(f"  {name:<12} {url}")
    demo = stack.data / "demo.json"
    if demo.exists():
        _say("\n  Demo logins:")
        for login in json.loads(demo.read_text())["logins"]:
            _say("  " + "  ".join(f"{key} {value}" for key, value in login.items()))
    _say("\n  Ctrl-C stops everything.\n")


def running_environment(data: Path = DATA) -> dict[str, str] | None:
    """The WALLET_ keys of the stack that ``make run`` runs on ``data``; None if none runs."""
    try:
        known = json.loads((data / "running.json").read_text())
        os.kill(known["pid"], 0)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return known["env"]


def execute(data: Path, command: list[str]) -> int:
    """Run a command with the settings of the running stack, or with servers just for it."""
    env = wallet_environment()
    if env.get("WALLET_DATABASE_URL"):
        return subprocess.run(command, env={**os.environ, **env}, check=False).returncode
    joined = running_environment(data)
    if joined is not None:
        return subprocess.run(command, env={**os.environ, **joined}, check=False).returncode
    stack = running.Running(data=data, port=0, api_processes=1, env=env, progress=_silent)
    with stack:
        stack.database_up()
        return subprocess.run(command, env=stack.env, check=False).returncode


def main(arguments: list[str] | None = None) -> int:
    """The command line; exit code 1 with one clear message when something can't run."""
    parser = argparse.ArgumentParser(prog="python -m infra.stack", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="start everything until Ctrl-C")
    runs.add_argument("--api-processes", type=int, default=1)
    executes = commands.add_parser("exec", help="run a command with the stack's settings")
    executes.add_argument("argv", nargs=argparse.REMAINDER)
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        if chosen.command == "run":
            return run(chosen.data.absolute(), api_processes=chosen.api_processes)
        return execute(chosen.data.absolute(), chosen.argv)
    except (running.StackError, children.ChildError, embedded.EmbeddedError) as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
