"""How a server misbehaves: settings that outlive a restart, read and set at ``/behaviour``."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Annotated, Generic, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox import serving

Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=3_600_000)]
Rate = Annotated[float, msgspec.Meta(ge=0, le=1)]

TABLE = "create table if not exists behaviour (id integer primary key check (id = 1), json blob);"

_Settings = TypeVar("_Settings", bound="Basic")


class Basic(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What any server can do wrong. A ``…_next`` counts down with each request that it spoils."""

    fail_next: Count = 0
    timeout_after_success_next: Count = 0
    delay_ms: Milliseconds = 0


class Behaviour(Generic[_Settings]):
    """The settings of one server, kept in its database."""

    def __init__(self, database: sqlite3.Connection, kind: type[_Settings]) -> None:
        self._database = database
        self._kind = kind
        row = database.execute("select json from behaviour").fetchone()
        self.now = msgspec.json.decode(row["json"], type=kind) if row else kind()

    def spend(self, name: str) -> int:
        """Take one from a counter; what stood there before, so 0 means that none was left."""
        left: int = getattr(self.now, name)
        if left:
            setattr(self.now, name, left - 1)
            self._keep()
        return left

    async def before_answer(self) -> None:
        """Wait ``delay_ms``, then fail if a failure is due: nothing has been done yet."""
        if self.now.delay_ms:
            await asyncio.sleep(self.now.delay_ms / 1000)
        if self.spend("fail_next"):
            raise serving.Refused(503, "UNAVAILABLE", "misbehaviour: fail_next")

    def routes(self) -> list[Route]:
        """GET shows, POST changes the keys it names, DELETE makes the server well-behaved."""
        return [Route("/behaviour", self._serve, methods=["GET", "POST", "DELETE"])]

    async def _serve(self, request: Request) -> Response:
        if request.method == "POST":
            body = await serving.control_body(request)
            changes = serving.decode(body, dict[str, object])
            merged = msgspec.structs.asdict(self.now) | changes
            self.now = serving.decode(msgspec.json.encode(merged), self._kind)
            self._keep()
        elif request.method == "DELETE":
            self.now = self._kind()
            self._keep()
        return JSONResponse(msgspec.to_builtins(self.now))

    def _keep(self) -> None:
        self._database.execute(
            "insert into behaviour (id, json) values (1, ?) "
            "on conflict (id) do update set json = excluded.json",
            (msgspec.json.encode(self.now),),
        )
