"""The guard: starts PostgreSQL and Valkey, keeps them, and takes them down with its parent.

It runs as a script of its own (``python -I infra/guard.py``) and imports the standard library
only. Line 1 of its stdin is the order (JSON); later lines are commands (``{"do": "stop"}``,
``{"do": "restart", "name": "postgres"}``). It answers with JSON lines: ``progress``, ``ready``,
``restarted``, ``died``, ``error``. End of file without ``stop`` means that the parent is dead: then
both servers leave at once, and the next start recovers from their logs.
"""

import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.03
LEFTOVERS_WAIT_SECONDS = 60.0
SHARED_MEMORY_WAIT_SECONDS = 15.0
SERVER_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class GuardError(Exception):
    """A start that failed, said in one sentence for the person who asked for it."""


class ParentGone(Exception):
    """The parent died or asked us to stop while the servers were still coming up."""


def say(**message: Any) -> None:
    """Write one JSON line to the parent; a dead parent is noticed elsewhere."""
    try:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()
    except OSError:
        pass


def alive(pid: int) -> bool:
    """Whether a process with this id exists."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def command_of(pid: int) -> str:
    """The command line of a process, empty if it is gone."""
    answer = subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip()


class Inbox:
    """Commands from the parent, and the news that it is gone."""

    def __init__(self) -> None:
        self._buffer = b""
        self._parent_pid = os.getppid()
        self.asked_to_stop = False

    def line(self, timeout_seconds: float) -> dict[str, Any] | None:
        """The next command or None; raises ParentGone at end of file or for a new parent."""
        if b"\n" not in self._buffer and not self.asked_to_stop:
            self._fill(timeout_seconds)
        if self.asked_to_stop:
            raise ParentGone
        if b"\n" not in self._buffer:
            return None
        line, self._buffer = self._buffer.split(b"\n", 1)
        command = json.loads(line)
        if command.get("do") == "stop":
            self.asked_to_stop = True
            raise ParentGone
        return command

    def _fill(self, timeout_seconds: float) -> None:
        readable, _, _ = select.select([0], [], [], timeout_seconds)
        if readable:
            chunk = os.read(0, 65536)
            if not chunk:
                raise ParentGone
            self._buffer += chunk
        elif os.getppid() != self._parent_pid:
            # A forked sibling may keep the pipe open after the parent died.
            raise ParentGone

    def wait_for(self, done: Callable[[], bool]) -> None:
        """Poll until done() is true; ends early if the parent goes."""
        while not done():
            if b"\n" in self._buffer:
                time.sleep(POLL_SECONDS)
            else:
                self._fill(POLL_SECONDS)
            if b'"stop"' in self._buffer:
                self.asked_to_stop = True
            if self.asked_to_stop:
                raise ParentGone


class Lock:
    """One file lock for a data directory, inherited by the servers: whoever runs there holds it.

    Because every backend inherits it, a lock that could be taken proves that nobody uses the
    directory, and a ``postmaster.pid`` found there is stale whatever process has that number now.
    """

    def __init__(self, path: str, owner_pid: int) -> None:
        self.path = Path(path)
        self.owner_pid = owner_pid
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def take(self, inbox: Inbox) -> dict[str, Any]:
        """Take the lock, waiting for servers that are leaving; returns the last holder's note."""
        deadline = time.monotonic() + LEFTOVERS_WAIT_SECONDS
        told = False
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return self.read()
            except BlockingIOError:
                self._judge(self.read(), overdue=time.monotonic() > deadline)
            if not told:
                say(progress="waiting for the servers of an earlier run to finish stopping")
                told = True
            until = time.monotonic() + 0.2
            inbox.wait_for(lambda until=until: time.monotonic() > until)

    def _judge(self, note: dict[str, Any], *, overdue: bool) -> None:
        pid = int(note.get("pid", 0))
        if alive(pid) and not note.get("leaving"):
            raise GuardError(
                f"the data directory {self.path.parent} is already in use by process {pid}"
            )
        if overdue:
            raise GuardError(
                f"servers left over in {self.path.parent} do not stop (PostgreSQL process "
                f"{note.get('postgres')}, Valkey process {note.get('valkey')})"
            )
        if not alive(int(note.get("guard", 0))):
            self._end_orphans(note)

    @staticmethod
    def _end_orphans(note: dict[str, Any]) -> None:
        # The lock is held, its guard is dead: these are our own servers with nobody left to care.
        for name, by in (("postgres", signal.SIGQUIT), ("valkey", signal.SIGTERM)):
            pid = int(note.get(name, 0))
            if pid > 0 and name in command_of(pid):
                os.kill(pid, by)

    def read(self) -> dict[str, Any]:
        """The note of the present or last holder; empty if there is none yet."""
        try:
            return json.loads(os.pread(self.fd, 4096, 0) or b"{}")
        except ValueError:
            return {}

    def write(self, **note: Any) -> None:
        """Leave a note for whoever finds the lock taken."""
        text = json.dumps({"pid": self.owner_pid, "guard": os.getpid(), **note}).encode()
        os.pwrite(self.fd, text.ljust(1024), 0)


class Guard:
    """Both servers of one data directory."""

    def __init__(self, order: dict[str, Any], inbox: Inbox) -> None:
        self.order = order
        self.inbox = inbox
        self.durable: bool = order["durable"]
        self.user: dict[str, Any] = {}
        if order["user"]:
            uid, gid = order["user"]
            self.user = {"user": uid, "group": gid, "extra_groups": []}
        self.lock = Lock(order["lock"], order["pid"]) if order["lock"] else None
        self.sockets = Path()
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.dead_told: set[str] = set()

    def up(self) -> None:
        """Take the lock, make the data directory if there is none, start both servers."""
        if self.lock:
            self._clear(self.lock.take(self.inbox))
        self.sockets = Path(tempfile.mkdtemp(prefix="w-", dir=self.order["sockets_base"]))
        self._own(self.sockets)
        self._note()
        self._initdb()
        self.start("valkey")
        self.start("postgres")
        self._note()
        self.ready("valkey")
        self.ready("postgres")

    def _own(self, directory: Path) -> None:
        if self.user:
            os.chown(directory, self.user["user"], self.user["group"])

    def _clear(self, last: dict[str, Any]) -> None:
        """Remove what a killed run left: its socket directory and its pid file."""
        old = Path(str(last.get("sockets") or "/"))
        if (
            old.name.startswith("w-")
            and old.is_dir()
            and old.parent == Path(self.order["sockets_base"])
        ):
            shutil.rmtree(old, ignore_errors=True)
        (Path(self.order["postgres"]["data"]) / "postmaster.pid").unlink(missing_ok=True)

    def _note(self, *, leaving: bool = False) -> None:
        if self.lock:
            pids = {name: child.pid for name, child in self.children.items()}
            self.lock.write(sockets=str(self.sockets), leaving=leaving, **pids)

    def _spawn(self, arguments: list[str], log: str, *, by: int, text: str = "") -> Any:
        def die_with_guard() -> None:
            if _LIBC is not None:
                _LIBC.prctl(1, by)  # PR_SET_PDEATHSIG: also when the guard itself is killed

        with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
            child = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=SERVER_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
                preexec_fn=die_with_guard,
                pass_fds=[self.lock.fd] if self.lock else [],
                **self.user,
            )
        assert child.stdin is not None
        child.stdin.write(text.encode())
        child.stdin.close()
        return child

    def _initdb(self) -> None:
        postgres = self.order["postgres"]
        data = Path(postgres["data"])
        if (data / "PG_VERSION").exists():
            return
        say(progress="making a new PostgreSQL data directory")
        # Made beside its place and renamed: half a directory never looks like a whole one.
        fresh = data.with_name(data.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._own(fresh)
        # A file for a moment: another user may not open our pipe as /dev/stdin.
        secret = fresh.with_name("password")
        secret.write_text(postgres["password"] + "\n")
        self._own(secret)
        arguments = [
            f"{postgres['bin']}/initdb", "-D", str(fresh), "-U", "postgres", "-E", "UTF8",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
            "-A", "scram-sha-256", f"--pwfile={secret}", "--data-checksums",
        ]  # fmt: skip
        if not self.durable:
            arguments.append("--no-sync")
        child = self._spawn(arguments, postgres["log"], by=signal.SIGKILL)
        self.children["initdb"] = child
        try:
            self.inbox.wait_for(lambda: child.poll() is not None)
        finally:
            secret.unlink()
        del self.children["initdb"]
        if child.returncode:
            raise GuardError(
                f"PostgreSQL could not make its data directory: {self._last('postgres')}"
            )
        if data.exists():
            data.rmdir()
        fresh.rename(data)

    def start(self, name: str) -> None:
        """Spawn one server; ready(name) waits until it answers."""
        part = self.order[name]
        if name == "postgres":
            settings = {**part["settings"], "unix_socket_directories": str(self.sockets)}
            arguments = [f"{part['bin']}/postgres", "-D", part["data"]]
            for key, value in settings.items():
                arguments += ["-c", f"{key}={value}"]
            child = self._spawn(arguments, part["log"], by=signal.SIGQUIT)
        else:
            # The configuration goes in by stdin: a password in arguments is everybody's to read.
            config = {**part["settings"], "unixsocket": str(self.sockets / "valkey.sock")}
            text = "".join(f"{key} {value}\n" for key, value in config.items())
            text += f'dir "{part["data"]}"\nrequirepass {part["password"]}\n'
            child = self._spawn([part["binary"], "-"], part["log"], by=signal.SIGTERM, text=text)
        self.children[name] = child
        self.dead_told.discard(name)

    def ready(self, name: str) -> None:
        """Wait until the server answers, however long its recovery takes."""
        started = told = time.monotonic()
        answers = self._postgres_answers if name == "postgres" else self._valkey_answers
        while not answers():
            now = time.monotonic()
            if self.children[name].poll() is not None:
                if not self._may_try_again(name, now - started):
                    raise GuardError(f"{name} ended while starting: {self._last(name)}")
                self.start(name)
            if now - told > 2:
                say(progress=f"{name} is recovering its data ({now - started:.0f} s so far)")
                told = now
            until = now + POLL_SECONDS
            self.inbox.wait_for(lambda until=until: time.monotonic() > until)

    def _last(self, name: str) -> str:
        """The last lines of a server's log and where to read the rest."""
        log = Path(self.order[name]["log"])
        return " / ".join(log.read_text(errors="replace").splitlines()[-3:]) + f" ({log})"

    def _may_try_again(self, name: str, waited_seconds: float) -> bool:
        # Backends of a killed postmaster need a moment to notice; until then its memory is in use.
        tail = Path(self.order[name]["log"]).read_bytes()[-600:]
        lingering = b"still in use" in tail or b"lock file" in tail
        return name == "postgres" and lingering and waited_seconds < SHARED_MEMORY_WAIT_SECONDS

    def _postgres_answers(self) -> bool:
        arguments = [f"{self.order['postgres']['bin']}/pg_isready", "-q", "-h", str(self.sockets)]
        return subprocess.run(arguments, check=False, env=SERVER_ENVIRONMENT).returncode == 0

    def _valkey_answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(2)
                link.connect(str(self.sockets / "valkey.sock"))
                link.sendall(f"AUTH {self.order['valkey']['password']}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    chunk = link.recv(1024)
                    if not chunk:
                        return False
                    answer += chunk
                return b"+PONG" in answer
        except OSError:
            return False

    def pids(self) -> dict[str, Any]:
        """What the parent needs to reach the servers."""
        return {
            "sockets": str(self.sockets),
            "postgres": self.children["postgres"].pid,
            "valkey": self.children["valkey"].pid,
        }

    def serve(self) -> None:
        """Obey commands and report deaths until the parent stops us or dies."""
        while True:
            command = self.inbox.line(0.2)
            if command and command["do"] == "restart":
                self._restart(command["name"])
            for name, child in self.children.items():
                if child.poll() is not None and name not in self.dead_told:
                    self.dead_told.add(name)
                    say(died=name, log=self.order[name]["log"])

    def _restart(self, name: str) -> None:
        self._end({name: signal.SIGINT if name == "postgres" else signal.SIGTERM}, 30.0)
        self.start(name)
        self._note()
        self.ready(name)
        say(restarted=self.pids())

    def _end(self, signals: Mapping[str, int], patience_seconds: float) -> None:
        for name, by in signals.items():
            if self.children[name].poll() is None:
                self.children[name].send_signal(by)
        deadline = time.monotonic() + patience_seconds
        for name in signals:
            try:
                self.children[name].wait(max(0.05, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.children[name].kill()
                self.children[name].wait()

    def down(self) -> None:
        """Stop both servers: calmly when asked, at once when the parent is dead."""
        calmly = self.durable and self.inbox.asked_to_stop
        self._note(leaving=True)
        how = {"postgres": signal.SIGINT if calmly else signal.SIGQUIT, "valkey": signal.SIGTERM}
        if not self.durable:
            how["valkey"] = signal.SIGKILL
        signals = {name: how.get(name, signal.SIGKILL) for name in self.children}
        self._end(signals, 60.0 if calmly else 6.0)
        if self.sockets != Path():
            shutil.rmtree(self.sockets, ignore_errors=True)
        for directory in self.order["remove"]:
            shutil.rmtree(directory, ignore_errors=True)


def main() -> int:
    """Run one guard from its order on stdin to the end of its servers."""
    os.umask(0o077)
    inbox = Inbox()
    order = None
    while order is None:
        order = inbox.line(1.0)

    def leave(*_: object) -> None:
        inbox.asked_to_stop = True

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    signal.signal(signal.SIGTERM, leave)
    guard = Guard(order, inbox)
    try:
        guard.up()
        say(ready=guard.pids())
        guard.serve()
    except ParentGone:
        return 0
    except (GuardError, OSError) as failure:
        inbox.asked_to_stop = True
        say(error=str(failure))
        return 1
    finally:
        guard.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
