"""One running stack: its servers, gateways, API and worker, and how each starts and ends."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

from infra import children, embedded

WORKER_BACKOFF_MIN_SECONDS = 0.5
WORKER_BACKOFF_MAX_SECONDS = 30.0
GATEWAY_SECRET = "development-only-secret-do-not-use-elsewhere"  # noqa: S105 (of our sandbox)
GATEWAYS = ("sms", "push", "mail", "bank")
API = ["-m", "transport.serve"]


class StackError(Exception):
    """Why the stack can't run, in words for the person at the terminal."""


def _reserve(port: int) -> tuple[int, socket.socket]:
    """A port of 127.0.0.1 that is ours to listen on (0: a free one); raises StackError."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind(("127.0.0.1", port))
    except OSError:
        holder.close()
        raise StackError(
            f"port {port} is taken by another program; stop it or set WALLET_PORT"
        ) from None
    found = holder.getsockname()[1]
    if sys.platform != "linux":
        holder.close()  # elsewhere a bound socket would keep the API itself away
    return found, holder


class Running:
    """A stack that runs; it ends at ``stop()`` or at the end of its ``with`` block."""

    def __init__(
        self,
        *,
        data: Path,
        port: int,
        api_processes: int,
        env: Mapping[str, str],
        progress: Callable[[str], None],
    ) -> None:
        self.data = data
        self.api_processes = api_processes
        self.servers: embedded.Servers | None = None
        self._progress = progress
        self._worker_backoff_seconds = WORKER_BACKOFF_MIN_SECONDS
        self._worker_retry_at = 0.0
        self._worker_started_at = 0.0
        self.port, self._holder = _reserve(port)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("WALLET_")} | {
            "WALLET_ENVIRONMENT": "development",
            "WALLET_PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "WALLET_SMS_SECRET": GATEWAY_SECRET,
            "WALLET_PUSH_SECRET": GATEWAY_SECRET + "-push",
            "WALLET_MAIL_SECRET": GATEWAY_SECRET + "-mail",
            "WALLET_BANK_SECRET": GATEWAY_SECRET + "-bank",
            "WALLET_BANK_CALLBACK_SECRET": GATEWAY_SECRET + "-callback",
            "WALLET_DEMO_FILE": str(data / "demo.json"),
            **env,
            "WALLET_PORT": str(self.port),
        }
        data.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
        self.children = children.Children(data / "logs")

    @property
    def processes(self) -> dict[str, subprocess.Popen[bytes]]:
        """Our children by name: ``api``, ``worker``, and the gateways."""
        return self.children.processes

    @property
    def api_url(self) -> str:
        """Base URL of the API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def sms_url(self) -> str:
        """Base URL of the SMS gateway."""
        return self.env["WALLET_SMS_URL"]

    @property
    def push_url(self) -> str:
        """Base URL of the push gateway."""
        return self.env["WALLET_PUSH_URL"]

    @property
    def mail_url(self) -> str:
        """Base URL of the mail gateway."""
        return self.env["WALLET_MAIL_URL"]

    @property
    def bank_url(self) -> str:
        """Base URL of the bank."""
        return self.env["WALLET_BANK_URL"]

    @property
    def database_url(self) -> str:
        """The API's login."""
        return self.env["WALLET_DATABASE_URL"]

    @property
    def worker_database_url(self) -> str:
        """The worker's login."""
        return self.env.get("WALLET_WORKER_DATABASE_URL") or self.database_url

    @property
    def superuser_url(self) -> str:
        """The superuser of an embedded server, in the wallet's database."""
        assert self.servers is not None
        return self.servers.superuser_url(embedded.DATABASE)

    @property
    def redis_url(self) -> str:
        """Valkey."""
        return self.env["WALLET_REDIS_URL"]

    def up(self, *, demo: bool) -> None:
        """Start everything in order; each step says what it does and how long it took."""
        self.database_up()
        with self._step("starting the sandbox gateways (SMS, push, mail, bank)"):
            self.gateways_up()
        if demo and self.env["WALLET_ENVIRONMENT"] == "development":
            with self._step("looking after the demo city"):
                self.children.run("demo", ["-m", "services.demo"], self.env, self._progress)
        with self._step("starting API and worker"):
            self._start("worker")
            self._start("api")

    def database_up(self) -> None:
        """Both servers (unless the settings name others), migrated, with the app's logins."""
        self._servers()
        with self._step("migrating the database"):
            self.children.run("migrate", ["-m", "infra.migrate"], self.env, self._progress)
            if self.servers is not None:
                self.servers.grant_logins()

    def _servers(self) -> None:
        named = [bool(self.env.get(f"WALLET_{name}_URL")) for name in ("DATABASE", "REDIS")]
        if all(named):
            self._progress("using the PostgreSQL and the Valkey that the settings name")
            return
        if any(named):
            raise StackError("set both WALLET_DATABASE_URL and WALLET_REDIS_URL, or neither")
        with self._step("starting PostgreSQL and Valkey"):
            servers = embedded.start(self.data, progress=self._progress)
        self.servers = servers
        self.env |= {
            "WALLET_DATABASE_URL": servers.postgres_url("wallet_api"),
            "WALLET_WORKER_DATABASE_URL": servers.postgres_url("wallet_worker"),
            "WALLET_MIGRATION_DATABASE_URL": servers.postgres_url(embedded.OWNER),
            "WALLET_REDIS_URL": servers.redis_url,
        }

    def gateways_up(self) -> None:
        """The sandbox gateways whose addresses the settings do not name."""
        for name in GATEWAYS:
            if not self.env.get(f"WALLET_{name.upper()}_URL"):
                self.env[f"WALLET_{name.upper()}_URL"] = "http://127.0.0.1:0"
                self._start(name)

    def _start(self, name: str) -> None:
        if name in GATEWAYS:
            self._start_gateway(name)
        elif name == "worker":
            # The only login that may settle the bank's money is the worker's.
            env = {**self.env, "WALLET_DATABASE_URL": self.worker_database_url}
            self._worker_started_at = time.monotonic()
            self.children.start("worker", ["-m", "arq", "workers.WorkerSettings"], env)
        else:
            arguments = [*API, "--port", str(self.port), "--workers", str(self.api_processes)]
            self.children.start("api", arguments, self.env)
            self.children.wait("api", self._api_answers, timeout_seconds=60.0)

    def _start_gateway(self, name: str) -> None:
        key = f"WALLET_{name.upper()}"
        port = self.env[f"{key}_URL"].rsplit(":", 1)[1]
        arguments = ["-m", f"sandbox.{name}", "--port", port, "--data", str(self.data / name)]
        env = {**self.env, "SANDBOX_SECRET": self.env[f"{key}_SECRET"]}
        if name == "bank":
            arguments += ["--callback-url", f"{self.api_url}/callbacks/bank"]
            env["SANDBOX_CALLBACK_SECRET"] = self.env["WALLET_BANK_CALLBACK_SECRET"]
        self.children.start(name, arguments, env)
        # The port stays the same over restarts: whoever holds the URL finds it again.
        self.env[f"{key}_URL"] = f"http://127.0.0.1:{self.children.port_of(name)}"

    def _api_answers(self) -> bool:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            link.request("GET", "/readyz")
            return link.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            link.close()

    def restart(self, name: str) -> None:
        """Start a child or an embedded server again, after stopping it if it still runs."""
        if name in ("postgres", "valkey"):
            assert self.servers is not None
            self.servers.restart(name)
        else:
            self.children.end(name)
            self._start(name)

    def kill(self, name: str) -> None:
        """``kill -9`` of a child (with all its processes) or of an embedded server."""
        if name in ("postgres", "valkey"):
            assert self.servers is not None
            pid = self.servers.postgres_pid if name == "postgres" else self.servers.valkey_pid
            os.kill(pid, signal.SIGKILL)
        else:
            self.children.kill(name)

    def tend(self) -> None:
        """One look at everything: starts a dead worker again, raises StackError for the rest."""
        for name, log in (self.servers.fallen() if self.servers else {}).items():
            tail = Path(log).read_text(errors="replace").splitlines()[-15:] if log else []
            raise StackError("\n    ".join([f"{name} ended by itself ({log})", *tail]))
        for name, process in list(self.processes.items()):
            if process.poll() is None:
                continue
            if name != "worker":
                raise StackError(self.children.obituary(name, f"'{name}' ended by itself"))
            self._bury_worker()
        if "worker" not in self.processes and time.monotonic() >= self._worker_retry_at:
            self._progress("starting the worker again")
            self._start("worker")

    def _bury_worker(self) -> None:
        """An outage of Valkey ends an arq worker: wait longer each time that one dies young."""
        now = time.monotonic()
        if now - self._worker_started_at > 2 * WORKER_BACKOFF_MAX_SECONDS:
            self._worker_backoff_seconds = WORKER_BACKOFF_MIN_SECONDS
        self._progress(self.children.obituary("worker", "the worker ended by itself"))
        self.children.forget("worker")
        self._worker_retry_at = now + self._worker_backoff_seconds
        self._worker_backoff_seconds = min(
            self._worker_backoff_seconds * 2, WORKER_BACKOFF_MAX_SECONDS
        )

    @contextlib.contextmanager
    def _step(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        self._progress(f"{what} …")
        yield
        self._progress(f"  done in {time.monotonic() - started:.1f} s")

    def stop(self) -> None:
        """The API drains first, then the worker, the gateways, and the servers last."""
        for name in ("api", "worker", *GATEWAYS):
            self.children.end(name)
        self.children.close()
        if self.servers is not None:
            self.servers.stop()
        self._holder.close()

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
