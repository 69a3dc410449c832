"""The launcher: its children start in order, are watched, and never outlive it."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra import children, running, stack

CHECKOUT = Path(__file__).resolve().parents[2]
SLEEPER = ["-c", "import subprocess, sys; subprocess.run([sys.executable, '-c', "
           "'import time; print(1, flush=True); time.sleep(600)'])"]  # fmt: skip
LAUNCHER = """
import json, os, sys, time
from pathlib import Path
from infra import children
family = children.Children(Path(sys.argv[1]))
family.start("polite", json.loads(sys.argv[2]), os.environ)
family.start("stubborn", ["-c", "import signal, time; signal.signal(15, signal.SIG_IGN); "
                          "print(1, flush=True); time.sleep(600)"], os.environ)
for name in ("polite", "stubborn"):
    family.wait(name, lambda: "1" in family.written(name), timeout_seconds=30)
print(json.dumps([process.pid for process in family.processes.values()]), flush=True)
sys.stdin.read()
"""


def until(condition: Callable[[], bool], *, timeout_seconds: float = 20.0) -> None:
    """Poll; the time limit only ends a test that has failed."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def members(group: int) -> list[str]:
    """Processes of a group that run (a zombie only waits to be reaped)."""
    listing = subprocess.run(
        ["ps", "-axo", "pgid=,stat=,command="], capture_output=True, text=True, check=True
    ).stdout
    rows = (line.split(None, 2) for line in listing.splitlines())
    return [row[-1] for row in rows if int(row[0]) == group and not row[1].startswith("Z")]


@pytest.fixture
def family(tmp_path: Path) -> Iterator[children.Children]:
    made = children.Children(tmp_path)
    yield made
    made.close()


def test_a_killed_launcher_leaves_no_child_and_no_grandchild(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(tmp_path), json.dumps(SLEEPER)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as launcher:
        assert launcher.stdout is not None
        groups = json.loads(launcher.stdout.readline())
        assert all(members(group) for group in groups)
        launcher.kill()
    until(lambda: not any(members(group) for group in groups))


def test_ending_a_child_ends_what_it_started(family: children.Children) -> None:
    family.start("parent", SLEEPER, os.environ)
    family.wait("parent", lambda: "1" in family.written("parent"), timeout_seconds=30)
    group = family.processes["parent"].pid
    assert len(members(group)) == 2
    family.end("parent")
    until(lambda: not members(group))
    assert "parent" not in family.processes


def test_a_child_that_dies_while_starting_is_quoted(family: children.Children) -> None:
    family.start("broken", ["-c", "print('the reason'); raise SystemExit(3)"], os.environ)
    with pytest.raises(children.ChildError, match=r"'broken' ended.*(?s:.)*the reason"):
        family.port_of("broken")


def test_a_step_repeats_its_lines_and_keeps_them(family: children.Children) -> None:
    said: list[str] = []
    family.run("step", ["-c", "print('one'); print('two')"], os.environ, said.append)
    assert [line.strip() for line in said] == ["one", "two"]
    assert family.log("step").read_text() == "one\ntwo\n"
    assert stat.S_IMODE(family.log("step").stat().st_mode) == 0o600
    with pytest.raises(children.ChildError, match="the step 'step' failed"):
        family.run("step", ["-c", "raise SystemExit(1)"], os.environ, said.append)


def made(tmp_path: Path, **env: str) -> running.Running:
    """A stack of which nothing is started yet."""
    keys = {f"WALLET_{key}": value for key, value in env.items()}
    return running.Running(
        data=tmp_path / "data", port=0, api_processes=1, env=keys, progress=lambda _: None
    )


def test_a_taken_port_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(running.StackError, match=f"port {port} is taken"):
            stack.start(data=tmp_path / "data", port=port)


def test_naming_only_one_of_the_two_servers_is_refused(tmp_path: Path) -> None:
    env = {"WALLET_DATABASE_URL": "postgresql://user@127.0.0.1/wallet"}
    with pytest.raises(running.StackError, match="set both"):
        stack.start(data=tmp_path / "data", env=env)


def test_keys_of_our_own_environment_do_not_reach_a_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WALLET_DATABASE_URL", "postgresql://elsewhere/production")
    with made(tmp_path, LOG_LEVEL="warning") as one:
        assert "WALLET_DATABASE_URL" not in one.env
        assert one.env["WALLET_LOG_LEVEL"] == "warning"
        assert one.env["WALLET_PUBLIC_URL"] == one.api_url


def health(url: str) -> int:
    with urllib.request.urlopen(url + "/healthz", timeout=10) as answer:
        return answer.status


def test_a_killed_gateway_is_noticed_and_returns_on_its_port(tmp_path: Path) -> None:
    with made(tmp_path) as one:
        one.gateways_up()
        before = (one.sms_url, one.bank_url)
        assert [health(url) for url in before] == [200, 200]
        os.kill(one.processes["bank"].pid, signal.SIGKILL)
        one.processes["bank"].wait()
        with pytest.raises(running.StackError, match="'bank' ended by itself"):
            one.tend()
        one.restart("bank")
        assert (one.sms_url, one.bank_url) == before
        assert health(one.bank_url) == 200
        pids = [process.pid for process in one.processes.values()]
    assert not any(members(pid) for pid in pids)


def test_secrets_of_the_gateways_are_in_no_command_line(tmp_path: Path) -> None:
    with made(tmp_path, BANK_SECRET="only-for-this-bank-0123456789") as one:
        one.gateways_up()
        assert not any(
            "only-for-this-bank" in line for p in one.processes.values() for line in members(p.pid)
        )


def test_a_command_runs_with_the_settings_of_the_running_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for key in stack.wallet_environment():
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr(stack.children, "CHECKOUT", tmp_path)  # a .env of the checkout is not ours
    env = {"WALLET_DATABASE_URL": "postgresql://running"}
    note = tmp_path / "running.json"
    note.write_text(json.dumps({"pid": os.getpid(), "env": env}))
    command = [sys.executable, "-c", "import os; print(os.environ['WALLET_DATABASE_URL'])"]
    assert stack.main(["--data", str(tmp_path), "exec", *command]) == 0
    assert capfd.readouterr().out == "postgresql://running\n"
