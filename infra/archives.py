"""ZIP archives encrypted with a password (AES-256, WinZip's AE-2), made file by file.

Whoever writes one keeps each file's bytes as `entry` gives them, in order, and `directory` last;
no more than one file is in memory. 7-Zip, WinZip, Keka and libarchive open them with the password.
Names of files are readable without it, so nothing personal belongs into a name.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

# Of WinZip's specification: the password's key is stretched a thousand times only. It doesn't
# matter here, because the passwords are random.
_ROUNDS = 1000
_KEY_BYTES, _SALT_BYTES, _CHECK_BYTES, _TAG_BYTES, _BLOCK_BYTES = 32, 16, 2, 10, 16
_AES_EXTRA = struct.pack("<HHH2sBH", 0x9901, 7, 2, b"AE", 3, zlib.DEFLATED)
_VERSION, _ENCRYPTED_UTF8, _METHOD_AES = 51, 0x0801, 99
_DATE = (2026 - 1980) << 9 | 1 << 5 | 1  # the same for all: when something was made stands inside
_BYTES_MAX = 2**32 - 1
ENTRIES_MAX = 65_000


class ArchiveTooLarge(Exception):
    """More than a ZIP without extensions can hold: 4 GB, or 65,000 files."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive, for its directory; ``stored_bytes`` is the length of its `entry`."""

    name: str
    plain_bytes: int
    stored_bytes: int


def entry(name: str, content: bytes, password: str) -> bytes:
    """A file as it stands in the archive: its head, and its content packed and encrypted."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    data = _encrypt(packer.compress(content) + packer.flush(), password)
    return _head(name, len(data), len(content)) + data


def directory(entries: Iterable[Entry]) -> bytes:
    """What ends the archive. Raises ArchiveTooLarge."""
    listed, offset, count = [], 0, 0
    for one in entries:
        if offset > _BYTES_MAX or count == ENTRIES_MAX:
            raise ArchiveTooLarge
        name = one.name.encode()
        data_bytes = one.stored_bytes - len(_head(one.name, 0, 0))
        listed.append(
            struct.pack(
                "<IHHHHHHIIIHHHHHII",
                *(0x02014B50, _VERSION, _VERSION, _ENCRYPTED_UTF8, _METHOD_AES, 0, _DATE, 0),
                *(data_bytes, one.plain_bytes, len(name), len(_AES_EXTRA), 0, 0, 0, 0, offset),
            )
            + name
            + _AES_EXTRA
        )
        offset, count = offset + one.stored_bytes, count + 1
    if offset > _BYTES_MAX:
        raise ArchiveTooLarge
    body = b"".join(listed)
    return body + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(body), offset, 0)


def _head(name: str, data_bytes: int, plain_bytes: int) -> bytes:
    encoded = name.encode()
    return (
        struct.pack(
            "<IHHHHHIIIHH",
            *(0x04034B50, _VERSION, _ENCRYPTED_UTF8, _METHOD_AES, 0, _DATE, 0),
            *(data_bytes, plain_bytes, len(encoded), len(_AES_EXTRA)),
        )
        + encoded
        + _AES_EXTRA
    )


def _encrypt(data: bytes, password: str) -> bytes:
    salt = os.urandom(_SALT_BYTES)
    keys = hashlib.pbkdf2_hmac(
        "sha1", password.encode(), salt, _ROUNDS, 2 * _KEY_BYTES + _CHECK_BYTES
    )
    sealed = _counted(keys[:_KEY_BYTES], data)
    tag = hmac.digest(keys[_KEY_BYTES : 2 * _KEY_BYTES], sealed, "sha1")[:_TAG_BYTES]
    return salt + keys[2 * _KEY_BYTES :] + sealed + tag


def _counted(key: bytes, data: bytes) -> bytes:
    """AES in counter mode as WinZip counts: from 1, the lowest byte first."""
    blocks = -(-len(data) // _BLOCK_BYTES)
    counters = b"".join(n.to_bytes(_BLOCK_BYTES, "little") for n in range(1, blocks + 1))
    # Each block of the counter once, with a key of its own: that is what counter mode is.
    cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - see above
    stream = cipher.encryptor().update(counters)[: len(data)]
    mixed = int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")
    return mixed.to_bytes(len(data), "little")
