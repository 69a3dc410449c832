"""The public npm clients, in their default settings, as a resident's app on the real stack."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import running
from tests import javascript
from tests.demo import __main__ as demo
from tests.demo import documents
from tests.demo.client import Client
from tests.demo.stage import Person, Stage

HISTORY = """query { viewer { transactions(first: 30) { edges { node { id } } } } }"""
GIVE_UP_SECONDS = 90
RESIDENTS = {"graphql-ws": (0, 1), "urql": (1, 0)}


def logins(stack: running.Running, role: str) -> list[dict[str, str]]:
    city = json.loads(Path(stack.env["WALLET_DEMO_FILE"]).read_text(encoding="utf-8"))
    return [login for login in city["logins"] if login["role"] == role]


class App:
    """The script as a process, and what it has said."""

    def __init__(self, stack: running.Running, kind: str, **who: str) -> None:
        url = f"{stack.api_url}/graphql"
        self.process = javascript.start("wallet.mjs", kind, url, "ws" + url.removeprefix("http"))
        self._watch = threading.Timer(GIVE_UP_SECONDS, self.process.kill)
        self._watch.start()
        self._tell(who)
        self.said: list[dict[str, Any]] = []

    def _tell(self, what: dict[str, str]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def until(self, key: str, value: Any) -> None:
        """Listen until it says so; what it printed instead if it ends before."""
        if any(line.get(key) == value for line in self.said):
            return
        raw = []
        assert self.process.stdout
        for line in self.process.stdout:
            raw.append(line)
            try:
                self.said.append(json.loads(line))
            except json.JSONDecodeError:
                continue
            if self.said[-1].get(key) == value:
                return
        raise AssertionError(f"ended without {key}={value}:\n" + "".join(raw[-20:]))

    def events(self) -> list[str]:
        """The transactions in the order in which their events came."""
        return [line["id"] for line in self.said if "event" in line]

    def end(self) -> int:
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(timeout=GIVE_UP_SECONDS)

    def close(self) -> None:
        self._watch.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def app(stack: running.Running, request: pytest.FixtureRequest) -> Iterator[App]:
    residents = logins(stack, "RESIDENT")
    payer, payee = (residents[number] for number in RESIDENTS[request.param])
    device = demo.world_of(stack.env).devices[payer["phone"]]
    opened = App(
        stack,
        request.param,
        phone=payer["phone"],
        password=payer["password"],
        pin=payer["pin"],
        to=payee["phone"],
        deviceId=device["id"],
        deviceKey=device["key"],
    )
    yield opened
    opened.close()


async def send(client: Client, *, phone: str, pin: str) -> str:
    """Move a little money; the id of the transaction."""
    result = await client.mutate(
        documents.TRANSFER,
        phone=phone,
        proof={"pin": pin},
        amount={"amount": "0.10", "currencyCode": "CNY"},
        idempotencyKey=str(uuid.uuid4()),
    )
    assert result["__typename"] == "CreateTransferSuccess", result
    return result["transaction"]["id"]


@pytest.mark.parametrize("app", RESIDENTS, indirect=True, ids=str)
async def test_a_client_signs_in_reads_pays_and_misses_nothing_over_a_kill_of_the_api(
    stack: running.Running, app: App, request: pytest.FixtureRequest
) -> None:
    residents = logins(stack, "RESIDENT")
    payer, payee = (residents[number] for number in RESIDENTS[request.node.callspec.params["app"]])
    await asyncio.to_thread(app.until, "live", True)
    assert {"me": payer["name"], "role": "RESIDENT"} in app.said
    stack.kill("api")
    await asyncio.to_thread(app.until, "closed", 1006)
    await asyncio.to_thread(stack.restart, "api")

    person = Person.of_city(Stage(demo.world_of(stack.env), lambda _: None), payer)
    async with person.client as client:
        await person.sign_in()
        # Three while the client may still be away, and one when it is back.
        for _ in range(2):
            await send(client, phone=payee["phone"], pin=payer["pin"])
        for _ in range(2):
            last = await send(client, phone=payee["phone"], pin=payer["pin"])
            await asyncio.to_thread(app.until, "id", last)
        page = await client.run(HISTORY)
    posted = [edge["node"]["id"] for edge in page["viewer"]["transactions"]["edges"]][::-1]

    heard = app.events()
    assert len(heard) >= 5
    assert heard == posted[posted.index(heard[0]) :], "each once, in order, none missing"
    assert await asyncio.to_thread(app.end) == 0
