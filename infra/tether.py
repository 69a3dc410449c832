"""The tether: ends the launcher's children when the launcher dies, however it dies.

It runs as a script of its own (``python -I infra/tether.py``) and imports the standard library
only. Lines of its stdin are ``+N`` and ``-N``: process group N was started, or has ended. At end of
file it asks every group that is left to stop, and kills after a second those that did not.
"""

import os
import select
import signal
import sys
import time

GRACE_SECONDS = 1.0


def send(groups: set[int], by: int) -> set[int]:
    """Signal the groups (0 only looks); returns those that still exist."""
    left = set()
    for group in groups:
        try:
            os.killpg(group, by)
        except (ProcessLookupError, PermissionError):
            continue
        left.add(group)
    return left


def listen() -> set[int]:
    """Keep the list until the launcher is gone; returns the groups that are left."""
    groups: set[int] = set()
    parent_pid = os.getppid()
    buffer = b""
    while True:
        readable, _, _ = select.select([0], [], [], 0.25)
        if readable:
            chunk = os.read(0, 65536)
            if not chunk:
                return groups
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                group = int(line[1:])
                if line.startswith(b"+"):
                    groups.add(group)
                else:
                    groups.discard(group)
        elif os.getppid() != parent_pid:
            # A forked sibling may keep the pipe open after the launcher died.
            return groups


def main() -> None:
    """Wait for the end of the launcher, then end its children."""
    for by in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(by, signal.SIG_IGN)
    left = send(listen(), signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = send(left, 0)
    send(left, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
