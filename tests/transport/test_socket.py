"""Sockets: the protocol's refusals, one bad document, silent and stuck peers, ended sessions."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct

import pytest
import websockets
from websockets.asyncio.client import connect

from infra import metrics
from tests.transport import serving
from transport import careful, limits

QUICK = limits.Limits(
    init_timeout_seconds=0.2,
    ping_interval_seconds=0.1,
    silence_seconds=0.5,
    send_timeout_seconds=0.5,
    sweep_interval_seconds=0.1,
)
PATIENT = limits.Limits(operations_per_socket=3)


class Peer:
    """A client that says exactly what a test wants."""

    def __init__(self, connection):
        self.connection = connection

    async def say(self, *messages):
        for message in messages:
            await self.connection.send(
                message if isinstance(message, (str, bytes)) else json.dumps(message)
            )

    async def hear(self):
        async with asyncio.timeout(10):
            while True:
                message = json.loads(await self.connection.recv())
                if message["type"] != "ping":
                    return message

    async def init(self, **payload):
        await self.say({"type": "connection_init", "payload": payload})
        assert await self.hear() == {"type": "connection_ack"}

    async def subscribe(self, id, query, **payload):
        await self.say({"id": id, "type": "subscribe", "payload": {"query": query, **payload}})

    async def close_code(self):
        async with asyncio.timeout(10):
            with contextlib.suppress(websockets.ConnectionClosed):
                while True:
                    await self.connection.recv()
        return self.connection.close_code


@pytest.fixture
def world():
    return serving.World()


@contextlib.asynccontextmanager
async def peer_of(port, **options):
    options = {"subprotocols": ["graphql-transport-ws"], "compression": None, **options}
    async with connect(f"ws://127.0.0.1:{port}/graphql", **options) as connection:
        yield Peer(connection)


@pytest.fixture
async def peer(world):
    with serving.served(serving.build(world, PATIENT)) as port:
        async with peer_of(port) as connected:
            yield connected


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it holds in the server's thread
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "frame",
    ["5", "[]", "null", '"x"', "{", "", "[" * 50_000, b"binary", {"type": 5}, {"type": "what"}, {},
     {"type": "connection_init", "payload": "text"}, {"type": "connection_init", "payload": []},
     {"type": "ping", "id": 7}, "x" * 65_537],
)  # fmt: skip
async def test_a_frame_that_is_no_message_closes_with_4400(peer, frame, capfd):
    await peer.say(frame)
    assert await peer.close_code() == 4400
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "payload",
    ["x", None, {}, {"query": 5}, {"query": "{ hello }", "variables": []}, {"query": None}],
)
async def test_a_subscribe_message_without_a_proper_payload_closes_with_4400(peer, payload):
    await peer.init()
    await peer.say({"id": "1", "type": "subscribe", "payload": payload})
    assert await peer.close_code() == 4400


async def test_messages_out_of_turn_close_with_the_protocols_codes(world):
    start = {"type": "connection_init"}
    wait = {"id": "1", "type": "subscribe"}
    wait["payload"] = {"query": 'subscription { ticks(then: "wait") { number } }'}
    with serving.served(serving.build(world, PATIENT)) as port:
        for messages, code in [
            ((wait,), 4401),
            ((start, start), 4429),
            ((start, wait, wait), 4409),
        ]:
            async with peer_of(port) as peer:
                await peer.say(*messages)
                assert await peer.close_code() == code
        async with peer_of(port, subprotocols=["graphql-ws"]) as peer:
            assert await peer.close_code() == 4406
    assert world.open_streams == 0


async def test_a_foreign_page_is_refused_at_the_handshake(world):
    with serving.served(serving.build(world)) as port:
        for origin in ("https://elsewhere.example", "null"):
            with pytest.raises(websockets.InvalidStatus):
                async with peer_of(port, origin=origin):
                    pass
        async with peer_of(port, origin=f"http://127.0.0.1:{port}") as peer:
            await peer.init()


@pytest.mark.parametrize(("token", "code"), [("forged", 4401), ("ended", 4403)])
async def test_bad_and_ended_sessions_are_told_apart(peer, token, code):
    await peer.say({"type": "connection_init", "payload": {"authorization": token}})
    assert await peer.close_code() == code


async def test_a_bad_document_ends_its_own_operation_only(peer):
    await peer.init()
    await peer.subscribe("live", 'subscription { ticks(count: 1, then: "wait") { number } }')
    assert (await peer.hear())["id"] == "live"
    for id, query, code in [
        ("a", "subscription {", "GRAPHQL_PARSE_FAILED"),
        ("b", "subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("c", "{ __schema { __typename } }", "INTROSPECTION_DISABLED"),
        ("d", "query A { hello } query B { hello }", "OPERATION_NOT_FOUND"),
        ("e", "subscription($n: Int!) { ticks(count: $n) { number } }", "BAD_USER_INPUT"),
    ]:
        await peer.subscribe(id, query)
        message = await peer.hear()
        assert (message["id"], message["type"]) == (id, "error")
        assert message["payload"][0]["extensions"]["code"] == code
    await peer.subscribe("f", "{ hello }")
    assert await peer.hear() == {
        "id": "f",
        "type": "next",
        "payload": {"data": {"hello": "Hello world"}},
    }
    assert await peer.hear() == {"id": "f", "type": "complete"}


async def test_every_event_has_a_fresh_context(peer):
    await peer.init()
    await peer.subscribe("1", "subscription { ticks { loadedBefore } }")
    events = [await peer.hear() for _ in range(3)]
    assert [event["payload"]["data"]["ticks"]["loadedBefore"] for event in events] == [0, 0, 0]


@pytest.mark.parametrize(("then", "code"), [("fail", "INTERNAL"), ("deny", "UNAUTHENTICATED")])
async def test_a_stream_that_fails_ends_with_a_coded_error(peer, then, code):
    await peer.init()
    await peer.subscribe("1", f'subscription {{ ticks(count: 1, then: "{then}") {{ number }} }}')
    assert (await peer.hear())["type"] == "next"
    message = await peer.hear()
    assert message["type"] == "error"
    assert message["payload"][0]["extensions"]["code"] == code
    assert "secret" not in json.dumps(message)


async def test_operations_are_bounded_and_their_ids_free_again_after_complete(peer, world):
    await peer.init()
    waiting = 'subscription { ticks(count: 0, then: "wait") { number } }'
    for id in "123":
        await peer.subscribe(id, waiting)
    await peer.subscribe("4", waiting)
    refused = await peer.hear()
    assert (refused["id"], refused["type"]) == ("4", "error")
    assert refused["payload"][0]["extensions"]["code"] == "TOO_MANY_OPERATIONS"
    await until(lambda: world.open_streams == 3)
    await peer.say({"id": "2", "type": "complete"})
    await peer.subscribe("2", "{ hello }")
    assert (await peer.hear())["payload"] == {"data": {"hello": "Hello world"}}
    assert (await peer.hear())["type"] == "complete"
    await until(lambda: world.open_streams == 2)


async def test_a_client_ping_is_answered(peer):
    await peer.say({"type": "ping"})
    assert await peer.hear() == {"type": "pong"}


async def test_a_peer_that_never_introduces_itself_is_closed_with_4408(world):
    with serving.served(serving.build(world, QUICK)) as port:
        async with peer_of(port) as peer:
            assert await peer.close_code() == 4408


async def test_the_server_pings_and_lets_a_silent_peer_reconnect(world):
    with serving.served(serving.build(world, QUICK)) as port:
        async with peer_of(port) as silent:
            await silent.init()
            assert json.loads(await silent.connection.recv()) == {"type": "ping"}
            assert await silent.close_code() == 4499


async def test_an_ended_session_closes_its_sockets_with_4403_on_the_sweep(world):
    bounds = limits.Limits(sweep_interval_seconds=0.05)
    with serving.served(serving.build(world, bounds)) as port:
        async with peer_of(port) as signed_in, peer_of(port) as anonymous:
            await signed_in.init(authorization="somebody")
            await anonymous.init()
            await until(lambda: world.checks > 2)
            world.closes_with = 4403
            assert await signed_in.close_code() == 4403
            await anonymous.subscribe("1", "{ hello }")
            assert (await anonymous.hear())["type"] == "next"


async def test_a_hint_makes_the_sockets_it_concerns_check_at_once(world):
    bounds = limits.Limits(sweep_interval_seconds=3600)
    application = serving.build(world, bounds)
    with serving.served(application) as port:
        async with peer_of(port) as concerned, peer_of(port) as other:
            await concerned.init(authorization="somebody")
            await other.init(authorization="else")
            world.closes_with = 4403
            mine = concerned.connection.local_address[1]
            assert mine != other.connection.local_address[1]
            callers = [one.caller for one in application.endpoint.sockets._open]
            assert len(callers) == 2
            chosen = callers[0]
            # The server's loop runs in another thread, and an Event belongs to its loop.
            loop = next(iter(application.endpoint.sockets._open))._loop
            loop.call_soon_threadsafe(application.endpoint.recheck, lambda caller: caller is chosen)
            done, pending = await asyncio.wait(
                [asyncio.ensure_future(concerned.close_code()),
                 asyncio.ensure_future(other.close_code())],
                return_when=asyncio.FIRST_COMPLETED,
            )  # fmt: skip
            assert [task.result() for task in done] == [4403]
            assert world.checks == 1
            for task in pending:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


async def test_a_peer_that_does_not_read_is_let_go(world, monkeypatch):
    """Speaks the protocol by hand on a socket with a small buffer, and then stops reading."""
    monkeypatch.setattr(careful, "UNREAD_SECONDS", 0.5)
    with serving.served(serving.build(world, QUICK)) as port, socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", port))
        stuck.settimeout(10)
        stuck.sendall(
            b"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        )
        assert stuck.recv(1024).startswith(b"HTTP/1.1 101")
        query = {"query": "subscription { flood }"}
        for message in (
            {"type": "connection_init"},
            {"id": "1", "type": "subscribe", "payload": query},
        ):
            text = json.dumps(message).encode()
            mask = b"\0\0\0\0"
            stuck.sendall(struct.pack("!BB", 0x81, 0x80 | len(text)) + mask + text)
        await until(lambda: world.open_streams == 1)
        await until(lambda: world.open_streams == 0)
        await until(lambda: 'wallet_socket_closes_total{code="1013"}' in metrics.render().decode())
        # The close frame waits behind what nobody will read, but not for ever.
        await until(lambda: is_refused(stuck))


def is_refused(line: socket.socket) -> bool:
    try:
        line.sendall(b"\x8a\x80\0\0\0\0")  # a pong
    except ConnectionError:
        return True
    return False


async def test_more_sockets_than_allowed_are_sent_away_for_a_while(world):
    with serving.served(serving.build(world, limits.Limits(sockets=1))) as port:
        async with peer_of(port) as first:
            await first.init()
            async with peer_of(port) as second:
                assert await second.close_code() == 1013


async def test_streams_end_when_their_peer_vanishes_or_the_server_stops(world):
    waiting = 'subscription { ticks(count: 1, then: "wait") { number } }'
    with serving.served(serving.build(world)) as port:
        async with peer_of(port) as vanishing:
            await vanishing.init()
            await vanishing.subscribe("1", waiting)
            await vanishing.hear()
            vanishing.connection.transport.abort()
            await until(lambda: world.open_streams == 0)
        lasting = await connect(
            f"ws://127.0.0.1:{port}/graphql", subprotocols=["graphql-transport-ws"]
        )
        peer = Peer(lasting)
        await peer.init()
        await peer.subscribe("1", waiting)
        await peer.hear()
        closing = asyncio.ensure_future(peer.close_code())
    assert await closing == 1012
    assert world.open_streams == 0
