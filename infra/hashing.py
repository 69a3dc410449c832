"""Passwords and payment PINs: peppered, then bcrypt in child processes.

Beside a busy event loop threads starve for the interpreter's lock, so each hasher is a process
without threads behind a socketpair. The waiting room is bounded: past it `HasherBusy`, at once.
PINs have processes of their own, because a payment must not wait behind logins.

A stored hash is ``v2``, a mark of the pepper it was made with, and bcrypt's text. ``v1`` had no
mark: it was made when there was one pepper, which is the oldest of the ring now.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
import secrets
import socket
import string
import struct
import subprocess
import sys
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import bcrypt

from infra import settings

_STORED = re.compile(r"(?:v1|v2:([0-9a-f]{8}))(\$2b\$(\d\d)\$[./A-Za-z0-9]{53})", re.ASCII)
_CHILD = str(Path(__file__).with_name("hashing_child.py"))
_REQUEST = struct.Struct("!II")
_ANSWER = struct.Struct("!I")
# Logins wait for payments, with a tenth of a core left to them however much is paid.
PASSWORD_NICENESS = 10
# For a PIN a payment waits.
_PIN_NICENESS = 0
_WAITING_MAX = 32
_BCRYPT_LETTERS = "./" + string.ascii_letters + string.digits


class HasherBusy(Exception):
    """Too many hashes are waiting, or the hasher just died; try again in a moment."""


@dataclass(frozen=True, slots=True)
class Checked:
    """``outdated``: it was right, and should be hashed anew because the cost or scheme changed."""

    right: bool
    outdated: bool = False


class Hasher:
    """Some bcrypt processes, used one call at a time each."""

    def __init__(
        self, processes: int, *, niceness: int = 0, waiting_max: int = _WAITING_MAX
    ) -> None:
        self._count = processes
        self._niceness = niceness
        self._waiting_max = waiting_max
        self._waiting = 0
        self._free: asyncio.Queue[_Channel] = asyncio.Queue()
        self._channels: set[_Channel] = set()

    async def open(self) -> None:
        for _ in range(self._count):
            await self._add()

    async def close(self) -> None:
        for channel in list(self._channels):
            await channel.close()
        self._channels.clear()

    def ensure_room(self) -> None:
        """Raise HasherBusy if a call now would be refused."""
        if self._waiting >= self._waiting_max:
            raise HasherBusy

    async def run(self, secret: bytes, stored: bytes) -> bytes:
        """What bcrypt makes of a secret and a salt or whole hash; empty if that is malformed."""
        self.ensure_room()
        self._waiting += 1
        try:
            channel = await self._free.get()
        finally:
            self._waiting -= 1
        # Shielded: a caller who leaves must not leave half an answer in the channel.
        return await asyncio.shield(asyncio.ensure_future(self._ask(channel, secret, stored)))

    async def _ask(self, channel: _Channel, secret: bytes, stored: bytes) -> bytes:
        try:
            answer = await channel.ask(secret, stored)
        except (OSError, EOFError):
            await channel.close()
            self._channels.discard(channel)
            await self._add()
            raise HasherBusy from None
        self._free.put_nowait(channel)
        return answer

    async def _add(self) -> None:
        channel = await _Channel.start(self._niceness)
        self._channels.add(channel)
        self._free.put_nowait(channel)


class _Channel:
    """One child and the socket to it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, niceness: int) -> _Channel:
        ours, theirs = socket.socketpair()
        with theirs:
            # Popen returns at once; nobody waits for the child's output.
            process = subprocess.Popen(  # noqa: ASYNC220
                [sys.executable, "-I", _CHILD, str(theirs.fileno()), str(niceness)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(process, reader, writer)

    async def ask(self, secret: bytes, stored: bytes) -> bytes:
        self._writer.write(_REQUEST.pack(len(secret), len(stored)) + secret + stored)
        (length,) = _ANSWER.unpack(await self._reader.readexactly(_ANSWER.size))
        return await self._reader.readexactly(length)

    async def close(self) -> None:
        self._writer.close()
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True, slots=True)
class _Hashers:
    passwords: Hasher
    pins: Hasher


_current: _Hashers | None = None


async def open_hasher(*, waiting_max: int = _WAITING_MAX) -> None:
    """Start this process's hashers: the setting's number for passwords, and one for PINs."""
    global _current
    count = settings.get_settings().hasher_processes
    made = _Hashers(
        passwords=Hasher(count, niceness=PASSWORD_NICENESS, waiting_max=waiting_max),
        pins=Hasher(1, niceness=_PIN_NICENESS, waiting_max=waiting_max),
    )
    await made.passwords.open()
    await made.pins.open()
    _current = made


async def close_hasher() -> None:
    """End them; nothing is left running."""
    global _current
    closing, _current = _current, None
    if closing is not None:
        await closing.passwords.close()
        await closing.pins.close()


def _hashers() -> _Hashers:
    assert _current is not None, "the hasher is not open"
    return _current


def ensure_room() -> None:
    """Raise HasherBusy if a password can't be hashed now: ask before anything is counted."""
    _hashers().passwords.ensure_room()


@dataclass(frozen=True, slots=True)
class _Pepper:
    """One secret of the ring, its keys per purpose, and the mark that its hashes carry."""

    mark: str
    password: bytes
    pin: bytes


@lru_cache(maxsize=4)
def _peppers(ring: str) -> tuple[_Pepper, ...]:
    """The ring ``"newest,older,oldest"``; the first hashes, all check."""
    return tuple(
        _Pepper(
            mark=hmac.digest(secret.strip().encode(), b"mark", "sha384").hex()[:8],
            password=hmac.digest(secret.strip().encode(), b"password", "sha384"),
            pin=hmac.digest(secret.strip().encode(), b"pin", "sha384"),
        )
        for secret in ring.split(",")
    )


def _ring() -> tuple[_Pepper, ...]:
    return _peppers(settings.get_settings().password_pepper.get_secret_value())


@dataclass(frozen=True, slots=True)
class _Stored:
    """A stored hash taken apart. ``known``: its pepper is still in the ring."""

    pepper: _Pepper
    known: bool
    bcrypt: bytes
    cost: int

    def outdated(self, cost: int) -> bool:
        return self.cost != cost or self.pepper is not _ring()[0]


def _read(stored: str) -> _Stored | None:
    matched = _STORED.fullmatch(stored)
    if matched is None:
        return None
    mark, text, cost = matched.groups()
    ring = _ring()
    made_with = ring[-1] if mark is None else next((p for p in ring if p.mark == mark), None)
    # With a pepper that is gone nothing is ever right, after the same work as ever.
    return _Stored(made_with or ring[0], made_with is not None, text.encode(), int(cost))


def _store(pepper: _Pepper, text: bytes) -> str:
    return f"v2:{pepper.mark}{text.decode()}"


def _peppered(key: bytes, text: str) -> bytes:
    """64 characters without NUL, so that bcrypt (72 bytes at most) sees all of any password."""
    return base64.b64encode(hmac.digest(key, text.encode(), "sha384"))


def _password(pepper: _Pepper, text: str) -> bytes:
    return _peppered(pepper.password, unicodedata.normalize("NFKC", text))


def _pin(pepper: _Pepper, user_id: int, text: str) -> bytes:
    """Bound to its user, so that a hash copied to another's row is worth nothing there."""
    return _peppered(pepper.pin, f"{user_id}:{text}")


async def hash_password(text: str) -> str:
    """What to store for a password. Raises HasherBusy."""
    pepper, salt = _ring()[0], bcrypt.gensalt(settings.get_settings().password_cost)
    return _store(pepper, await _hashers().passwords.run(_password(pepper, text), salt))


async def check_password(text: str, stored: str | None) -> Checked:
    """Whether the password is the stored one; None (nobody) costs the same time. HasherBusy."""
    cost = settings.get_settings().password_cost
    read = _read(stored or "")
    against = read or _read(_dummy(cost, _ring()[0].mark))
    assert against is not None
    found = await _hashers().passwords.run(_password(against.pepper, text), against.bcrypt)
    right = hmac.compare_digest(found, against.bcrypt) and against is read and against.known
    return Checked(right, outdated=right and against.outdated(cost))


async def hash_pin(user_id: int, pin: str) -> str:
    """What to store for a user's payment PIN. Raises HasherBusy."""
    pepper, salt = _ring()[0], bcrypt.gensalt(settings.get_settings().pin_cost)
    return _store(pepper, await _hashers().pins.run(_pin(pepper, user_id, pin), salt))


async def check_pin(user_id: int, pin: str, stored: str) -> bool:
    """Whether the PIN is the user's. Raises HasherBusy."""
    read = _read(stored)
    if read is None:
        return False
    found = await _hashers().pins.run(_pin(read.pepper, user_id, pin), read.bcrypt)
    return hmac.compare_digest(found, read.bcrypt) and read.known


def pin_outdated(stored: str) -> bool:
    """Whether a PIN that was right should be hashed anew: its cost or pepper has changed."""
    read = _read(stored)
    return read is not None and read.outdated(settings.get_settings().pin_cost)


@lru_cache(maxsize=4)
def _dummy(cost: int, mark: str) -> str:
    """A hash that nobody's password has: same cost, same work, never right."""
    digest = "".join(secrets.choice(_BCRYPT_LETTERS) for _ in range(31))
    return f"v2:{mark}{bcrypt.gensalt(cost).decode()}{digest}"
