"""Subscriptions (and any operation) over WebSockets, by the graphql-transport-ws protocol.

What a client meets beyond the protocol: the server pings, so that a sleeping phone is noticed and
reconnects; a bad document ends its own operation only; a peer that doesn't read is let go; a
session that ends closes the socket. Codes are chosen for what clients do with them:
graphql-ws tries again after 1012, 1013, 4403 and 4499, and gives up after 4400, 4401, 4406,
4409 and 4429.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from infra import logging, metrics
from transport import arrival, documents, engine, failures, origins, rates

if TYPE_CHECKING:
    from transport import graphql

PROTOCOL = "graphql-transport-ws"
SESSION_ENDED = 4403  # sign in again; a client that doesn't is turned away with the same code
COME_BACK = 1012  # connect anew at once, with the same session
_REASONS = {SESSION_ENDED: "Session ended", COME_BACK: "Your account has changed"}
_log = logging.get("socket")
_encode = msgspec.json.Encoder().encode


class Message(msgspec.Struct):
    """A frame of the protocol."""

    type: str
    id: str | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")


class Subscribe(msgspec.Struct):
    """The payload of a subscribe message."""

    query: str
    variables: dict[str, Any] | None = None
    operationName: str | None = None
    extensions: dict[str, Any] | None = None


_decode_message = msgspec.json.Decoder(Message).decode
_decode_subscribe = msgspec.json.Decoder(Subscribe).decode
_decode_parameters = msgspec.json.Decoder(dict[str, Any] | None).decode


class Close(Exception):
    """Ends a socket; `code` None means that the peer has gone already."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(code)
        self.code, self.reason = code, reason


class Sockets:
    """All sockets of an endpoint."""

    def __init__(self, endpoint: graphql.GraphQLEndpoint, allowed: origins.Origins) -> None:
        self._endpoint = endpoint
        self._allowed = allowed
        self._open: set[Socket] = set()
        self._held: Counter[str] = Counter()

    def recheck(self, concerns: Callable[[Any], bool] | None = None) -> None:
        """See `GraphQLEndpoint.recheck`."""
        for socket in self._open:
            if socket.caller is not None and (concerns is None or concerns(socket.caller)):
                socket.recheck.set()

    async def serve(self, scope: Any, receive: Any, send: Any) -> None:
        """One socket, from its handshake to its end."""
        came = arrival.of(scope)
        await receive()
        if not self._allowed.allow(scope):
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            self._endpoint.gate.ensure_open(came)
            await self._endpoint.gate.operation(came)
        except rates.TooFast as refused:
            await _turn_away(scope, send, refused.retry_after_seconds)
            return
        known = PROTOCOL in scope.get("subprotocols", ())
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL if known else None})
        if not known:
            await send({"type": "websocket.close", "code": 4406, "reason": PROTOCOL})
            return
        if len(self._open) >= self._endpoint.limits.sockets:
            await send({"type": "websocket.close", "code": 1013, "reason": "Busy"})
            return
        socket = Socket(self._endpoint, came, receive, send, self._hold)
        if not self._hold(socket):
            await send({"type": "websocket.close", "code": 1013, "reason": "Too many sockets"})
            return
        self._open.add(socket)
        metrics.SOCKETS.inc()
        try:
            await socket.live()
        finally:
            self._open.discard(socket)
            self._let_go(socket)
            metrics.SOCKETS.dec()

    def _hold(self, socket: Socket) -> bool:
        """Count a socket for its address, or for its session once it has one; False if too many.

        Many people share the address of a carrier, so only strangers are counted by it.
        """
        limits = self._endpoint.limits
        signed_in = socket.caller is not None and socket.caller.session == "valid"
        holder = f"session {socket.credentials}" if signed_in else f"from {socket.network}"
        maximum = limits.sockets_per_session if signed_in else limits.sockets_per_stranger
        if holder == socket.holder:
            return True
        self._let_go(socket)
        if self._held[holder] >= maximum:
            return False
        self._held[holder] += 1
        socket.holder = holder
        return True

    def _let_go(self, socket: Socket) -> None:
        if socket.holder:
            self._held[socket.holder] -= 1
            if not self._held[socket.holder]:
                del self._held[socket.holder]
        socket.holder = ""


async def _turn_away(scope: Any, send: Any, retry_after_seconds: int) -> None:
    """429 in place of a handshake, where the server can say it."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1013})
        return
    headers = [(b"retry-after", str(retry_after_seconds).encode()), (b"content-length", b"0")]
    start = {"type": "websocket.http.response.start", "status": 429, "headers": headers}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": b""})


class Socket:
    """One connection. Its tasks live and end together; any of them ends all by raising Close."""

    def __init__(
        self,
        endpoint: graphql.GraphQLEndpoint,
        came: arrival.Arrival,
        receive: Any,
        send: Any,
        hold: Callable[[Socket], bool],
    ) -> None:
        self._endpoint = endpoint
        self._limits = endpoint.limits
        self._came = came
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._initialised = False
        self._tasks = asyncio.TaskGroup()
        self._hold = hold
        self.caller: Any = None
        self.recheck = asyncio.Event()
        self.holder = ""
        self.network = arrival.network(came.address)

    @property
    def credentials(self) -> str:
        """What the peer showed, as a key: not to be written anywhere."""
        return self._came.authorization

    async def live(self) -> None:
        """Serves until one side ends it."""
        try:
            async with self._tasks:
                for part in (self._read(), self._keep_alive(), self._watch_session()):
                    self._tasks.create_task(part)
        except* Close as ended:
            await self._close(_first(ended))
        except* Exception as failed:
            _log.error("socket_failed", request_id=self._came.request_id, exc_info=failed)
            await self._close(Close(1011, "Internal error"))

    async def _close(self, close: Close) -> None:
        if close.code is None:
            return
        metrics.SOCKET_CLOSES.labels(close.code).inc()
        frame = {"type": "websocket.close", "code": close.code, "reason": close.reason}
        try:
            async with asyncio.timeout(1):
                await self._send(frame)
        except (TimeoutError, RuntimeError, OSError):
            _log.debug("close_not_sent", request_id=self._came.request_id)

    async def _read(self) -> None:
        while True:
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                raise Close(None)
            self._heard_at = self._loop.time()
            text = event.get("text")
            if text is None or len(text) > self._limits.message_characters:
                raise Close(4400, "Expected a text message of at most 64 KB")
            try:
                message = _decode_message(text)
                await self._handle(message)
            except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError, RecursionError):
                raise Close(4400, "Malformed message") from None

    async def _handle(self, message: Message) -> None:
        match message.type:
            case "connection_init":
                await self._initialise(_decode_parameters(message.payload))
            case "ping":
                await self._say({"type": "pong"})
            case "pong":
                pass
            case "subscribe":
                await self._subscribe(message.id, message.payload)
            case "complete":
                if task := self._operations.pop(message.id or "", None):
                    task.cancel()
            case _:
                raise Close(4400, "Unknown message type")

    async def _initialise(self, parameters: dict[str, Any] | None) -> None:
        if self._initialised:
            raise Close(4429, "Too many initialisation requests")
        self._initialised = True
        self._came.parameters = parameters or {}
        try:
            caller = await self._endpoint.context_factory(self._came)
        except failures.Unavailable:
            raise Close(1013, "Busy") from None
        if caller.session == "bad":
            raise Close(4401, "Unauthorized")
        if caller.session == "ended":
            raise Close(SESSION_ENDED, _REASONS[SESSION_ENDED])
        self.caller = caller
        if not self._hold(self):
            raise Close(1013, "Too many sockets")
        await self._say({"type": "connection_ack"})

    async def _subscribe(self, id: str | None, payload: msgspec.Raw) -> None:
        if self.caller is None:
            raise Close(4401, "Unauthorized")
        request = _decode_subscribe(payload)
        if not id:
            raise Close(4400, "A subscribe message needs an id")
        if id in self._operations:
            raise Close(4409, f"Subscriber for {id[:64]} already exists")
        if len(self._operations) >= self._limits.operations_per_socket:
            error = failures.answer(
                "Too many operations on this socket.", "TOO_MANY_OPERATIONS", self._came.request_id
            )
            await self._say({"id": id, "type": "error", "payload": [error]})
            return
        self._operations[id] = self._tasks.create_task(self._run(id, request))

    async def _run(self, id: str, request: Subscribe) -> None:
        metrics.SUBSCRIPTIONS.inc()
        try:
            await self._run_plan(id, await self._plan(request))
        except documents.Unacceptable as refused:
            response = failures.refusal(refused.errors, self._came.request_id)
            await self._end(id, response["errors"])
        except rates.TooFast as refused:
            await self._end(id, [failures.too_fast(refused, self._came.request_id)])
        except Close:
            raise
        except Exception as error:
            await self._end(id, [self._presented(error)])
        finally:
            metrics.SUBSCRIPTIONS.dec()
            self._forget(id)

    async def _plan(self, request: Subscribe) -> engine.Plan:
        gate = self._endpoint.gate
        gate.ensure_open(self._came)
        try:
            plan = self._endpoint.engine.plan(
                request.query, request.operationName, request.variables
            )
        except documents.Unacceptable:
            await gate.refused(self._came, cost=rates.REFUSED_DOCUMENT_COST)
            raise
        await gate.operation(self._came, plan.fields, holder=self.caller.holder)
        return plan

    async def _run_plan(self, id: str, plan: engine.Plan) -> None:
        if plan.kind.value != "subscription":
            response = await self._endpoint.engine.execute(plan, self.caller.fresh())
            if not await self._next(id, response):
                return
        else:
            responses = self._endpoint.engine.subscribe(plan, self.caller.fresh())
            try:
                async for response in responses:
                    if not await self._next(id, response):
                        return
            finally:
                await responses.aclose()
        self._forget(id)
        await self._say({"id": id, "type": "complete"})

    async def _next(self, id: str, response: dict[str, Any]) -> bool:
        """Sends a response; False if the operation never ran and has been ended instead."""
        if "data" not in response:
            await self._end(id, response["errors"])
            return False
        await self._say({"id": id, "type": "next", "payload": response})
        return True

    async def _end(self, id: str, errors: list[dict[str, Any]]) -> None:
        self._forget(id)
        await self._say({"id": id, "type": "error", "payload": errors})

    def _forget(self, id: str) -> None:
        # The id may be in use again by the time a cancelled operation gets here.
        if self._operations.get(id) is asyncio.current_task():
            del self._operations[id]

    def _presented(self, error: Exception) -> dict[str, Any]:
        cause = failures.innermost(error)
        shown = self.caller.presented(cause)
        if shown:
            code, message = shown
            return failures.answer(message, code, self._came.request_id)
        return failures.unexpected(
            cause, event="operation_failed", request_id=self._came.request_id
        )

    async def _say(self, message: dict[str, Any]) -> None:
        frame = {"type": "websocket.send", "text": _encode(message).decode()}
        try:
            async with asyncio.timeout(self._limits.send_timeout_seconds):
                await self._send(frame)
        except TimeoutError:
            raise Close(1013, "Not reading") from None
        except (RuntimeError, OSError):
            # The server raises these once the peer has gone.
            raise Close(None) from None

    async def _keep_alive(self) -> None:
        await asyncio.sleep(self._limits.init_timeout_seconds)
        if not self._initialised:
            raise Close(4408, "Connection initialisation timeout")
        ends_at = self._loop.time() + self._limits.socket_seconds
        while True:
            await asyncio.sleep(self._limits.ping_interval_seconds)
            if self._loop.time() > ends_at:
                # An access token that was stolen once must not listen for as long as its session.
                raise Close(COME_BACK, "Come back with your newest token")
            if self._loop.time() - self._heard_at > self._limits.silence_seconds:
                raise Close(4499, "Silent for too long")
            await self._say({"type": "ping"})

    async def _watch_session(self) -> None:
        """Ends the socket soon after its session. When that can't be found out, it stays."""
        while True:
            try:
                async with asyncio.timeout(self._limits.sweep_interval_seconds):
                    await self.recheck.wait()
            except TimeoutError:
                pass
            self.recheck.clear()
            if self.caller is None or self.caller.session == "none":
                continue
            code = await self._must_close()
            if code is not None:
                raise Close(code, _REASONS.get(code, ""))

    async def _must_close(self) -> int | None:
        if self._endpoint.must_close is None:
            return None
        try:
            return await self._endpoint.must_close(self.caller)
        except Exception as error:
            _log.warning("session_check_failed", request_id=self._came.request_id, exc_info=error)
            return None


def _first(group: BaseExceptionGroup) -> Close:
    closes = [error for error in group.exceptions if isinstance(error, Close)]
    return next((close for close in closes if close.code is None), closes[0])
