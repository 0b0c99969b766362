"""A command line in this process, and a server for it to talk to."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest
from google.protobuf import json_format

from api.lane.call import Call
from api.lane.metadata import Metadata
from api.lane.server import Server
from api.lane.service import service_methods
from api.lane.status import Code, RpcError
from api.lane.wire import Framed, frame
from api.proto.health import health_pb2
from api.proto.health.health_pb2 import HealthCheckRequest, HealthCheckResponse
from api.proto.leavitt import node_pb2, relay_pb2
from api.proto.leavitt.node_pb2 import NodeReport, ReportRequest
from api.proto.leavitt.relay_pb2 import NodeStatusRequest, NodeStatusResponse
from api.proto.observer import observer_pb2
from api.proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetDebugEventsRequest,
    GetFlowsRequest,
    GetFlowsResponse,
    GetNamespacesRequest,
    GetNamespacesResponse,
    GetNodesRequest,
    GetNodesResponse,
    ServerStatusRequest,
    ServerStatusResponse,
)
from cli.surroundings import Output, Surroundings

GOLDEN = Path(__file__).parent / "golden"
NOW_NS = 1_772_600_767_000_000_000  # 2026-03-04T05:06:07Z


@pytest.fixture
def golden() -> Path:
    """Folder of texts to compare with."""
    return GOLDEN


@pytest.fixture
def responses() -> list[bytes]:
    """One response of GetFlows for each kind of line."""
    lines = (GOLDEN / "flows.jsonl").read_text().splitlines()
    return [json_format.Parse(line, GetFlowsResponse()).SerializeToString() for line in lines]


@dataclass
class Screen:
    """What a command line printed."""

    sink: BytesIO = field(default_factory=BytesIO)
    warnings: list[str] = field(default_factory=list)

    @property
    def out(self) -> str:
        """Text on stdout that was flushed."""
        return self.sink.getvalue().decode()

    @property
    def err(self) -> str:
        """Text on stderr."""
        return "".join(self.warnings)

    def surroundings(
        self, environ: Mapping[str, str] | None = None, *, terminal: bool = False
    ) -> Surroundings:
        """Make the world in which this screen is printed to."""
        return Surroundings(
            environ=environ or {},
            now_ns=lambda: NOW_NS,
            out=Output(self.sink),
            warn=self.warnings.append,
            terminal=terminal,
        )


@pytest.fixture
def screen() -> Screen:
    """A fresh screen."""
    return Screen()


@dataclass
class Hubble:
    """A server whose answers a test sets, and the requests it got."""

    messages: list[bytes] = field(default_factory=list)
    error: RpcError | None = None
    health: int = HealthCheckResponse.SERVING
    status: ServerStatusResponse = field(default_factory=ServerStatusResponse)
    nodes: GetNodesResponse = field(default_factory=GetNodesResponse)
    namespaces: GetNamespacesResponse = field(default_factory=GetNamespacesResponse)
    requests: list[GetFlowsRequest] = field(default_factory=list)
    events: dict[str, list[bytes]] = field(default_factory=dict)
    """Messages of GetAgentEvents and GetDebugEvents, by `agent` and `debug`."""
    event_requests: list[GetAgentEventsRequest | GetDebugEventsRequest] = field(
        default_factory=list
    )
    forward: Callable[[Call, GetFlowsRequest], AsyncIterator[Framed]] | None = None
    """Answers GetFlows before the messages do."""
    metadata: list[Metadata] = field(default_factory=list)
    """Of the calls of GetFlows."""
    server: Server | None = None
    asked_health: list[str] = field(default_factory=list)
    address: str = ""
    known: NodeStatusResponse | None = None
    """Of nodes, by our relay; None from a server that is none."""
    told: NodeReport | None = None
    """Losses and problems; None from a server that is not ours."""
    told_error: RpcError = field(
        default_factory=lambda: RpcError(Code.UNIMPLEMENTED, "unknown service leavitt.Node")
    )
    per_node: list[bool] = field(default_factory=list)
    """Whether each report was asked for node by node."""

    async def report(self, _: Call, request: ReportRequest) -> NodeReport:
        """Send losses and problems."""
        self.per_node.append(request.per_node)
        if self.told is None:
            raise self.told_error
        return self.told

    async def node_status(self, _: Call, __: NodeStatusRequest) -> NodeStatusResponse:
        """Send what is known of nodes."""
        if self.known is None:
            raise RpcError(Code.UNIMPLEMENTED, "unknown service leavitt.Relay")
        return self.known

    async def get_flows(self, call: Call, request: GetFlowsRequest) -> AsyncIterator[Framed]:
        """Send the messages, then the error if there is one."""
        self.requests.append(request)
        self.metadata.append(call.metadata)
        if self.forward is not None:
            async for chunk in self.forward(call, request):
                yield chunk
        framed = [frame(message) for message in self.messages]
        for start in range(0, len(framed), 256):
            joined = framed[start : start + 256]
            yield Framed(b"".join(joined), len(joined))
        if self.error is not None:
            raise self.error

    async def get_agent_events(
        self, _: Call, request: GetAgentEventsRequest
    ) -> AsyncIterator[Framed]:
        """Send the agent events."""
        self.event_requests.append(request)
        for message in self.events.get("agent", ()):
            yield Framed(frame(message), 1)

    async def get_debug_events(
        self, _: Call, request: GetDebugEventsRequest
    ) -> AsyncIterator[Framed]:
        """Send the debug events."""
        self.event_requests.append(request)
        for message in self.events.get("debug", ()):
            yield Framed(frame(message), 1)

    async def server_status(self, _: Call, __: ServerStatusRequest) -> ServerStatusResponse:
        """Send the status."""
        return self.status

    async def get_nodes(self, _: Call, __: GetNodesRequest) -> GetNodesResponse:
        """Send the nodes."""
        return self.nodes

    async def get_namespaces(self, _: Call, __: GetNamespacesRequest) -> GetNamespacesResponse:
        """Send the namespaces."""
        return self.namespaces

    async def check(self, _: Call, request: HealthCheckRequest) -> HealthCheckResponse:
        """Send the health."""
        self.asked_health.append(request.service)
        return HealthCheckResponse.FromString(bytes((0x08, self.health)))  # also of no name


@pytest.fixture
async def hubble() -> AsyncIterator[Hubble]:
    """A server on a free port of the loopback."""
    hubble = Hubble()
    observer = service_methods(observer_pb2.DESCRIPTOR.services_by_name["Observer"], hubble)
    health = service_methods(health_pb2.DESCRIPTOR.services_by_name["Health"], hubble)
    version: Metadata = (("hubble-server-version", "1.19.4"),)
    relay = service_methods(relay_pb2.DESCRIPTOR.services_by_name["Relay"], hubble)
    report = service_methods(node_pb2.DESCRIPTOR.services_by_name["Node"], hubble)
    methods = {**observer, **health, **relay, **report}
    server = Server(methods, initial_metadata=version)
    hubble.server = server
    hubble.address = await server.listen("127.0.0.1:0")
    try:
        yield hubble
    finally:
        await server.stop(0)
