"""`hubble list nodes` and `hubble list namespaces`."""

import asyncio
from typing import TypeVar

from google.protobuf.message import Message

from api.lane.status import RpcError
from api.proto.observer.observer_pb2 import (
    GetNamespacesRequest,
    GetNamespacesResponse,
    GetNodesRequest,
    GetNodesResponse,
)
from cli.connection import ServerOptions, connected, rpc_text, warn_if_older
from cli.errors import CliError
from cli.flags.arguments import Arguments
from cli.printers.listtext import namespaces_text, nodes_text
from cli.surroundings import Surroundings

M = TypeVar("M", bound=Message)


def run_nodes(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print the nodes of a relay; raises CliError."""
    arguments.read()
    nodes = _ask("GetNodes", GetNodesRequest(), GetNodesResponse, arguments, surroundings)
    surroundings.out.write(nodes_text(arguments.text("output"), nodes))


def run_namespaces(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print the namespaces with traffic; raises CliError."""
    arguments.read()
    namespaces = _ask(
        "GetNamespaces", GetNamespacesRequest(), GetNamespacesResponse, arguments, surroundings
    )
    surroundings.out.write(namespaces_text(arguments.text("output"), namespaces))


def _ask(
    method: str,
    request: Message,
    response_type: type[M],
    arguments: Arguments,
    surroundings: Surroundings,
) -> M:
    server = ServerOptions.from_arguments(arguments)
    return asyncio.run(_call(server, method, request, response_type, surroundings))


async def _call(
    server: ServerOptions,
    method: str,
    request: Message,
    response_type: type[M],
    surroundings: Surroundings,
) -> M:
    try:
        async with connected(server, surroundings.warn) as channel:
            reply = await channel.unary_reply(
                f"/observer.Observer/{method}",
                request,
                response_type,
                timeout_s=server.request_timeout_s,
            )
    except RpcError as error:
        raise CliError(rpc_text(error)) from None
    warn_if_older(reply.initial_metadata, surroundings.warn)
    return reply.message
