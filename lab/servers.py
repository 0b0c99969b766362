"""Leavitt itself in a lab: hubble-server on each node, hubble-relay on the first one.

They run in the networks of their nodes, as on real ones: each server on the usual port of its node,
the relay beside the first server, whose unix socket tells it of the others. Who wants to reach them
from outside uses the servers' unix sockets, or a forwarded port.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from api.lane.client import Channel
from api.lane.status import RpcError
from api.lane.tls import ClientTls
from api.proto.health.health_pb2 import HealthCheckRequest, HealthCheckResponse
from api.proto.observer.observer_pb2 import ServerStatusRequest, ServerStatusResponse
from lab.errors import ProcessError
from lab.portforward import HOST
from lab.programs import path_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from lab.certificates import TlsFiles
    from lab.session import Lab
    from lab.topology import Node

SERVER_PORT, RELAY_PORT = 4244, 4245
CLUSTER = "default"

READY_S = 60.0
"""How long a program may take to get ready; on a slow machine the compiler needs some seconds."""

LOOK_S = 0.2
"""How often one looks whether a program is ready, or still runs."""


def start_servers(lab: Lab, *, bpffs: Path, tls: TlsFiles | None = None) -> None:
    """Start a server on each node; with `tls` they want to know who asks."""
    for node in lab.topology.nodes:
        lab.start_on_node(node, server_name(node), server_command(lab, node, bpffs, tls))


def start_relay(lab: Lab, *, tls: TlsFiles | None = None) -> None:
    """Start the relay on the first node; the servers must be ready."""
    node = lab.topology.nodes[0]
    lab.start_on_node(node, "hubble-relay", relay_command(lab, node, tls))


def start_port_forward(lab: Lab, port: int) -> None:
    """Let a port of this machine lead to the relay."""
    target = (f"node/{lab.topology.nodes[0].name}", f"{port}:{RELAY_PORT}")
    command = [path_of("hubble-lab"), "port-forward", "--run", lab.run.name, *target]
    lab.start_on_machine("port-forward", command)


def server_name(node: Node) -> str:
    """Name the process and the log of a node's server."""
    return f"hubble-server-{node.name}"


def server_socket(lab: Lab, node: Node) -> Path:
    """Give the unix socket of a node's server."""
    return lab.run.folder / f"{node.name}.sock"


def server_command(lab: Lab, node: Node, bpffs: Path, tls: TlsFiles | None) -> list[str]:
    """Give the command line of a node's server, to be run in its network."""
    command = [
        path_of("hubble-server"),
        *("--node-name", node.name),
        *("--cluster-name", CLUSTER),
        *("--state", str(lab.state)),
        *("--listen-address", f":{SERVER_PORT}"),
        *("--socket-path", str(server_socket(lab, node))),
        *("--bpffs", str(bpffs)),
    ]
    if tls is not None:
        command += [
            *("--tls-cert-file", str(tls.server.certificate)),
            *("--tls-key-file", str(tls.server.key)),
            *("--tls-client-ca-files", str(tls.authority)),
        ]
    return command


def relay_command(lab: Lab, node: Node, tls: TlsFiles | None) -> list[str]:
    """Give the command line of the relay, to be run in the network of this node."""
    command = [
        *(path_of("hubble-relay"), "serve"),
        *("--cluster-name", CLUSTER),
        *("--peer-service", f"unix://{server_socket(lab, node)}"),
        *("--listen-address", f":{RELAY_PORT}"),
    ]
    if tls is None:
        return [*command, "--disable-client-tls", "--disable-server-tls"]
    return [
        *command,
        *("--tls-hubble-client-cert-file", str(tls.relay_client.certificate)),
        *("--tls-hubble-client-key-file", str(tls.relay_client.key)),
        *("--tls-hubble-server-ca-files", str(tls.authority)),
        *("--tls-relay-server-cert-file", str(tls.relay_server.certificate)),
        *("--tls-relay-server-key-file", str(tls.relay_server.key)),
        *("--tls-relay-client-ca-files", str(tls.authority)),
    ]


async def servers_ready(lab: Lab) -> None:
    """Return when all servers serve. ProcessError if a program ends or it takes too long."""
    for node in lab.topology.nodes:
        async with _channel(f"unix://{server_socket(lab, node)}") as channel:
            await _until(lab, server_name(node), partial(_serves, channel))


async def relay_ready(lab: Lab, port: int, *, tls: TlsFiles | None = None) -> None:
    """Return when the relay behind this port is connected to all nodes. ProcessError as above."""
    async with _channel(f"{HOST}:{port}", tls) as channel:
        node_count = len(lab.topology.nodes)
        await _until(lab, "hubble-relay", partial(_is_connected, channel, node_count))


@asynccontextmanager
async def _channel(address: str, tls: TlsFiles | None = None) -> AsyncIterator[Channel]:
    source = None
    if tls is not None:
        pair = tls.client
        source = ClientTls(authorities=[tls.authority], certificate=pair.certificate, key=pair.key)
    channel = Channel(address, ssl=source)
    try:
        yield channel
    finally:
        await channel.close()


async def _until(lab: Lab, name: str, is_so: Callable[[], Awaitable[bool]]) -> None:
    try:
        async with asyncio.timeout(READY_S):
            while not await is_so():
                lab.check_processes()
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        tail = lab.log_tail(name)
        raise ProcessError(f"{name} is not ready after {READY_S:.0f} s: {tail}") from None


async def _serves(channel: Channel) -> bool:
    request = HealthCheckRequest(service="hubble.server.Observer")
    try:
        reply = await channel.unary(
            "/grpc.health.v1.Health/Check", request, HealthCheckResponse, timeout_s=1.0
        )
    except RpcError:
        return False  # not listening yet
    return reply.status == HealthCheckResponse.SERVING


async def _is_connected(channel: Channel, node_count: int) -> bool:
    try:
        status = await channel.unary(
            "/observer.Observer/ServerStatus",
            ServerStatusRequest(),
            ServerStatusResponse,
            timeout_s=1.0,
        )
    except RpcError:
        return False
    return status.num_connected_nodes.value == node_count
