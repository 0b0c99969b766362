"""`hubble status`: is the server well, how many flows and nodes has it, what was lost."""

import asyncio

from api.lane.client import Channel
from api.lane.status import RpcError
from api.proto.health.health_pb2 import HealthCheckRequest, HealthCheckResponse
from api.proto.leavitt.node_pb2 import NodeReport
from api.proto.observer.observer_pb2 import ServerStatusRequest, ServerStatusResponse
from cli.connection import ServerOptions, connected, rpc_text, warn_if_older
from cli.errors import CliError
from cli.flags.arguments import Arguments
from cli.nodereport import node_report
from cli.nodestatus import node_status
from cli.printers.nodetext import node_table, peer_service_text
from cli.printers.reporttext import report_lines, report_tables
from cli.printers.statustext import HEALTHY, is_json, json_line, status_json, status_text
from cli.surroundings import Surroundings

_CHECK = "/grpc.health.v1.Health/Check"
_STATUS = "/observer.Observer/ServerStatus"
_HEALTH_NAME = "hubble.server.Observer"


def run(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print the state of a server; raises CliError, also if it is not well."""
    arguments.read()
    server = ServerOptions.from_arguments(arguments)
    status = _status(
        server, arguments.text("output"), surroundings, verbose=arguments.on("verbose")
    )
    asyncio.run(status)


async def _status(
    server: ServerOptions, output: str, surroundings: Surroundings, *, verbose: bool
) -> None:
    timeout_s = server.request_timeout_s
    async with connected(server, surroundings.warn) as channel:
        health = await _health(channel, timeout_s)
        if output == "compact":
            surroundings.out.write(f"Healthcheck (via {channel.target}): {health}\n")
            surroundings.out.flush()
        if health != HEALTHY:
            if verbose:
                await _write_nodes(channel, output, surroundings, server, knows_more=False)
                surroundings.out.flush()
            raise CliError("not healthy")
        try:
            reply = await channel.unary_reply(
                _STATUS, ServerStatusRequest(), ServerStatusResponse, timeout_s=timeout_s
            )
        except RpcError as error:
            raise CliError(f"failed to get hubble server status: {rpc_text(error)}") from None
        warn_if_older(reply.initial_metadata, surroundings.warn)
        text = status_text(output, reply.message)
        report = await _report(channel, timeout_s, surroundings, per_node=verbose)
        if report is not None and is_json(output):
            text = status_json(reply.message, report)
        surroundings.out.write(text)
        if report is not None and output == "compact":
            surroundings.out.write(report_lines(report))
        if verbose and report is not None and not is_json(output):
            surroundings.out.write(report_tables(report, surroundings.now_ns()))
        if verbose:
            await _write_nodes(channel, output, surroundings, server, knows_more=report is not None)


async def _report(
    channel: Channel, timeout_s: float, surroundings: Surroundings, *, per_node: bool
) -> NodeReport | None:
    """Ask for losses and problems; what is known without them is shown whatever comes of it."""
    try:
        return await node_report(channel, per_node=per_node, timeout_s=timeout_s)
    except RpcError as error:
        surroundings.warn(f"failed to get losses and problems: {rpc_text(error)}\n")
        return None


async def _write_nodes(
    channel: Channel,
    output: str,
    surroundings: Surroundings,
    server: ServerOptions,
    *,
    knows_more: bool,
) -> None:
    """Write what a relay knows of its nodes below the rest: in JSON as a line of its own."""
    try:
        nodes = await node_status(channel, timeout_s=server.request_timeout_s)
    except RpcError as error:
        raise CliError(f"failed to get status of nodes: {rpc_text(error)}") from None
    now_ns = surroundings.now_ns()
    if nodes is None:
        if not knows_more:
            surroundings.warn("hint: this server tells no more of nodes; those of Leavitt do\n")
    elif is_json(output):
        surroundings.out.write(json_line(nodes))
    else:
        surroundings.out.write(peer_service_text(nodes, now_ns) + "\n" + node_table(nodes, now_ns))


async def _health(channel: Channel, timeout_s: float) -> str:
    """Ask for the health of the observer: HEALTHY, or what it is instead."""
    try:
        answer = await channel.unary(
            _CHECK,
            HealthCheckRequest(service=_HEALTH_NAME),
            HealthCheckResponse,
            timeout_s=timeout_s,
        )
    except RpcError as error:
        raise CliError(f"failed getting status: {rpc_text(error)}") from None
    if answer.status == HealthCheckResponse.SERVING:
        return HEALTHY
    names = HealthCheckResponse.ServingStatus
    known = answer.status in names.values()
    return f"Unavailable: {names.Name(answer.status) if known else answer.status}"
