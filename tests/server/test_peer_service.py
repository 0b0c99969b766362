"""The Peer service over a real connection, asked by our client, by grpcio and by `hubble`."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path

import grpc
import pytest

from api.lane.client import Channel
from api.lane.health import Health
from api.lane.server import Server
from api.lane.status import Code, RpcError
from api.proto.peer import peer_pb2_grpc
from api.proto.peer.peer_pb2 import ChangeNotification, ChangeNotificationType, NotifyRequest
from observer.kernel.recording import RecordedChange, Recorder
from server import peers
from server.cluster.objects import Node as NodeObject
from server.cluster.objects import ObjectKey
from server.listening import listen
from server.node import Node, build_node
from server.settings import Settings

HUBBLE = Path(sys.executable).with_name("hubble")
SERVER = Path(sys.executable).with_name("hubble-server")


def described(name: str, address: str) -> NodeObject:
    key = ObjectKey("Node", "", name)
    return NodeObject(key=key, addresses=(ip_address(address),), hubble_port=None)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        node_name="n1",
        cluster_name="blue",
        socket_path=tmp_path / "hubble.sock",
        listen_address="127.0.0.1:0",
        event_buffer_capacity=63,
    )


@pytest.fixture
def node(settings: Settings) -> Node:
    return build_node(settings)


@pytest.fixture
async def lane(settings: Settings, node: Node) -> AsyncIterator[Server]:
    lane = await listen(settings, node, Health())
    yield lane
    await lane.stop(0)


@pytest.fixture
async def address(settings: Settings, lane: Server) -> str:
    return f"unix://{settings.socket_path}"


async def test_all_peers_then_each_change(node: Node, address: str) -> None:
    node.peers.put([described("n1", "10.0.0.1")])
    async with grpc.aio.insecure_channel(address) as channel:
        call = peer_pb2_grpc.PeerStub(channel).Notify(NotifyRequest())
        port = (await call.read()).address.rpartition(":")[2]
        node.peers.put([described("n1", "10.0.0.1"), described("n2", "10.0.0.2")])
        assert await call.read() == ChangeNotification(
            name="blue/n2",
            address=f"10.0.0.2:{port}",
            type=ChangeNotificationType.PEER_ADDED,
        )
        call.cancel()


async def test_it_is_served_on_the_tcp_address_too(node: Node, address: str) -> None:
    node.peers.put([])
    channel = Channel(address)
    (first,) = await first_answer(channel)
    await channel.close()

    remote = Channel(first.address)
    assert await first_answer(remote) == [first]
    await remote.close()


async def first_answer(
    channel: Channel, *, wait_for_ready: bool = False
) -> list[ChangeNotification]:
    async with channel.server_stream(
        "/peer.Peer/Notify", NotifyRequest(), wait_for_ready=wait_for_ready
    ) as call:
        async for messages in call.batches():
            return [ChangeNotification.FromString(each) for each in messages]
    return []


async def test_who_hangs_up_is_forgotten(node: Node, address: str) -> None:
    node.peers.put([])
    channel = Channel(address)
    await first_answer(channel)
    await channel.close()
    async with asyncio.timeout(10):
        while node.peers._subscriptions:  # noqa: ASYNC110 - nobody is told, nor needs to be
            await asyncio.sleep(0.01)


async def test_who_does_not_read_is_told_so(
    node: Node, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "MOST_WAITING", 4)
    node.peers.put([])
    channel = Channel(address)

    async def listen_to_many_changes() -> None:
        async with channel.server_stream("/peer.Peer/Notify", NotifyRequest()) as call:
            async for _ in call.batches():
                node.peers.put(described(f"m{number}", "10.0.0.1") for number in range(5))

    with pytest.raises(RpcError, match="server stream send was blocked for too long") as refused:
        await listen_to_many_changes()
    await channel.close()
    assert refused.value.code == Code.UNKNOWN


async def test_the_command_line_shows_peers(node: Node, address: str) -> None:
    node.peers.put([described("n1", "fd00::1")])
    process = await asyncio.create_subprocess_exec(
        HUBBLE, "watch", "peers", "--server", address, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    process.kill()
    await process.wait()
    assert line.startswith("PEER_ADDED   [fd00::1]:")
    assert line.endswith(" blue/n1\n")


async def test_a_replay_tells_of_itself_alone(tmp_path: Path) -> None:
    """The nodes of its recording are not where it is played."""
    document = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n2"},
        "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.2"}]},
    }
    with closing(Recorder(tmp_path / "node.rec")) as recorder:
        recorder.change(RecordedChange(change="ADDED", object=document))
    words = ("--replay", tmp_path / "node.rec", "--node-name", "n1", "--listen-address")
    address = f"unix://{tmp_path}/hubble.sock"
    server = await asyncio.create_subprocess_exec(
        SERVER, *words, "127.0.0.1:0", "--socket-path", tmp_path / "hubble.sock",
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        channel = Channel(address)
        (peer,) = await first_answer(channel, wait_for_ready=True)
        await channel.close()
    finally:
        server.kill()
        await server.wait()
    host, _, port = peer.address.rpartition(":")
    assert (peer.name, host) == ("n1", "127.0.0.1")
    assert int(port) > 0
