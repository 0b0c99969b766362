"""`hubble watch peers` against a server, in this process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from api.lane.server import Server
from api.lane.service import service_methods
from api.lane.wire import Framed, frame
from api.proto.peer import peer_pb2
from api.proto.peer.peer_pb2 import ChangeNotification, NotifyRequest
from cli.app import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.lane.call import Call
    from tests.cli.conftest import Hubble, Screen

CHANGES = [
    ChangeNotification(
        name="c/n1",
        address="1.1.1.1:4244",
        type=peer_pb2.PEER_ADDED,
        tls=peer_pb2.TLS(server_name="n1.x"),
    ),
    ChangeNotification(name="n2\x1b[31m", address="h", type=peer_pb2.PEER_DELETED),
    ChangeNotification(name="n2", type=peer_pb2.PEER_UPDATED, tls=peer_pb2.TLS()),
    ChangeNotification.FromString(b"\x18\x63"),  # a type of a later version
    ChangeNotification(),
]
# Columns are filled with blanks also where nothing follows.
LINES = [
    "PEER_ADDED   1.1.1.1:4244 c/n1 (TLS.ServerName: n1.x)",
    "PEER_DELETED h n2^[[31m",
    "PEER_UPDATED  n2 (TLS.ServerName: )",
    "99            ",
    "UNKNOWN       ",
]


class Peers:
    async def notify(self, _: Call, __: NotifyRequest) -> AsyncIterator[Framed]:
        for change in CHANGES:
            yield Framed(frame(change.SerializeToString()), 1)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    server = Server(service_methods(peer_pb2.DESCRIPTOR.services_by_name["Peer"], Peers()))
    try:
        yield await server.listen("127.0.0.1:0")
    finally:
        await server.stop(0)


@pytest.mark.parametrize("words", [["watch", "peers"], ["w", "peer"]])
async def test_prints_changes(words: list[str], address: str, screen: Screen) -> None:
    line = [*words, "--server", address]
    assert await asyncio.to_thread(run, line, screen.surroundings()) == 0
    assert screen.out.splitlines() == LINES


async def test_a_server_without_peers(hubble: Hubble, screen: Screen) -> None:
    line = ["watch", "peers", "--server", hubble.address]
    assert await asyncio.to_thread(run, line, screen.surroundings()) == 1
    assert screen.err.startswith("rpc error: code = Unimplemented desc = ")
