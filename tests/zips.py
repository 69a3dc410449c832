"""Opening encrypted ZIP archives by WinZip's specification, as the programs of others do."""

from __future__ import annotations

import hashlib
import hmac
import io
import struct
import zipfile
import zlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class WrongPassword(Exception):
    """The archive's own check says no."""


def opened(archive: bytes, password: str) -> dict[str, bytes]:
    """The files by name. Raises WrongPassword; AssertionError for a damaged archive."""
    with zipfile.ZipFile(io.BytesIO(archive)) as directory:
        return {one.filename: _content(archive, one, password) for one in directory.infolist()}


def _content(archive: bytes, one: zipfile.ZipInfo, password: str) -> bytes:
    name_bytes, extra_bytes = struct.unpack_from("<HH", archive, one.header_offset + 26)
    extra = archive[one.header_offset + 30 + name_bytes :][:extra_bytes]
    assert (one.compress_type, one.flag_bits & 1) == (99, 1), "AES, encrypted"
    assert struct.unpack("<HHH2sBH", extra) == (0x9901, 7, 2, b"AE", 3, 8), "AE-2, 256 bits"
    start = one.header_offset + 30 + name_bytes + extra_bytes
    data = archive[start : start + one.compress_size]
    salt, check, sealed, tag = data[:16], data[16:18], data[18:-10], data[-10:]
    keys = hashlib.pbkdf2_hmac("sha1", password.encode(), salt, 1000, 66)
    if keys[64:] != check:
        raise WrongPassword
    assert hmac.digest(keys[32:64], sealed, "sha1")[:10] == tag, "authentic"
    plain = b""
    for number in range(0, len(sealed), 16):
        block = sealed[number : number + 16]
        counter = (number // 16 + 1).to_bytes(16, "little")
        stream = Cipher(algorithms.AES(keys[:32]), modes.ECB()).encryptor().update(counter)
        plain += bytes(a ^ b for a, b in zip(block, stream, strict=False))
    content = zlib.decompress(plain, wbits=-zlib.MAX_WBITS)
    assert len(content) == one.file_size
    return content
