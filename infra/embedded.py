"""A real PostgreSQL and a real Valkey, started from their wheels and gone with their parent.

``start(Path(".data"))`` gives servers that keep their data and survive crashes;
``start(None, durable=False)`` gives throw-away ones for tests. Both listen on Unix sockets only, in
a directory of their own, behind passwords that are made at the first start.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from infra import housing

DATABASE = "wallet"
OWNER = "wallet_owner"
SUPERUSER = "postgres"
APP_LOGINS = ("wallet_api", "wallet_worker")
LOG_MAX_BYTES = 10 * 1024 * 1024

_POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "random_page_cost": "1.1",
    "jit": "off",
    "max_locks_per_transaction": "128",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    # The log never holds what people typed: no details of violated keys, no parameters.
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_min_error_statement": "panic",
}
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_THROW_AWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
}
_VALKEY_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "save": '""',
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
}


class EmbeddedError(Exception):
    """Why the embedded servers can't be used, in one sentence."""


def pg_bin() -> Path:
    """Directory of PostgreSQL's programs (psql, pgbench, pg_dump …)."""
    return housing.pg_bin()


def _silent(_: str) -> None:
    """Progress for nobody."""


class Servers:
    """Two running servers; ends them at ``stop()`` or at the end of its ``with`` block."""

    def __init__(self, guard: subprocess.Popen[bytes], passwords: dict[str, str]) -> None:
        self._guard = guard
        self._passwords = passwords
        self._buffer = b""
        self._fallen: dict[str, str] = {}
        self.socket_dir = Path()
        self.postgres_pid = 0
        self.valkey_pid = 0

    @property
    def guard_pid(self) -> int:
        """The process that holds both servers."""
        return self._guard.pid

    def postgres_url(self, user: str, password: str | None = None, database: str = DATABASE) -> str:
        """URL for asyncpg and libpq over the Unix socket; our own logins need no password here."""
        secret = self._passwords[user] if password is None else password
        return f"postgresql://{user}:{secret}@/{database}?host={self.socket_dir}&port=5432"

    def superuser_url(self, database: str = "postgres") -> str:
        """URL of the superuser: for tests, corruption drills and ``verify``, never for the app."""
        return self.postgres_url(SUPERUSER, database=database)

    @property
    def redis_url(self) -> str:
        """URL of Valkey's Unix socket for redis-py and arq."""
        return f"unix://:{self._passwords['valkey']}@{self.socket_dir}/valkey.sock?db=0"

    def sql(self, text: str, *, database: str = "postgres") -> str:
        """Run SQL as the superuser; returns unaligned rows. Raises EmbeddedError."""
        answer = subprocess.run(
            [pg_bin() / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-f", "-",
             "-h", self.socket_dir, "-U", SUPERUSER, "-d", database],
            input=text, capture_output=True, text=True, check=False,
            env={**os.environ, "PGPASSWORD": self._passwords[SUPERUSER], "PGOPTIONS": ""},
        )  # fmt: skip
        if answer.returncode:
            raise EmbeddedError(f"PostgreSQL refused: {answer.stderr.strip()[-500:]}")
        return answer.stdout.strip()

    def grant_logins(self) -> None:
        """Let the app's roles log in; the migrations, which come first, make them without."""
        for role in APP_LOGINS:
            self.sql(f"alter role {role} login password '{self._passwords[role]}'")

    def fallen(self) -> dict[str, str]:
        """Servers that ended by themselves: {name: path of its log}; ``guard`` if both are lost."""
        with contextlib.suppress(EmbeddedError):
            while self._readable(0):
                self._receive(timeout_seconds=0, progress=_silent)
        if self._guard.poll() is not None:
            self._fallen.setdefault("guard", "")
        return dict(self._fallen)

    def restart(self, name: str, *, timeout_seconds: float = 120.0) -> None:
        """Start ``postgres`` or ``valkey`` again, whether it runs or was killed; same sockets."""
        self._tell({"do": "restart", "name": name})
        deadline = time.monotonic() + timeout_seconds
        while True:
            message = self._receive(deadline - time.monotonic(), progress=_silent)
            if "restarted" in message:
                self._take_pids(message["restarted"])
                self._fallen.pop(name, None)
                return

    def stop(self) -> None:
        """End both servers in order and wait; calling it again does nothing."""
        if self._guard.stdin and not self._guard.stdin.closed:
            with contextlib.suppress(OSError):
                self._tell({"do": "stop"})
            with contextlib.suppress(OSError):
                self._guard.stdin.close()
        self._guard.wait()
        if self._guard.stdout:
            self._guard.stdout.close()

    def __enter__(self) -> Servers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _tell(self, command: dict[str, Any]) -> None:
        assert self._guard.stdin is not None
        self._guard.stdin.write(json.dumps(command).encode() + b"\n")
        self._guard.stdin.flush()

    def _readable(self, timeout_seconds: float) -> bool:
        assert self._guard.stdout is not None
        if b"\n" in self._buffer:
            return True
        return bool(select.select([self._guard.stdout], [], [], max(0.0, timeout_seconds))[0])

    def _receive(
        self, timeout_seconds: float, *, progress: Callable[[str], None]
    ) -> dict[str, Any]:
        """The next message of the guard; raises EmbeddedError for its errors and its end."""
        assert self._guard.stdout is not None
        while b"\n" not in self._buffer:
            if not self._readable(timeout_seconds):
                raise EmbeddedError("the embedded servers did not answer in time")
            chunk = os.read(self._guard.stdout.fileno(), 65536)
            if not chunk:
                raise EmbeddedError("the process that holds the embedded servers ended")
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise EmbeddedError(message["error"])
        if "died" in message:
            self._fallen[message["died"]] = message["log"]
        if "progress" in message:
            progress(message["progress"])
        return message

    def _take_pids(self, ready: dict[str, Any]) -> None:
        self.socket_dir = Path(ready["sockets"])
        self.postgres_pid = ready["postgres"]
        self.valkey_pid = ready["valkey"]

    def _await_ready(self, progress: Callable[[str], None]) -> None:
        # Recovery after a crash takes as long as it takes; the guard says so every two seconds.
        while True:
            message = self._receive(3600.0, progress=progress)
            if "ready" in message:
                self._take_pids(message["ready"])
                return

    def _prepare(self) -> None:
        """Make the database and its owner; harmless when they are there."""
        password = self._passwords[OWNER]
        roles = self.sql("select rolname from pg_roles").splitlines()
        if OWNER not in roles:
            self.sql(f"create role {OWNER}")
        self.sql(f"alter role {OWNER} login createrole password '{password}'")
        if DATABASE not in self.sql("select datname from pg_database").splitlines():
            self.sql(f"create database {DATABASE} owner {OWNER}")


def _new_passwords() -> dict[str, str]:
    return {name: secrets.token_hex(24) for name in (SUPERUSER, OWNER, *APP_LOGINS, "valkey")}


def _kept_passwords(data: Path, home: housing.Home) -> dict[str, str]:
    """Read ``secrets.json`` (mode 0600), or make it before the first server exists."""
    file = data / "secrets.json"
    if file.exists():
        return json.loads(file.read_text())
    if (home.postgres / "PG_VERSION").exists():
        raise EmbeddedError(f"{file} is missing, and without it the data beside it can't be opened")
    passwords = _new_passwords()
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        json.dump(passwords, output)
        output.flush()
        os.fsync(output.fileno())
    draft.rename(file)
    return passwords


def _rotated(log: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_MAX_BYTES:
            log.replace(log.with_suffix(".log.1"))
    return str(log)


def _order(
    home: housing.Home, logs: Path, passwords: dict[str, str], *, durable: bool
) -> dict[str, Any]:
    programs, valkey = housing.binaries(home.person)
    keep = {"appendonly": "yes", "appendfsync": "everysec"} if durable else {"appendonly": "no"}
    return {
        "pid": os.getpid(),
        "durable": durable,
        "user": [home.person.uid, home.person.gid] if home.person else None,
        "lock": str(logs / "lock") if durable else None,
        "sockets_base": str(housing.sockets_base(home.person)),
        "remove": [] if durable else [str(home.postgres.parent)],
        "postgres": {
            "bin": str(programs),
            "data": str(home.postgres),
            "settings": {**_POSTGRES_SETTINGS, **(_DURABLE if durable else _THROW_AWAY)},
            "log": _rotated(logs / "postgres.log"),
            "password": passwords[SUPERUSER],
        },
        "valkey": {
            "binary": str(valkey),
            "data": str(home.valkey),
            "settings": {**_VALKEY_SETTINGS, **keep},
            "log": _rotated(logs / "valkey.log"),
            "password": passwords["valkey"],
        },
    }


def _guarded(order: dict[str, Any], passwords: dict[str, str]) -> Servers:
    # -I: the folder of the script must not become an import path, its names would hide others.
    guard = subprocess.Popen(
        [sys.executable, "-I", str(Path(__file__).with_name("guard.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
    )
    servers = Servers(guard, passwords)
    servers._tell(order)
    return servers


def start(
    data: Path | None, *, durable: bool = True, progress: Callable[[str], None] = _silent
) -> Servers:
    """Start both servers and wait until they answer.

    ``data`` is the directory to keep (``.data``); it is ignored when ``durable`` is false, and
    everything is removed at the end. Raises EmbeddedError with one sentence.
    """
    try:
        if durable:
            assert data is not None
            data = data.absolute()
            home = housing.settle(data, progress)
            passwords = _kept_passwords(data, home)
            order = _order(home, data, passwords, durable=True)
        else:
            home = housing.throw_away()
            passwords = _new_passwords()
            order = _order(home, home.postgres.parent, passwords, durable=False)
    except housing.HousingError as problem:
        raise EmbeddedError(str(problem)) from None
    except OSError as problem:
        raise EmbeddedError(f"the servers' files can't be made: {problem}") from problem
    servers = _guarded(order, passwords)
    try:
        servers._await_ready(progress)
        servers._prepare()
    except BaseException:
        servers.stop()
        raise
    return servers
