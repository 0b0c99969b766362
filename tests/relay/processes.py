"""Nodes and a relay as processes, the peer service that names them, and links that can be cut."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from api.lane.call import Call
from api.lane.client import Channel
from api.lane.server import Server
from api.lane.service import service_methods
from api.lane.wire import Framed, frame
from api.proto.leavitt.relay_pb2 import NodeStatus, NodeStatusRequest, NodeStatusResponse
from api.proto.observer import observer_pb2 as pb
from api.proto.peer.peer_pb2 import DESCRIPTOR as PEER
from api.proto.peer.peer_pb2 import (
    TLS,
    ChangeNotification,
    ChangeNotificationType,
    NotifyRequest,
)
from api.proto.relay.relay_pb2 import NodeState

RELAY = Path(sys.executable).with_name("hubble-relay")
ROOT = Path(__file__).parents[2]
LONGEST_S = 60.0
_LOOK_S = 0.05
_SAME = 20
"""Looks at a counter that stays the same until it is taken to stand."""
ADDED, DELETED = ChangeNotificationType.PEER_ADDED, ChangeNotificationType.PEER_DELETED
UPDATED = ChangeNotificationType.PEER_UPDATED


class Book:
    """A peer service that says what a test tells it."""

    def __init__(self) -> None:
        self._peers: dict[str, ChangeNotification] = {}
        self._streams: set[asyncio.Queue[ChangeNotification]] = set()

    def tell(
        self,
        name: str,
        address: str = "",
        *,
        kind: ChangeNotificationType = ADDED,
        server_name: str = "",
    ) -> None:
        tls = TLS(server_name=server_name) if server_name else None
        change = ChangeNotification(name=name, address=address, type=kind, tls=tls)
        if kind == DELETED:
            self._peers.pop(name, None)
        else:
            self._peers[name] = change
        for stream in self._streams:
            stream.put_nowait(change)

    async def notify(self, call: Call, _request: NotifyRequest) -> AsyncGenerator[Framed, None]:
        call.send_headers()
        stream: asyncio.Queue[ChangeNotification] = asyncio.Queue()
        for change in self._peers.values():
            stream.put_nowait(change)
        self._streams.add(stream)
        try:
            while True:
                yield Framed(frame((await stream.get()).SerializeToString()), 1)
        finally:
            self._streams.discard(stream)

    async def serve(self, address: str) -> Server:
        server = Server(service_methods(PEER.services_by_name["Peer"], self))
        await server.listen(address)
        return server


@dataclass
class NodeProcess:
    """A `live_node` that can be killed, stopped and started again."""

    name: str
    base_ns: int
    extra: tuple[str | Path, ...] = ()
    address: str = "127.0.0.1:0"
    _process: Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.relay.live_node",
            "--name", self.name, "--base-ns", str(self.base_ns), "--address", self.address,
            *self.extra, cwd=ROOT, stdout=PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        async with asyncio.timeout(LONGEST_S):
            self.address = (await self._process.stdout.readline()).decode().strip()
        assert self.address, f"{self.name} did not start"

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()


class Wire:
    """A link to a node that can be cut without a word, or bent."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.whole = asyncio.Event()
        self.whole.set()
        self.bends = False

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def stop(self) -> None:
        self.whole.set()
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.rpartition(":")
        try:
            there, back = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        self._writers |= {writer, back}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(reader, back, bends=False))
                tasks.create_task(self._pass_on(there, writer, bends=True))
        finally:
            self._writers -= {writer, back}

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, bends: bool
    ) -> None:
        try:
            while data := await reader.read(65_536):
                await self.whole.wait()
                if bends and self.bends:
                    data = bytes(byte ^ 0x55 for byte in data)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@dataclass
class Cluster:
    """The relay, its peer service, its nodes, and what a follower has read."""

    folder: Path
    book: Book
    channel: Channel
    relay: Process
    nodes: dict[str, NodeProcess]
    flows: dict[str, list[int]] = field(default_factory=dict)
    notices: list[tuple[int, list[str], str]] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, messages: list[bytes]) -> None:
        for message in messages:
            response = pb.GetFlowsResponse.FromString(message)
            if response.HasField("flow"):
                name, number = response.flow.uuid.split()
                self.flows.setdefault(name, []).append(int(number))
                self.order.append(response.time.ToNanoseconds())
            elif response.HasField("node_status"):
                event = response.node_status
                told = (event.state_change, list(event.node_names), event.message)
                self.notices.append(told)
        more, self._more = self._more, asyncio.Event()
        more.set()

    async def more(self, name: str, count: int = 40) -> None:
        """Wait until a node has sent so many flows more."""
        wanted = len(self.flows.get(name, [])) + count
        await self._until(lambda: len(self.flows.get(name, [])) >= wanted)

    async def notice(self, state: int, name: str) -> str:
        """Wait until such a notice has come, take it and return its message."""

        def found() -> list[tuple[int, list[str], str]]:
            return [each for each in self.notices if each[0] == state and name in each[1]]

        await self._until(lambda: bool(found()))
        first = found()[0]
        self.notices.remove(first)
        return first[2]

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(LONGEST_S):
            while not holds():
                await self._more.wait()

    def check_nothing_missing_nothing_twice(self, *names: str) -> None:
        for name in names or self.flows:
            numbers = self.flows[name]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), name

    async def status(self, name: str) -> NodeStatus:
        response = await self.channel.unary(
            "/leavitt.Relay/NodeStatus", NodeStatusRequest(), NodeStatusResponse, timeout_s=20
        )
        [found] = [each for each in response.nodes if each.name == name]
        return found

    async def error(self, name: str, text: str) -> None:
        """Wait until the last error of a node holds some text."""
        async with asyncio.timeout(LONGEST_S):
            while text not in (await self.status(name)).last_error.lower():  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(_LOOK_S)

    async def standstill(self, name: str) -> None:
        """Wait until something came from a node, and no more comes."""
        before, same = -1, 0
        async with asyncio.timeout(LONGEST_S):
            while same < _SAME:
                now = (await self.status(name)).flows_received
                same = same + 1 if now == before and now else 0
                before = now
                await asyncio.sleep(_LOOK_S)

    async def connected(self, *names: str) -> None:
        """Wait until these nodes are connected."""
        request, wanted = pb.GetNodesRequest(), set(names)
        async with asyncio.timeout(LONGEST_S):
            while True:
                found = await self.channel.unary(
                    "/observer.Observer/GetNodes", request, pb.GetNodesResponse, timeout_s=20
                )
                states = {node.name: node.state for node in found.nodes}
                if {n for n in wanted if states.get(n) == NodeState.NODE_CONNECTED} == wanted:
                    return
                await asyncio.sleep(_LOOK_S)

    async def follow(self) -> None:
        """Read a following stream for ever."""
        request = pb.GetFlowsRequest(follow=True)
        async with self.channel.server_stream("/observer.Observer/GetFlows", request) as answer:
            async for batch in answer.batches():
                self.take(batch)


@asynccontextmanager
async def cluster(
    folder: Path, *nodes: NodeProcess, flags: tuple[str | Path, ...] = ()
) -> AsyncIterator[Cluster]:
    """Start all of it; entered when the relay is there, nodes need not be connected yet."""
    book = Book()
    peers = await book.serve(f"unix://{folder}/peers.sock")
    for node in nodes:
        await node.start()
    flags = flags or ("--disable-client-tls",)
    relay = await asyncio.create_subprocess_exec(
        RELAY, "serve", "--disable-server-tls", "--listen-address", "127.0.0.1:0",
        "--health-listen-address", "127.0.0.1:0", "--peer-service", f"{folder}/peers.sock",
        "--retry-timeout", "1s", *flags, stderr=PIPE,
    )  # fmt: skip
    address = await _listening(relay)
    channel = Channel(address)
    made = Cluster(
        folder=folder,
        book=book,
        channel=channel,
        relay=relay,
        nodes={node.name: node for node in nodes},
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            log = tasks.create_task(_read_on(relay))
            yield made
            log.cancel()
    finally:
        await channel.close()
        if relay.returncode is None:
            relay.terminate()
            await relay.wait()
        for node in nodes:
            await node.kill()
        await peers.stop(0)


async def _listening(relay: Process) -> str:
    assert relay.stderr is not None
    said = b""
    async with asyncio.timeout(LONGEST_S):
        while line := await relay.stderr.readline():
            said += line
            if b"listening address=" in line:
                return line.split(b"address=")[1].split()[0].decode()
    raise AssertionError(said.decode())


async def _read_on(relay: Process) -> None:
    """Keep the relay's log from filling its pipe."""
    assert relay.stderr is not None
    while await relay.stderr.readline():
        pass


def resident_bytes(pid: int) -> int:
    """Memory of a process."""
    text = Path(f"/proc/{pid}/statm").read_text()
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def base_ns(seconds_ago: float = 0.0) -> int:
    """A moment at which a node began."""
    return time.time_ns() - int(seconds_ago * 1e9)
