"""A relay's parts around nodes that say what a test tells them, in one process on unix sockets."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.message import Message

from api.lane.call import Call
from api.lane.client import Channel
from api.lane.health import Health
from api.lane.response import ResponseStream
from api.lane.server import Server
from api.lane.service import service_methods
from api.lane.status import Code, RpcError
from api.lane.wire import Framed
from api.proto.health import health_pb2
from api.proto.leavitt import node_pb2
from api.proto.observer import observer_pb2 as pb
from api.version import WIRE_VERSION
from relay.listening import main_methods
from relay.nodes.discovery import Discovery
from relay.nodes.peer import Peer
from relay.nodes.pool import NodePool
from relay.session import Surroundings

LONGEST_S = 20.0
_SERVICE = "/observer.Observer/"


@dataclass
class Asked:
    """One streaming call that a node got: what was asked, and how the test answers."""

    call: Call
    request: bytes
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the call has ended, whoever ended it."""
    _said: asyncio.Queue[bytes | RpcError | None] = field(default_factory=asyncio.Queue)

    @property
    def flows(self) -> pb.GetFlowsRequest:
        return pb.GetFlowsRequest.FromString(self.request)

    def say(self, *messages: bytes) -> None:
        self._said.put_nowait(b"".join(messages))

    def end(self) -> None:
        self._said.put_nowait(None)

    def fail(self, error: RpcError) -> None:
        self._said.put_nowait(error)

    async def serve(self) -> None:
        self.call.send_headers()
        try:
            while (said := await self._said.get()) is not None:
                if isinstance(said, RpcError):
                    raise said
                await self.call.send(Framed(said, 1))
        finally:
            self.over.set()


class ScriptedNode:
    """A node: serves on its socket while it is up."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.address = f"unix://{folder}/{name}.sock"
        self.asked: asyncio.Queue[Asked] = asyncio.Queue()
        self.refusal: RpcError | None = None
        self.status = pb.ServerStatusResponse(
            version="test", num_flows=1, max_flows=7, seen_flows=3, uptime_ns=5, flows_rate=0.5
        )
        self.namespaces = pb.GetNamespacesResponse()
        self.report_told: node_pb2.NodeReport | None = None
        self.report_refusal = RpcError(Code.UNIMPLEMENTED, "unknown service leavitt.Node")
        """What it says while it has no report to tell, as nodes of others do."""
        self._server: Server | None = None

    @property
    def peer(self) -> Peer:
        return Peer(name=self.name, address=self.address, server_name=None)

    async def start(self) -> None:
        observer = pb.DESCRIPTOR.services_by_name["Observer"]
        checks = health_pb2.DESCRIPTOR.services_by_name["Health"]
        report = node_pb2.DESCRIPTOR.services_by_name["Node"]
        methods = service_methods(observer, self) | service_methods(checks, Health())
        methods |= service_methods(report, self)
        for name in ("GetFlows", "GetAgentEvents", "GetDebugEvents"):
            methods[_SERVICE + name] = self._stream
        self._server = Server(methods)
        await self._server.listen(self.address)

    async def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(0)

    async def next_asked(self) -> Asked:
        async with asyncio.timeout(LONGEST_S):
            return await self.asked.get()

    async def _stream(self, call: Call) -> None:
        request = await call.receive()
        assert request is not None
        if self.refusal is not None:
            raise self.refusal
        asked = Asked(call=call, request=request)
        self.asked.put_nowait(asked)
        await asked.serve()

    async def server_status(
        self, _call: Call, _request: pb.ServerStatusRequest
    ) -> pb.ServerStatusResponse:
        return self.status

    async def get_namespaces(
        self, _call: Call, _request: pb.GetNamespacesRequest
    ) -> pb.GetNamespacesResponse:
        return self.namespaces

    async def report(self, _call: Call, _request: node_pb2.ReportRequest) -> node_pb2.NodeReport:
        if self.report_told is None:
            raise self.report_refusal
        return self.report_told


class Reader:
    """A client's stream, message by message."""

    def __init__(self, stream: ResponseStream) -> None:
        self.stream = stream
        self._kept: list[pb.GetFlowsResponse] = []
        self._batches = stream.batches()

    async def next(self) -> pb.GetFlowsResponse:
        async with asyncio.timeout(LONGEST_S):
            while not self._kept:
                self._kept += map(pb.GetFlowsResponse.FromString, await anext(self._batches))
        return self._kept.pop(0)

    async def uuids(self, count: int) -> list[str]:
        """Read so many flows, notices left out."""
        found: list[str] = []
        while len(found) < count:
            response = await self.next()
            if response.HasField("flow"):
                found.append(response.flow.uuid)
        return found

    async def notice(self) -> tuple[int, list[str], str]:
        """Read on to the next notice about nodes."""
        while not (response := await self.next()).HasField("node_status"):
            pass
        event = response.node_status
        return event.state_change, list(event.node_names), event.message

    async def rest(self) -> list[pb.GetFlowsResponse]:
        """Read to the end."""
        found = self._kept
        async with asyncio.timeout(LONGEST_S):
            async for batch in self._batches:
                found += map(pb.GetFlowsResponse.FromString, batch)
        return found


@dataclass
class Bed:
    """Nodes, the pool that knows them, and a channel to the relay in front of them."""

    folder: Path
    pool: NodePool
    discovery: Discovery
    """Runs only where a test runs it."""
    channel: Channel
    nodes: list[ScriptedNode]

    async def connected(self, *names: str) -> None:
        """Wait until just these nodes are connected; all if none is named."""
        wanted = set(names or (node.name for node in self.nodes))
        await self.until(
            lambda: {link.name for link in self.pool.links if link.connection} == wanted
        )

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something is so that changes with a node."""
        async with asyncio.timeout(LONGEST_S):
            while not holds():
                await self.pool.changes.next()

    @asynccontextmanager
    async def stream(
        self,
        request: Message,
        *,
        method: str = "GetFlows",
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> AsyncIterator[Reader]:
        call = self.channel.server_stream(
            _SERVICE + method, request, timeout_s=3 * LONGEST_S, metadata=metadata
        )
        async with call:
            yield Reader(call)

    async def node(self, name: str) -> ScriptedNode:
        """Add a node that is up."""
        node = ScriptedNode(name, self.folder)
        await node.start()
        self.nodes.append(node)
        self.pool.upsert(node.peer)
        return node


@asynccontextmanager
async def bed(folder: Path, *names: str, patience_s: float = 30.0) -> AsyncIterator[Bed]:
    """Start nodes and a relay; entered when all are connected."""
    async with asyncio.TaskGroup() as tasks:
        pool = NodePool(tasks, tls=None, numbers=lambda: 0.5)
        discovery = Discovery(
            f"unix://{folder}/peers.sock",
            tls=None,
            server_name="",
            pool=pool,
            longest_wait_s=LONGEST_S,
            on_change=pool.changes.tell,
            numbers=lambda: 0.5,
        )
        around = Surroundings(
            pool=pool,
            discovery=discovery,
            node_name="relay",
            patience_s=patience_s,
            clock_s=time.monotonic,
            wall_ns=time.time_ns,
        )
        version = (("hubble-relay-version", WIRE_VERSION),)
        server = Server(main_methods(around, Health()), initial_metadata=version)
        address = await server.listen(f"unix://{folder}/relay.sock")
        channel = Channel(address)
        found = Bed(folder=folder, pool=pool, discovery=discovery, channel=channel, nodes=[])
        try:
            for name in names:
                await found.node(name)
            await found.connected()
            yield found
        finally:
            await channel.close()
            await server.stop(0)
            pool.keep_only(())
            for node in found.nodes:
                await node.stop()
