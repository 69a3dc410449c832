"""How many sockets one stranger or one session may hold, and for how long."""

from __future__ import annotations

import contextlib

from tests.transport import serving
from tests.transport.test_socket import Peer, peer_of, until
from transport import arrival, limits


async def test_a_stranger_holds_only_so_many_and_those_who_signed_in_are_not_counted_by_address():
    bounds = limits.Limits(sockets_per_stranger=2, sockets_per_session=3)
    with serving.served(serving.build(serving.World(), bounds)) as port:
        async with contextlib.AsyncExitStack() as stack:

            async def another() -> Peer:
                return await stack.enter_async_context(peer_of(port))

            for _ in range(3):
                await (await another()).init(authorization="somebody")
            for _ in range(2):
                await (await another()).init()
            assert await (await another()).close_code() == 1013


async def test_a_session_holds_only_so_many_and_a_closed_one_makes_room():
    bounds = limits.Limits(sockets_per_session=1)
    application = serving.build(serving.World(), bounds)
    with serving.served(application) as port:
        async with peer_of(port) as first, peer_of(port) as second, peer_of(port) as other:
            await first.init(authorization="somebody")
            await other.init(authorization="else")
            await second.say({"type": "connection_init", "payload": {"authorization": "somebody"}})
            assert await second.close_code() == 1013
        await until(lambda: not application.endpoint.sockets._held)
        async with peer_of(port) as third:
            await third.init(authorization="somebody")


async def test_an_old_socket_is_told_to_come_back():
    bounds = limits.Limits(init_timeout_seconds=0.1, ping_interval_seconds=0.1, socket_seconds=0.2)
    with serving.served(serving.build(serving.World(), bounds)) as port:
        async with peer_of(port) as peer:
            await peer.init(authorization="somebody")
            assert await peer.close_code() == 1012


def test_a_household_is_one_address():
    assert arrival.network("2001:db8::1") == arrival.network("2001:db8::ffff")
    assert arrival.network("2001:db8::1") != arrival.network("2001:db8:0:1::1")
    assert arrival.network("::ffff:192.0.2.1") == arrival.network("192.0.2.1") == "192.0.2.1"
    assert arrival.network("") == ""
