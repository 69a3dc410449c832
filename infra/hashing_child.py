"""bcrypt for `infra.hashing`, as a process without threads: it answers on the socket it is given.

Run by file name with the socket's descriptor and a niceness; ends when the socket's other end does.
"""

import os
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

import bcrypt

REQUEST = struct.Struct("!II")
ANSWER = struct.Struct("!I")


def answer(secret: bytes, stored: bytes) -> bytes:
    """bcrypt's text for a salt; for a whole hash equal to it, if the secret is right."""
    try:
        return bcrypt.hashpw(secret, stored)
    except ValueError:
        return b""


def be_nice(niceness: int) -> None:
    """To processes of other sessions as well, between which Linux may share out time evenly.

    Where it does so (autogroups), niceness alone counts among those of one's own session, and we
    are alone in ours: the session's own niceness says what share is ours. Being idle besides takes
    nothing from that share, and whoever wakes up takes our processor for a free one.
    """
    os.nice(niceness)
    if niceness and _session_is_nice(niceness):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _session_is_nice(niceness: int) -> bool:
    try:
        if Path("/proc/sys/kernel/sched_autogroup_enabled").read_text().strip() != "1":
            return False
        for _ in range(20):
            with suppress(BlockingIOError):  # others have just done so, and we aren't privileged
                Path("/proc/self/autogroup").write_text(str(niceness))
                return True
            time.sleep(0.1)
    except OSError:
        return False
    return False


def main() -> None:
    stream = socket.socket(fileno=int(sys.argv[1])).makefile("rwb")
    be_nice(int(sys.argv[2]))
    while len(head := stream.read(REQUEST.size)) == REQUEST.size:
        secret_bytes, stored_bytes = REQUEST.unpack(head)
        result = answer(stream.read(secret_bytes), stream.read(stored_bytes))
        stream.write(ANSWER.pack(len(result)) + result)
        stream.flush()


if __name__ == "__main__":
    main()
