"""Child processes of the launcher: each with a log, in a group of its own, never left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
LOG_MAX_BYTES = 10 * 1024 * 1024
POLL_SECONDS = 0.05


class ChildError(Exception):
    """A child that did not start or ended by itself, with the last lines of its log."""


class Children:
    """Starts, watches and ends processes; whatever is alive ends with this process."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        logs.mkdir(parents=True, exist_ok=True)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._log_starts: dict[str, int] = {}
        self._tether = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("tether.py"))],
            stdin=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
        )

    def log(self, name: str) -> Path:
        """Where a child writes."""
        return self.logs / f"{name}.log"

    def start(self, name: str, arguments: list[str], env: Mapping[str, str]) -> None:
        """Run ``python arguments…`` at the checkout's root under this name."""
        log = self.log(name)
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size > LOG_MAX_BYTES:
                log.replace(log.with_suffix(".log.1"))
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with open(descriptor, "ab") as output:
            self._log_starts[name] = output.seek(0, os.SEEK_END)
            self.processes[name] = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**env, "PYTHONUNBUFFERED": "1"},
                cwd=CHECKOUT,
                start_new_session=True,
            )
        self._tie("+", self.processes[name].pid)

    def run(
        self,
        name: str,
        arguments: list[str],
        env: Mapping[str, str],
        progress: Callable[[str], None],
    ) -> None:
        """Run a step to its end, repeating its lines; raises ChildError if it fails."""
        self.start(name, arguments, env)
        shown = 0
        while True:
            ended = self.processes[name].poll() is not None
            lines = self.written(name).split("\n")
            for line in lines[shown : len(lines) - 1]:
                progress(f"    {line}")
            shown = max(shown, len(lines) - 1)
            if ended:
                break
            time.sleep(POLL_SECONDS)
        failed = self.processes[name].returncode
        self.forget(name)
        if failed:
            raise ChildError(self.obituary(name, f"the step '{name}' failed"))

    def written(self, name: str) -> str:
        """What the child has written since its latest start."""
        with self.log(name).open("rb") as log:
            log.seek(self._log_starts[name])
            return log.read().decode(errors="replace")

    def port_of(self, name: str, *, timeout_seconds: float = 30.0) -> int:
        """The port that a gateway prints as ``{"port": N}`` when it is ready."""
        found = 0

        def printed() -> bool:
            nonlocal found
            for line in self.written(name).splitlines():
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    found = int(json.loads(line)["port"])
            return bool(found)

        self.wait(name, printed, timeout_seconds=timeout_seconds)
        return found

    def wait(self, name: str, ready: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Poll until ready() is true; raises ChildError if the child ends or is too slow."""
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            if self.processes[name].poll() is not None:
                raise ChildError(self.obituary(name, f"'{name}' ended while it was starting"))
            if time.monotonic() > deadline:
                raise ChildError(
                    self.obituary(name, f"'{name}' is not ready after {timeout_seconds:.0f} s")
                )
            time.sleep(POLL_SECONDS)

    def obituary(self, name: str, sentence: str) -> str:
        """The sentence, the last lines of the log, and where to read the rest."""
        lines = self.written(name).splitlines()[-15:]
        return "\n".join(
            [f"{sentence}. Its last lines ({self.log(name)}):"] + ["    " + line for line in lines]
        )

    def end(self, name: str, *, timeout_seconds: float = 15.0) -> None:
        """Ask a child to stop, wait, and kill its group if it does not."""
        process = self.processes.get(name)
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout_seconds)
        self.kill(name)

    def kill(self, name: str) -> None:
        """Kill a child and everything it started, and wait until it is gone."""
        process = self.processes[name]
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.forget(name)

    def forget(self, name: str) -> None:
        """A child has ended: its number may soon be somebody else's."""
        self._tie("-", self.processes.pop(name).pid)

    def _tie(self, sign: str, pid: int) -> None:
        assert self._tether.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._tether.stdin.write(f"{sign}{pid}\n".encode())
            self._tether.stdin.flush()

    def close(self) -> None:
        """Kill what is left and let the tether go."""
        for name in list(self.processes):
            self.kill(name)
        if self._tether.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._tether.stdin.close()
        self._tether.wait()
