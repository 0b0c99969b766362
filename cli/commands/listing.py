"""`hubble list nodes` and `hubble list namespaces`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.message import Message

from api.lane.client import Channel
from api.lane.status import RpcError
from api.proto.leavitt.relay_pb2 import NodeStatusResponse
from api.proto.observer.observer_pb2 import (
    GetNamespacesRequest,
    GetNamespacesResponse,
    GetNodesRequest,
    GetNodesResponse,
)
from cli.connection import ServerOptions, connected, rpc_text, warn_if_older
from cli.errors import CliError
from cli.flags.arguments import Arguments
from cli.nodestatus import node_status
from cli.printers.listtext import namespaces_text, nodes_text
from cli.surroundings import Surroundings

M = TypeVar("M", bound=Message)
T = TypeVar("T")
Nodes = tuple[GetNodesResponse, NodeStatusResponse | None]
"""Nodes, and what a relay of ours knows of them, if that is shown."""


def run_nodes(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print the nodes of a relay; raises CliError."""
    arguments.read()
    server, warn = ServerOptions.from_arguments(arguments), surroundings.warn
    output = arguments.text("output")

    async def ask(channel: Channel) -> Nodes:
        nodes = await _unary(channel, "GetNodes", GetNodesRequest(), GetNodesResponse, server, warn)
        if output != "wide":
            return nodes, None
        return nodes, await node_status(channel, timeout_s=server.request_timeout_s)

    nodes, known = asyncio.run(_asked(server, ask, warn))
    surroundings.out.write(nodes_text(output, nodes, known, surroundings.now_ns()))


def run_namespaces(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print the namespaces with traffic; raises CliError."""
    arguments.read()
    server, warn = ServerOptions.from_arguments(arguments), surroundings.warn

    async def ask(channel: Channel) -> GetNamespacesResponse:
        request = GetNamespacesRequest()
        return await _unary(channel, "GetNamespaces", request, GetNamespacesResponse, server, warn)

    namespaces = asyncio.run(_asked(server, ask, warn))
    surroundings.out.write(namespaces_text(arguments.text("output"), namespaces))


async def _asked(
    server: ServerOptions, ask: Callable[[Channel], Awaitable[T]], warn: Callable[[str], None]
) -> T:
    try:
        async with connected(server, warn) as channel:
            return await ask(channel)
    except RpcError as error:
        raise CliError(rpc_text(error)) from None


async def _unary(
    channel: Channel,
    method: str,
    request: Message,
    response_type: type[M],
    server: ServerOptions,
    warn: Callable[[str], None],
) -> M:
    reply = await channel.unary_reply(
        f"/observer.Observer/{method}",
        request,
        response_type,
        timeout_s=server.request_timeout_s,
    )
    warn_if_older(reply.initial_metadata, warn)
    return reply.message
