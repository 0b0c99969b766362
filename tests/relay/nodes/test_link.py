"""One node's connection: TLS that does not fit, more streams than a connection takes."""

import asyncio
from pathlib import Path

import pytest

from api.lane.limits import Limits
from api.lane.tls import ClientTls
from api.proto.observer import observer_pb2 as pb
from relay.nodes.changes import Changes
from relay.nodes.connection import STREAMS_EACH, limits_among
from relay.nodes.link import LinkState, NodeLink
from relay.nodes.peer import Peer
from tests.relay.bed import LONGEST_S, bed
from tests.relay.wire import T0, padded


@pytest.mark.parametrize(
    ("tls", "server_name", "reason"),
    [
        (ClientTls(), None, "missing TLS ServerName for 10.0.0.1:4244"),
        (ClientTls(), "", "missing TLS ServerName for 10.0.0.1:4244"),
        (None, "n.example", "unexpected TLS ServerName n.example for 10.0.0.1:4244"),
    ],
)
async def test_tls_that_does_not_fit(
    tls: ClientTls | None, server_name: str | None, reason: str
) -> None:
    peer = Peer(name="n", address="10.0.0.1", server_name=server_name)
    changes = Changes()
    link = NodeLink(peer, tls=tls, limits=Limits, changes=changes, random=lambda: 0.5)
    async with asyncio.timeout(LONGEST_S), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(link.run())
        while link.state != LinkState.NIL_CONNECTION:
            await changes.next()
        running.cancel()
    assert link.account.last_error == f"rpc error: code = Unavailable desc = {reason}"
    assert (link.connection, link.account.reconnects) == (None, 0)


async def test_more_streams_than_one_connection_takes(tmp_path: Path) -> None:
    count = 2 * STREAMS_EACH + 5
    async with bed(tmp_path, "a") as made:
        connection = made.pool.links[0].connection
        assert connection is not None
        async with asyncio.TaskGroup() as tasks:

            async def read() -> None:
                with connection.for_stream() as channel:
                    request = pb.GetFlowsRequest()
                    call = channel.server_stream("/observer.Observer/GetFlows", request)
                    async with call, asyncio.timeout(LONGEST_S):
                        assert [len(batch) async for batch in call.batches()] == [1]

            for _ in range(count):
                tasks.create_task(read())
            # none waits for another one's end
            asked = [await made.nodes[0].next_asked() for _ in range(count)]
            for each in asked:
                each.say(padded("1", T0))
                each.end()


@pytest.mark.parametrize("nodes", [1, 8, 16, 50, 200, 1000])
def test_what_a_stream_that_nobody_reads_may_hold(nodes: int) -> None:
    limits = limits_among(nodes)
    assert 64 << 10 <= limits.stream_window_bytes <= 1 << 20
    assert nodes * limits.stream_window_bytes <= max(16 << 20, nodes * (64 << 10))
    # all streams of a connection, each full: none waits for another one's client
    assert limits.connection_window_bytes >= STREAMS_EACH * limits.stream_window_bytes
