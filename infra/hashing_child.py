"""bcrypt for `infra.hashing`, as a process without threads: it answers on the socket it is given.

Run by file name with the socket's descriptor and a niceness; ends when the socket's other end does.
"""

import os
import socket
import struct
import sys

import bcrypt

REQUEST = struct.Struct("!II")
ANSWER = struct.Struct("!I")


def answer(secret: bytes, stored: bytes) -> bytes:
    """bcrypt's text for a salt; for a whole hash equal to it, if the secret is right."""
    try:
        return bcrypt.hashpw(secret, stored)
    except ValueError:
        return b""


def main() -> None:
    stream = socket.socket(fileno=int(sys.argv[1])).makefile("rwb")
    os.nice(int(sys.argv[2]))
    while len(head := stream.read(REQUEST.size)) == REQUEST.size:
        secret_bytes, stored_bytes = REQUEST.unpack(head)
        result = answer(stream.read(secret_bytes), stream.read(stored_bytes))
        stream.write(ANSWER.pack(len(result)) + result)
        stream.flush()


if __name__ == "__main__":
    main()
