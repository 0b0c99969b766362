"""`hubble policy`: which policies a node enforces, and what they say of a packet.

Asks leavitt.Policies, which nodes offer and relays do not. `explain` takes the packet from a flow
that the same server has kept.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.message import Message

from api.lane.client import Channel
from api.lane.status import Code, RpcError
from api.proto.flow.flow_pb2 import Endpoint, Flow, FlowFilter, Verdict
from api.proto.leavitt.policy_pb2 import (
    JudgeRequest,
    JudgeResponse,
    ListPoliciesRequest,
    ListPoliciesResponse,
    PolicyParty,
)
from api.proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse
from cli.connection import ServerOptions, connected, rpc_text
from cli.errors import CliError, UsageError
from cli.flags.arguments import Arguments
from cli.policyport import read_port
from cli.printers.policytext import judgement_text, policies_text, policy_text
from cli.surroundings import Surroundings

M = TypeVar("M", bound=Message)
T = TypeVar("T")

_SERVICE = "/leavitt.Policies"
_ELSEWHERE = (
    "this server tells nothing of policies: ask a node's own, on that node by "
    "--server unix:///var/run/leavitt/hubble.sock"
)


def run_list(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print the policies; raises CliError."""
    arguments.read()
    surroundings.out.write(
        policies_text(arguments.text("output"), _policies(arguments, surroundings))
    )


def run_show(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print one policy, or all of a name; raises CliError."""
    arguments.read()
    if len(arguments.words) != 1:
        raise UsageError("need the name of one policy: [namespace/]name")
    namespace, _, name = arguments.words[0].rpartition("/")
    found = [
        policy
        for policy in _policies(arguments, surroundings).policies
        if policy.name == name and namespace in ("", policy.namespace)
    ]
    if not found:
        raise CliError(f"no policy {arguments.words[0]}: `hubble policy list` names them")
    surroundings.out.write(policy_text(arguments.text("output"), found))


def run_verdict(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print what would become of a packet; raises CliError."""
    arguments.read()
    protocol, port = read_port(arguments.text("port"))
    request = JudgeRequest(
        source=_party(arguments, "from"),
        destination=_party(arguments, "to"),
        protocol=protocol,
        port=port,
    )
    response = _asked(arguments, surroundings, lambda channel: _judged(channel, request, arguments))
    output = arguments.text("output")
    surroundings.out.write(judgement_text(output, request, response, is_long=False))


def run_explain(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print why a flow was dropped, or passed; raises CliError."""
    arguments.read()
    filters = _filters(arguments)

    async def ask(channel: Channel) -> tuple[JudgeRequest, JudgeResponse]:
        request = _request_of(await _last_flow(channel, filters))
        return request, await _judged(channel, request, arguments)

    request, response = _asked(arguments, surroundings, ask)
    surroundings.out.write(
        judgement_text(arguments.text("output"), request, response, is_long=True)
    )


def _policies(arguments: Arguments, surroundings: Surroundings) -> ListPoliciesResponse:
    async def ask(channel: Channel) -> ListPoliciesResponse:
        return await _unary(channel, "List", ListPoliciesRequest(), ListPoliciesResponse, arguments)

    return _asked(arguments, surroundings, ask)


def _party(arguments: Arguments, word: str) -> PolicyParty:
    pod, address = arguments.text(f"{word}-pod"), arguments.text(f"{word}-ip")
    if bool(pod) == bool(address):
        raise UsageError(f"need one of --{word}-pod and --{word}-ip")
    return PolicyParty(pod=pod) if pod else PolicyParty(address=address)


def _filters(arguments: Arguments) -> list[FlowFilter]:
    """Choose the flow: by its uuid, or the last one of a pod that was dropped."""
    pod, uuid = arguments.text("pod"), arguments.text("uuid")
    if bool(pod) == bool(uuid):
        raise UsageError("need one of --pod and --uuid")
    if uuid:
        return [FlowFilter(uuid=[uuid])]
    return [
        FlowFilter(source_pod=[pod], verdict=[Verdict.DROPPED]),
        FlowFilter(destination_pod=[pod], verdict=[Verdict.DROPPED]),
    ]


async def _last_flow(channel: Channel, filters: list[FlowFilter]) -> Flow:
    request = GetFlowsRequest(number=1, whitelist=filters)
    async with channel.server_stream("/observer.Observer/GetFlows", request) as answer:
        async for batch in answer.batches():
            for message in batch:
                response = GetFlowsResponse.FromString(message)
                if response.HasField("flow"):
                    return response.flow
    raise CliError("no such flow is kept: `hubble observe` shows those that are")


def _request_of(flow: Flow) -> JudgeRequest:
    """Take the packet from a flow that began a connection, or was refused."""
    protocol, port = _protocol_and_port(flow)
    return JudgeRequest(
        source=_party_of(flow.source, flow.IP.source),
        destination=_party_of(flow.destination, flow.IP.destination),
        protocol=protocol,
        port=port,
    )


def _protocol_and_port(flow: Flow) -> tuple[int, int]:
    match flow.l4.WhichOneof("protocol"):
        case "TCP":
            return 6, flow.l4.TCP.destination_port
        case "UDP":
            return 17, flow.l4.UDP.destination_port
        case "SCTP":
            return 132, flow.l4.SCTP.destination_port
        case "ICMPv4":
            return 1, flow.l4.ICMPv4.type
        case "ICMPv6":
            return 58, flow.l4.ICMPv6.type
        case _:
            raise CliError(f"no policy is about such a flow: {flow.Summary or 'no protocol'}")


def _party_of(endpoint: Endpoint, address: str) -> PolicyParty:
    if endpoint.pod_name:
        return PolicyParty(pod=f"{endpoint.namespace}/{endpoint.pod_name}")
    return PolicyParty(address=address)


async def _judged(channel: Channel, request: JudgeRequest, arguments: Arguments) -> JudgeResponse:
    return await _unary(channel, "Judge", request, JudgeResponse, arguments)


async def _unary(
    channel: Channel,
    method: str,
    request: Message,
    response_type: type[M],
    arguments: Arguments,
) -> M:
    timeout_s = ServerOptions.from_arguments(arguments).request_timeout_s
    return await channel.unary(f"{_SERVICE}/{method}", request, response_type, timeout_s=timeout_s)


def _asked(
    arguments: Arguments, surroundings: Surroundings, ask: Callable[[Channel], Awaitable[T]]
) -> T:
    server = ServerOptions.from_arguments(arguments)

    async def asked() -> T:
        async with connected(server, surroundings.warn) as channel:
            return await ask(channel)

    try:
        return asyncio.run(asked())
    except RpcError as error:
        reason = _ELSEWHERE if error.code is Code.UNIMPLEMENTED else rpc_text(error)
        raise CliError(reason) from None
