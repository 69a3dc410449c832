"""The GraphQL endpoint: GraphQL over HTTP here, and the door to the sockets.

Follows the GraphQL-over-HTTP specification: the media type is negotiated, a client of
`application/graphql-response+json` gets 400 for a request that never ran, an older client of
`application/json` gets 200. Queries may come by GET from a GraphQL client: one that names the
GraphQL media type, as a link or a form cannot, or sends a preflight-forcing header. Credentials
travel in a header only, never in a cookie, so a foreign page's GET would speak for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

import msgspec
import strawberry
from graphql import OperationType

from infra import metrics
from transport import arrival, documents, engine, failures, origins, rates, socket
from transport import limits as limits_module

_RESPONSE_JSON = "application/graphql-response+json"
_JSON = "application/json"
_PREFLIGHT = ("authorization", "x-apollo-operation-name", "apollo-require-preflight")
_PREFLIGHT += ("graphql-require-preflight",)
_encode = msgspec.json.Encoder().encode

ContextFactory = Callable[[arrival.Arrival], Awaitable[Any]]
MustClose = Callable[[Any], Awaitable[int | None]]


class Request(msgspec.Struct):
    """The body of a request, or the payload of a socket's subscribe message."""

    query: str | None = None
    variables: dict[str, Any] | None = None
    operationName: str | None = None
    extensions: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(Request).decode
_decode_map = msgspec.json.Decoder(dict[str, Any] | None).decode


class Declined(Exception):
    """A request that HTTP itself refuses."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message, self.headers = status, code, message, headers


class GraphQLEndpoint:
    """An ASGI application. `context_factory` makes the context of a request or a socket;
    `must_close` gives the code that a socket has to be closed with by now, or None.
    """

    def __init__(
        self,
        schema: strawberry.Schema,
        context_factory: ContextFactory,
        *,
        limits: limits_module.Limits | None = None,
        must_close: MustClose | None = None,
        allowed: origins.Origins | None = None,
        gate: rates.Unlimited | None = None,
    ) -> None:
        self.limits = limits or limits_module.Limits()
        self.engine = engine.Engine(schema, self.limits)
        self.context_factory = context_factory
        self.must_close = must_close
        self.gate = gate or rates.Unlimited()
        self.sockets = socket.Sockets(self, allowed or origins.Origins())

    def recheck(self, concerns: Callable[[Any], bool] | None = None) -> None:
        """Makes the sockets whose context `concerns` (all by default) check their session now."""
        self.sockets.recheck(concerns)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self.sockets.serve(scope, receive, send)
            return
        came = arrival.of(scope)
        headers: dict[str, str] = {}
        media = _JSON
        try:
            media = acceptable(came.headers.get("accept", "")[:1000])
            self.gate.ensure_open(came)
            status, response = await self._answer(scope, receive, came, media)
        except Declined as declined:
            status, headers = declined.status, declined.headers
            response = {
                "errors": [failures.answer(declined.message, declined.code, came.request_id)]
            }
        except rates.TooFast as refused:
            status, headers = 429, {"retry-after": str(refused.retry_after_seconds)}
            response = {"errors": [failures.too_fast(refused, came.request_id)]}
        await _respond(send, status, response, media, headers)

    async def _read(self, scope: Any, receive: Any, came: arrival.Arrival) -> Request:
        if scope["method"] == "GET":
            return _from_query_string(scope["query_string"], came)
        if scope["method"] != "POST":
            raise Declined(405, "METHOD_NOT_ALLOWED", "Only GET and POST.", allow="GET, POST")
        if not is_json(came.headers.get("content-type", "")[:200]):
            raise Declined(415, "UNSUPPORTED_MEDIA_TYPE", "Send application/json in UTF-8.")
        if came.headers.get("content-encoding", "identity") != "identity":
            raise Declined(415, "UNSUPPORTED_MEDIA_TYPE", "Send the body uncompressed.")
        body = await read_body(
            receive,
            came.headers,
            self.limits.body_bytes,
            timeout_seconds=self.limits.body_seconds,
        )
        return decoded(body)

    async def _plan(self, scope: Any, receive: Any, came: arrival.Arrival) -> engine.Plan:
        """What to run. What isn't run is counted here, what is when its caller is known."""
        try:
            request = await self._read(scope, receive, came)
            if not request.query:
                raise Declined(400, "BAD_REQUEST", "There is no query.")
            plan = self.engine.plan(request.query, request.operationName, request.variables)
            _check_kind(plan.kind, scope["method"])
        except Declined:
            await self.gate.refused(came, cost=1)
            raise
        except documents.Unacceptable:
            await self.gate.refused(came, cost=rates.REFUSED_DOCUMENT_COST)
            raise
        return plan

    async def _answer(
        self, scope: Any, receive: Any, came: arrival.Arrival, media: str
    ) -> tuple[int, dict[str, Any]]:
        never_ran = 400 if media == _RESPONSE_JSON else 200
        try:
            plan = await self._plan(scope, receive, came)
            caller = await self.gate.caller(came, plan.fields, self.context_factory)
            response = await self.engine.execute(plan, caller)
        except documents.Unacceptable as refused:
            return never_ran, failures.refusal(refused.errors, came.request_id)
        except (Declined, rates.TooFast):
            raise
        except failures.Unavailable as busy:
            raise Declined(503, "OVERLOADED", str(busy), **{"retry-after": "1"}) from None
        except Exception as error:
            bug = failures.unexpected(error, event="request_failed", request_id=came.request_id)
            return 500, {"errors": [bug]}
        return (200 if "data" in response else never_ran), response


def _check_kind(kind: OperationType, method: str) -> None:
    if kind is OperationType.SUBSCRIPTION:
        raise Declined(400, "SUBSCRIPTION_NOT_SUPPORTED", "Subscriptions need a WebSocket.")
    if method == "GET" and kind is not OperationType.QUERY:
        raise Declined(405, "METHOD_NOT_ALLOWED", "GET is for queries only.", allow="POST")


@lru_cache(256)
def acceptable(accept: str) -> str:
    """The media type to answer in; Declined (406) if none we have is wanted."""
    if not accept:
        return _JSON
    best = (0.0, 0)
    chosen = None
    for position, part in enumerate(accept.split(",")):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        media = {_RESPONSE_JSON: _RESPONSE_JSON, _JSON: _JSON, "*/*": _JSON}.get(kind)
        media = _RESPONSE_JSON if kind == "application/*" else media
        rank = (_quality(parameters), -position)
        if media and rank[0] > 0 and (chosen is None or rank > best):
            best, chosen = rank, media
    if chosen is None:
        raise Declined(406, "NOT_ACCEPTABLE", f"We answer {_RESPONSE_JSON} or {_JSON}.")
    return chosen


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


@lru_cache(64)
def is_json(content_type: str) -> bool:
    """Whether a Content-Type is JSON in UTF-8."""
    kind, *parameters = (word.strip().lower() for word in content_type.split(";"))
    charsets = [word.split("=", 1)[1].strip('"') for word in parameters if "charset=" in word]
    return kind == _JSON and all(charset in ("utf-8", "utf8") for charset in charsets)


async def read_body(
    receive: Any, headers: dict[str, str], bytes_max: int, *, timeout_seconds: float = 15.0
) -> bytes:
    """The whole body; Declined (413) as soon as it is known to be larger than `bytes_max`.

    Declined (408) if it takes longer than the timeout: memory is not held for who sends a byte
    a minute.
    """
    declared = headers.get("content-length", "")
    too_large = Declined(
        413, "PAYLOAD_TOO_LARGE", f"At most {bytes_max} bytes.", connection="close"
    )
    if declared.isdigit() and (len(declared) > 12 or int(declared) > bytes_max):
        raise too_large
    try:
        async with asyncio.timeout(timeout_seconds):
            message = await receive()
            body = message.get("body", b"")
            while message.get("more_body") and len(body) <= bytes_max:
                message = await receive()
                body += message.get("body", b"")
    except TimeoutError:
        raise Declined(
            408, "REQUEST_TIMEOUT", "The body took too long.", connection="close"
        ) from None
    if len(body) > bytes_max:
        raise too_large
    if message["type"] == "http.disconnect":
        raise Declined(400, "BAD_REQUEST", "The body is incomplete.")
    return body


def decoded(body: bytes) -> Request:
    """The request in a JSON body; Declined (400) if it isn't one."""
    try:
        return _decode(body)
    except msgspec.ValidationError:
        raise Declined(
            400,
            "BAD_REQUEST",
            "The body must be an object with `query` (text), and optionally `variables` (object), "
            "`operationName` (text) and `extensions` (object).",
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Declined(400, "BAD_REQUEST", "The body is not JSON.") from None


def _from_query_string(query_string: bytes, came: arrival.Arrival) -> Request:
    names_it = _RESPONSE_JSON in came.headers.get("accept", "")
    if not names_it and not any(name in came.headers for name in _PREFLIGHT):
        raise Declined(
            405,
            "PREFLIGHT_REQUIRED",
            "GET needs the header GraphQL-Require-Preflight or Authorization.",
            allow="POST",
        )
    try:
        given = parse_qs(query_string.decode("ascii"), keep_blank_values=True, max_num_fields=8)
        return Request(
            query=given.get("query", [None])[0],
            variables=_map_in(given, "variables"),
            operationName=given.get("operationName", [""])[0] or None,
            extensions=_map_in(given, "extensions"),
        )
    except (ValueError, RecursionError):
        raise Declined(400, "BAD_REQUEST", "The query string is malformed.") from None


def _map_in(given: dict[str, list[str]], name: str) -> dict[str, Any] | None:
    text = given.get(name, [""])[0]
    return _decode_map(text.encode()) if text else None


async def _respond(
    send: Any, status: int, response: dict[str, Any], media: str, headers: dict[str, str]
) -> None:
    body = _encode(response)
    fields = [
        (b"content-type", f"{media}; charset=utf-8".encode()),
        (b"content-length", str(len(body)).encode()),
        (b"vary", b"Accept"),
        (b"cache-control", b"no-store"),
        *((name.encode(), value.encode()) for name, value in headers.items()),
    ]
    metrics.HTTP_RESPONSES.labels(status).inc()
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
