"""Files behind links: sent whole, never stored, and the link's token in no log."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

import httpx
import pytest

from tests.transport import serving
from transport import arrival, downloads, failures, rates

TOKEN = "f00d" * 16


@dataclass
class File:
    content: list[bytes]
    breaks: bool = False

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.content))

    async def chunks(self) -> AsyncIterator[bytes]:
        for number, chunk in enumerate(self.content):
            if self.breaks and number:
                raise RuntimeError("gone")
            yield chunk


async def find(token: str) -> File | None:
    if token == "busy":
        raise failures.Unavailable("busy")
    if token == "breaks":
        return File([b"PK", b"x" * 100_000], breaks=True)
    return File([b"PK", b"x" * 100_000, b"end"]) if token == TOKEN else None


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    application = serving.build(
        serving.World(), extra_routes=downloads.routes({"exports": (find, "data.zip")})
    )
    with (
        serving.served(application) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield client


def test_a_file_is_sent_whole_to_be_saved_and_never_to_be_stored(
    http: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    response = http.get(f"/exports/{TOKEN}")

    assert response.status_code == 200
    assert response.content == b"PK" + b"x" * 100_000 + b"end"
    assert response.headers["content-disposition"] == 'attachment; filename="data.zip"'
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["x-content-type-options"] == "nosniff"
    logged, until = "", time.monotonic() + 10
    while "/exports/…" not in logged:  # the line is written after the answer
        assert time.monotonic() < until
        logged += "".join(capfd.readouterr())
    assert TOKEN not in logged


def test_a_wrong_link_another_method_and_a_busy_house_say_so(
    http: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = http.get("/exports/nothing-of-ours")
    assert (wrong.status_code, wrong.headers["cache-control"]) == (404, "no-store")
    assert http.post(f"/exports/{TOKEN}").status_code == 405
    assert http.head(f"/exports/{TOKEN}").status_code == 405
    assert http.get(f"/exports/{TOKEN}/").status_code in (307, 404)
    busy = http.get("/exports/busy")
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "2")
    assert TOKEN not in "".join(capfd.readouterr())


class Barred(rates.Unlimited):
    """Who has asked too fast."""

    async def operation(
        self, came: arrival.Arrival, fields: Sequence[str] = (), *, holder: str = ""
    ) -> None:
        raise rates.TooFast(7, "slower")


def test_whoever_tries_links_too_fast_is_held_up_and_nothing_is_looked_for() -> None:
    looked: list[str] = []

    async def look(token: str) -> File | None:
        looked.append(token)
        return None

    routes = downloads.routes({"exports": (look, "data.zip")}, gate=Barred())
    with serving.served(serving.build(serving.World(), extra_routes=routes)) as port:
        refused = httpx.get(f"http://127.0.0.1:{port}/exports/{TOKEN}", trust_env=False)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
    assert looked == []


def test_a_file_that_ends_early_is_not_taken_for_a_whole_one(http: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        http.get("/exports/breaks")
