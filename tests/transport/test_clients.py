"""The public clients and checkers, in their default settings, against the real endpoint."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests import javascript
from tests.transport import serving


@pytest.fixture(scope="module")
def node() -> str:
    """The path of node, with the packages of tests/js installed."""
    return javascript.node()


def run(node: str, script: str, *arguments: str) -> list[dict]:
    done = subprocess.run(
        [node, script, *arguments], cwd=javascript.JS, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_audit_of_graphql_http_passes(node):
    with serving.served(serving.build(serving.World())) as port:
        (outcome,) = run(node, "audit.mjs", f"http://127.0.0.1:{port}/graphql", "staff")
    assert outcome == {"total": 61, "failed": []}


def test_urql_queries_changes_and_subscribes(node):
    with serving.served(serving.build(serving.World())) as port:
        address = f"127.0.0.1:{port}/graphql"
        events = run(node, "urql.mjs", f"http://{address}", f"ws://{address}")
    assert events == [
        {"query": {"data": {"hello": "Hello urql"}}},
        {"mutation": {"data": {"pay": {"amount": 5}}}},
        {"subscription": [1, 2, 3]},
    ]


def test_graphql_ws_does_all_three_and_comes_back_after_a_restart(node):
    port = serving.free_port()
    world = serving.World()
    with serving.served(serving.build(world), port=port):
        process = subprocess.Popen(
            [node, "graphql_ws.mjs", f"ws://127.0.0.1:{port}/graphql"],
            cwd=javascript.JS,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(json.loads(line))
            if lines[-1].get("seen") == 1:
                break
    with serving.served(serving.build(world), port=port):
        rest, _ = process.communicate(timeout=60)
    lines += [json.loads(line) for line in rest.splitlines()]
    assert process.returncode == 0
    assert [line for line in lines if "closed" not in line] == [
        {"query": [{"data": {"hello": "Hello ws"}}]},
        {"mutation": [{"data": {"pay": {"amount": 5}}}]},
        {
            "subscription": [
                {"data": {"ticks": {"number": number, "loadedBefore": 0}}} for number in (1, 2, 3)
            ]
        },
        {"live": 1, "seen": 1},
        {"live": 1, "seen": 2},
        {"done": True},
    ]
    assert {"closed": 1012} in lines
    assert world.open_streams == 0
