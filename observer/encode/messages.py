"""Entities as messages: what rows refer to, and the details of rare rows, in Hubble's schema."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from api.proto.flow import flow_pb2
from api.proto.flow.flow_pb2 import Flow, LostEvent
from api.proto.observer.observer_pb2 import GetFlowsResponse
from observer.entities import (
    Endpoint,
    Interface,
    LostEvents,
    PolicyRef,
    Service,
    SocketTranslation,
    Tunnel,
    address_text,
)
from observer.table.columns import L4Kind

_NS_PER_S = 1_000_000_000


def open_enum(number: int) -> Any:  # noqa: ANN401 # fits every enum
    """Pass a number where the generated types want a named value: proto3 enums are open."""
    return number


def endpoint_message(endpoint: Endpoint) -> flow_pb2.Endpoint:
    """Return an endpoint as a flow shows it."""
    return flow_pb2.Endpoint(
        ID=endpoint.endpoint_id,
        identity=endpoint.identity,
        cluster_name=endpoint.cluster_name,
        namespace=endpoint.namespace,
        labels=endpoint.labels,
        pod_name=endpoint.pod_name,
        workloads=[
            flow_pb2.Workload(name=workload.name, kind=workload.kind)
            for workload in endpoint.workloads
        ],
    )


def service_message(service: Service) -> flow_pb2.Service:
    """Return a service as a flow shows it."""
    return flow_pb2.Service(name=service.name, namespace=service.namespace)


def interface_message(interface: Interface) -> flow_pb2.NetworkInterface:
    """Return a network device as a flow shows it."""
    return flow_pb2.NetworkInterface(index=interface.index, name=interface.name)


def policy_messages(policies: Sequence[PolicyRef]) -> list[flow_pb2.Policy]:
    """Return policies as a flow shows them."""
    return [
        flow_pb2.Policy(
            name=policy.name,
            namespace=policy.namespace,
            labels=policy.labels,
            revision=policy.revision,
            kind=policy.kind,
        )
        for policy in policies
    ]


def detail_flow(detail: object) -> Flow:
    """Return the fields of a flow that a row's detail holds; none for details of other kinds."""
    match detail:
        case Tunnel():
            return Flow(tunnel=_tunnel_message(detail))
        case SocketTranslation():
            return Flow(socket_cookie=detail.socket_cookie, cgroup_id=detail.cgroup_id)
        case _:
            return Flow()


def _tunnel_message(tunnel: Tunnel) -> flow_pb2.Tunnel:
    message = flow_pb2.Tunnel(
        protocol=open_enum(tunnel.protocol),
        vni=tunnel.vni,
        IP=flow_pb2.IP(
            source=address_text(tunnel.source),
            destination=address_text(tunnel.destination),
            ipVersion=open_enum(tunnel.ip_version),
        ),
    )
    if tunnel.l4_kind == L4Kind.UDP:
        message.l4.UDP.source_port = tunnel.source_port
        message.l4.UDP.destination_port = tunnel.destination_port
    return message


def timestamp(time_ns: int) -> Timestamp:
    """Return nanoseconds since 1970 as a message."""
    return Timestamp(seconds=time_ns // _NS_PER_S, nanos=time_ns % _NS_PER_S)


def progress_response(time_ns: int, node_name: str) -> GetFlowsResponse:
    """Return the response that says only how far a stream is.

    Those of agent and debug events are written alike: name and time have the same numbers there.
    """
    return GetFlowsResponse(node_name=node_name, time=timestamp(time_ns))


def lost_response(lost: LostEvents, *, time_ns: int, node_name: str) -> GetFlowsResponse:
    """Return the response that reports a gap."""
    event = LostEvent(source=open_enum(lost.source), num_events_lost=lost.count)
    if lost.cpu is not None:
        event.cpu.value = lost.cpu
    if lost.first_ns is not None:
        event.first.CopyFrom(timestamp(lost.first_ns))
    if lost.last_ns is not None:
        event.last.CopyFrom(timestamp(lost.last_ns))
    return GetFlowsResponse(lost_events=event, node_name=node_name, time=timestamp(time_ns))
