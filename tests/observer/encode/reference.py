"""Flows from rows the slow way: one message object at a time, written from the API's facts.

It shares no code with the encoder. Tables of names that both need are written out again.
"""

from ipaddress import IPv6Address
from typing import Any

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import Int32Value
from numpy.typing import NDArray

from api.proto.flow import flow_pb2
from api.proto.leavitt.flow_details_pb2 import FlowDetails
from api.proto.observer.observer_pb2 import GetFlowsResponse
from observer.entities import LostEvents, SocketTranslation, Tunnel
from observer.table.columns import RowFlag
from observer.table.ring import FlowTable

NODE_NAME = "default/node-1"
NODE_LABELS = ("kubernetes.io/hostname=node-1", "zone=a")
EMITTER = ("Hubble", "0.1.0")

FILES = {1: "bpf_host.c", 115: "classifiers.h", 200: "endpoint.c", 205: "neighbour.h"}

ICMP4 = {
    (0, 0): "EchoReply",
    (8, 0): "EchoRequest",
    (3, 0): "DestinationUnreachable(Net)",
    (3, 1): "DestinationUnreachable(Host)",
    (3, 2): "DestinationUnreachable(Protocol)",
    (3, 3): "DestinationUnreachable(Port)",
    (3, 4): "DestinationUnreachable(FragmentationNeeded)",
    (3, 5): "DestinationUnreachable(SourceRoutingFailed)",
    (3, 6): "DestinationUnreachable(NetUnknown)",
    (3, 7): "DestinationUnreachable(HostUnknown)",
    (3, 8): "DestinationUnreachable(SourceIsolated)",
    (3, 9): "DestinationUnreachable(NetAdminProhibited)",
    (3, 10): "DestinationUnreachable(HostAdminProhibited)",
    (3, 11): "DestinationUnreachable(NetTOS)",
    (3, 12): "DestinationUnreachable(HostTOS)",
    (3, 13): "DestinationUnreachable(CommAdminProhibited)",
    (3, 14): "DestinationUnreachable(HostPrecedence)",
    (3, 15): "DestinationUnreachable(PrecedenceCutoff)",
    (3, 16): "DestinationUnreachable(Code: 16)",
    (3, 17): "DestinationUnreachable(Code: 17)",
    (4, 0): "SourceQuench",
    (5, 0): "Redirect(Net)",
    (5, 1): "Redirect(Host)",
    (5, 2): "Redirect(TOS+Net)",
    (5, 3): "Redirect(TOS+Host)",
    (11, 0): "TimeExceeded(TTLExceeded)",
    (11, 1): "TimeExceeded(FragmentReassemblyTimeExceeded)",
    (17, 0): "AddressMaskRequest",
}
ICMP4_NAMES = {
    0: "EchoReply",
    3: "DestinationUnreachable",
    4: "SourceQuench",
    5: "Redirect",
    8: "EchoRequest",
    11: "TimeExceeded",
    17: "AddressMaskRequest",
}
ICMP6 = {
    (128, 0): "EchoRequest",
    (135, 0): "NeighborSolicitation",
    (3, 0): "TimeExceeded(HopLimitExceeded)",
    (3, 1): "TimeExceeded(FragmentReassemblyTimeExceeded)",
    (1, 0): "DestinationUnreachable(NoRouteToDst)",
    (1, 1): "DestinationUnreachable(AdminProhibited)",
    (1, 2): "DestinationUnreachable(BeyondScopeOfSrc)",
    (1, 3): "DestinationUnreachable(AddressUnreachable)",
    (1, 4): "DestinationUnreachable(PortUnreachable)",
    (1, 5): "DestinationUnreachable(SrcAddressFailedPolicy)",
    (1, 6): "DestinationUnreachable(RejectRouteToDst)",
    (4, 0): "ParameterProblem(ErroneousHeaderField)",
    (4, 1): "ParameterProblem(UnrecognizedNextHeader)",
    (4, 2): "ParameterProblem(UnrecognizedIPv6Option)",
}
ICMP6_NAMES = {
    1: "DestinationUnreachable",
    3: "TimeExceeded",
    4: "ParameterProblem",
    128: "EchoRequest",
    135: "NeighborSolicitation",
}
IGMP = {17: "IGMP Membership Query"}
VRRP = {1: "VRRPv2 Advertisement"}
FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS")
PRINTED = ("SYN", "ACK", "RST", "FIN", "PSH", "URG", "ECE", "CWR", "NS")


class Row:
    """One row's values as attributes."""

    def __init__(self, table: FlowTable, position: int) -> None:
        slot = position & table.capacity
        self.position = position
        for name, column in table.columns.items():
            value = column[slot]
            setattr(self, name, value if value.shape else int(value))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 # by column
        raise AttributeError(name)


def response_of(table: FlowTable, position: int, *, details: bool = False) -> GetFlowsResponse:
    """The response that a client must see for a row."""
    row = Row(table, position)
    response = GetFlowsResponse(node_name=NODE_NAME, time=stamp(row.time_ns))
    if row.kind == 255:
        lost = table.details[position]
        assert isinstance(lost, LostEvents)
        response.lost_events.CopyFrom(lost_of(lost))
    else:
        response.flow.CopyFrom(flow_of(table, position, details=details))
    return response


def lost_of(lost: LostEvents) -> flow_pb2.LostEvent:
    return flow_pb2.LostEvent(
        source=lost.source,  # type: ignore[arg-type] # a number
        num_events_lost=lost.count,
        cpu=None if lost.cpu is None else Int32Value(value=lost.cpu),
        first=None if lost.first_ns is None else stamp(lost.first_ns),
        last=None if lost.last_ns is None else stamp(lost.last_ns),
    )


def stamp(time_ns: int) -> Timestamp:
    return Timestamp(seconds=time_ns // 10**9, nanos=time_ns % 10**9)


def flow_of(table: FlowTable, position: int, *, details: bool = False) -> flow_pb2.Flow:
    """The flow that a client must see for a row that is none of kind LOST."""
    row = Row(table, position)
    flow = flow_pb2.Flow(
        time=stamp(row.time_ns),
        uuid=bytes(table.uuids(np.array([position]))[0]).decode(),
        node_name=NODE_NAME,
        node_labels=NODE_LABELS,
        emitter=flow_pb2.Emitter(name=EMITTER[0], version=EMITTER[1]),
        verdict=row.verdict,
        drop_reason=row.drop_reason,
        drop_reason_desc=row.drop_reason,
        traffic_direction=row.direction,
        policy_match_type=row.match_type,
        auth_type=row.auth_type,
        trace_reason=row.trace_reason,
        proxy_port=row.proxy_port,
        reply=row.is_reply == 1,
        Type={129: 2, 7: 3}.get(row.kind, 1),  # type: ignore[arg-type] # a number
        Summary=summary_of(row),
    )
    flow.event_type.type, flow.event_type.sub_type = row.kind, row.sub_type
    if row.is_reply != -1:
        flow.is_reply.value = bool(row.is_reply)
    if row.kind == 4:
        flow.trace_observation_point = row.sub_type
        if row.sub_type == 0:
            flow.trace_observation_point = flow_pb2.TO_ENDPOINT
    if row.kind == 3:
        flow.debug_capture_point = row.sub_type
    if row.kind == 7:
        flow.sock_xlate_point = row.sub_type
    if row.file:
        flow.file.name = FILES.get(row.file, f"unknown({row.file})")
        flow.file.line = row.line
    if row.ip_trace_id:
        flow.ip_trace_id.trace_id = row.ip_trace_id
    _add_packet(flow, row, table)
    _add_metadata(flow, row, table)
    _add_detail(flow, table.details.get(position))
    if details:
        flow.extensions.Pack(
            FlowDetails(
                bytes=row.bytes,
                packets=row.packets,
                rtt_ns=row.rtt_ns,
                rule_cookie=row.rule_cookie,
                vlan_id=row.vlan_id,
            )
        )
    return flow


def ip_text(words: NDArray[np.uint64]) -> str:
    address = IPv6Address(words.tobytes())
    return str(address.ipv4_mapped or address)


def _add_packet(flow: flow_pb2.Flow, row: Row, table: FlowTable) -> None:
    if row.flags & RowFlag.ETHERNET:
        macs = bytes(row.macs)
        flow.ethernet.source, flow.ethernet.destination = macs[:6].hex(":"), macs[6:].hex(":")
    if row.ip_version:
        flow.IP.source, flow.IP.destination = ip_text(row.source_ip), ip_text(row.destination_ip)
        flow.IP.ipVersion = row.ip_version
        flow.IP.encrypted = bool(row.flags & RowFlag.ENCRYPTED)
        if row.xlated_ref:
            address = IPv6Address(table.interns.addresses[row.xlated_ref])
            flow.IP.source_xlated = str(address.ipv4_mapped or address)
    source, destination = row.source_port, row.destination_port
    match row.l4_kind:
        case 1:
            flow.l4.TCP.source_port, flow.l4.TCP.destination_port = source, destination
            if row.kind not in (7, 129):
                flow.l4.TCP.flags.SetInParent()
                for bit, name in enumerate(FLAGS):
                    setattr(flow.l4.TCP.flags, name, bool(row.tcp_flags & 1 << bit))
        case 2:
            flow.l4.UDP.source_port, flow.l4.UDP.destination_port = source, destination
        case 3:
            flow.l4.ICMPv4.type, flow.l4.ICMPv4.code = source, destination
        case 4:
            flow.l4.ICMPv6.type, flow.l4.ICMPv6.code = source, destination
        case 5:
            flow.l4.SCTP.source_port, flow.l4.SCTP.destination_port = source, destination
            flow.l4.SCTP.chunk_type = row.tcp_flags
        case 6:
            flow.l4.VRRP.type, flow.l4.VRRP.vrid = source, destination
            flow.l4.VRRP.priority = row.tcp_flags
        case 7:
            flow.l4.IGMP.type = source
            flow.l4.IGMP.SetInParent()
        case _:
            assert row.l4_kind == 0


def _add_metadata(flow: flow_pb2.Flow, row: Row, table: FlowTable) -> None:
    interns = table.interns
    for side, ref in (("source", row.source_ref), ("destination", row.destination_ref)):
        if ref:
            value = interns.endpoints[ref]
            getattr(flow, side).CopyFrom(
                flow_pb2.Endpoint(
                    ID=value.endpoint_id,
                    identity=value.identity,
                    cluster_name=value.cluster_name,
                    namespace=value.namespace,
                    labels=value.labels,
                    pod_name=value.pod_name,
                    workloads=[{"name": w.name, "kind": w.kind} for w in value.workloads],
                )
            )
    for side, ref in (
        ("source_service", row.source_service_ref),
        ("destination_service", row.destination_service_ref),
    ):
        if ref:
            service = interns.services[ref]
            getattr(flow, side).name = service.name
            getattr(flow, side).namespace = service.namespace
    if row.source_names_ref:
        flow.source_names.extend(interns.names[row.source_names_ref])
    if row.destination_names_ref:
        flow.destination_names.extend(interns.names[row.destination_names_ref])
    if row.interface_ref:
        interface = interns.interfaces[row.interface_ref]
        flow.interface.index, flow.interface.name = interface.index, interface.name
    if row.policies_ref and row.direction:
        way = {1: "ingress", 2: "egress"}[row.direction]
        outcome = {1: "allowed", 5: "allowed", 2: "denied", 4: "denied"}.get(row.verdict)
        if outcome:
            for policy in interns.policies[row.policies_ref]:
                getattr(flow, f"{way}_{outcome}_by").add(
                    kind=policy.kind,
                    namespace=policy.namespace,
                    name=policy.name,
                    labels=policy.labels,
                    revision=policy.revision,
                )


def _add_detail(flow: flow_pb2.Flow, detail: object) -> None:
    if isinstance(detail, SocketTranslation):
        flow.socket_cookie, flow.cgroup_id = detail.socket_cookie, detail.cgroup_id
    if isinstance(detail, Tunnel):
        flow.tunnel.protocol = detail.protocol  # type: ignore[assignment] # a number
        flow.tunnel.vni = detail.vni
        flow.tunnel.IP.source, flow.tunnel.IP.destination = "172.30.0.1", "172.30.0.2"
        flow.tunnel.IP.ipVersion = 1  # type: ignore[assignment] # a number
        flow.tunnel.l4.UDP.source_port = detail.source_port
        flow.tunnel.l4.UDP.destination_port = detail.destination_port


def summary_of(row: Row) -> str:
    kind, code = row.source_port, row.destination_port
    if row.kind == 7:
        return {1: "TCP", 2: "UDP"}.get(row.l4_kind, "Unknown")
    match row.l4_kind:
        case 0:
            return ("Ethernet", "IPv4", "IPv6")[row.ip_version]
        case 1:
            flags = {name for bit, name in enumerate(FLAGS) if row.tcp_flags & 1 << bit}
            return "TCP Flags: " + ", ".join(name for name in PRINTED if name in flags)
        case 3:
            return "ICMPv4 " + icmp_name(ICMP4, ICMP4_NAMES, kind, code)
        case 4:
            return "ICMPv6 " + icmp_name(ICMP6, ICMP6_NAMES, kind, code)
        case 6:
            return "VRRP " + VRRP.get(kind, "")
        case 7:
            return "IGMP " + IGMP.get(kind, "")
        case _:
            return {2: "UDP", 5: "SCTP"}[row.l4_kind]


def icmp_name(full: dict[tuple[int, int], str], names: dict[int, str], kind: int, code: int) -> str:
    if kind not in names:
        return f"{kind}({code})"
    return full.get((kind, code), f"{names[kind]}(Code: {code})")
