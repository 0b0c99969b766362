"""FlowFilter the slow way: one flow message, one filter at a time, written from the API's facts.

It shares no code with the filters and imports none of their modules.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Any

from api.proto.flow import flow_pb2
from api.proto.flow.flow_pb2 import Flow, FlowFilter

L7 = 2
DROPPED = 2


def selected(flow: Flow, allow: list[FlowFilter], deny: list[FlowFilter]) -> bool:
    allowed = not allow or any(matches(flow, each) for each in allow)
    return allowed and not any(matches(flow, each) for each in deny)


def matches(flow: Flow, asked: FlowFilter) -> bool:
    """All fields that are set must match."""
    return all(
        any(FIELDS[field.name](flow, value) for value in values)
        for field, values in asked.ListFields()
    )


def source_ip(flow: Flow, value: str) -> bool:
    return _ip(flow.IP.source, value)


def destination_ip(flow: Flow, value: str) -> bool:
    return _ip(flow.IP.destination, value)


def source_ip_xlated(flow: Flow, value: str) -> bool:
    return _ip(flow.IP.source_xlated, value)


def _ip(text: str, value: str) -> bool:
    if not text:
        return False
    if "/" not in value:
        return text == value
    return ipaddress.ip_address(text) in ipaddress.ip_network(value, strict=False)


def _named(namespace: str, name: str, value: str) -> bool:
    if not namespace and not name:
        return False
    if "/" in value:
        wanted_namespace, prefix = value.split("/")[:2]
    else:
        wanted_namespace, prefix = "default", value
    return (not wanted_namespace or wanted_namespace == namespace) and name.startswith(prefix)


def _pod(endpoint: flow_pb2.Endpoint, value: str) -> bool:
    return _named(endpoint.namespace, endpoint.pod_name, value)


def _service(service: flow_pb2.Service, value: str) -> bool:
    return _named(service.namespace, service.name, value)


def _workload(endpoint: flow_pb2.Endpoint, value: flow_pb2.Workload) -> bool:
    return any(
        (not value.name or value.name == each.name) and (not value.kind or value.kind == each.kind)
        for each in endpoint.workloads
    )


def _fqdn(names: list[str], value: str) -> bool:
    pattern = value.strip().lower()
    pattern = pattern.removesuffix(".")
    regexp = pattern.replace(".", "[.]").replace("*", "[-.0-9a-z]*")
    return any(re.fullmatch(regexp, name) for name in names)


def _label(labels: list[str], value: str) -> bool:
    """Selectors of the forms k, !k, k=v, k!=v, k in (..), k notin (..), k>n; joined by `;` here."""
    return all(_requirement(labels, part.strip()) for part in re.split(r",(?![^(]*\))", value))


def _requirement(labels: list[str], text: str) -> bool:
    negated = re.fullmatch(r"!\s*(\S+)", text)
    if negated:
        return _value(labels, negated[1]) is None
    operation = re.fullmatch(r"(\S+?)\s*(==|!=|=|>|<)\s*(\S*)", text)
    if operation:
        key, operator, wanted = operation.groups()
        found = _value(labels, key)
        if operator == "!=":
            return found != wanted
        if operator in (">", "<"):
            if found is None or not re.fullmatch(r"[+-]?\d+", found):
                return False
            return int(found) > int(wanted) if operator == ">" else int(found) < int(wanted)
        return found == wanted
    member = re.fullmatch(r"(\S+)\s+(in|notin)\s*\((.*)\)", text)
    if member:
        found = _value(labels, member[1])
        members = [each.strip() for each in member[3].split(",")] if member[3] else []
        inside = found is not None and found in members
        return inside if member[2] == "in" else not inside
    return text == "" or _value(labels, text) is not None


def _value(labels: list[str], key: str) -> str | None:
    source, colon, name = key.partition(":")
    if not colon:
        source, name = "any", key
    for label in labels:
        its_source, _, rest = label.partition(":")
        its_name, _, its_value = rest.partition("=")
        if source not in ("any", "unspec", its_source):
            continue
        if its_name == name:
            return its_value
        if source == "cidr" and _within(its_name, name):
            return its_value
    return None


def _within(inner: str, outer: str) -> bool:
    small = ipaddress.ip_network(inner.replace("-", ":"))
    large = ipaddress.ip_network(outer.replace("-", ":"), strict=False)
    return small.version == large.version and small.subnet_of(large)  # type: ignore[arg-type] # same version


def _port(flow: Flow, side: str, value: str) -> bool:
    protocol = flow.l4.WhichOneof("protocol")
    if protocol not in ("TCP", "UDP", "SCTP"):
        return False
    return bool(getattr(getattr(flow.l4, protocol), side) == int(value))


def event_type(flow: Flow, value: flow_pb2.EventTypeFilter) -> bool:
    if not flow.HasField("event_type"):
        return False
    if value.type and value.type != flow.event_type.type:
        return False
    return not value.match_sub_type or value.sub_type == flow.event_type.sub_type


def drop_reason_desc(flow: Flow, value: int) -> bool:
    return flow.verdict == DROPPED and flow.drop_reason_desc == value


def reply(flow: Flow, value: bool) -> bool:
    if flow.HasField("is_reply"):
        return flow.is_reply.value == value
    return flow.verdict == DROPPED and not value


def protocol(flow: Flow, value: str) -> bool:
    name = flow.l4.WhichOneof("protocol")
    wanted = value.lower()
    if wanted == "icmp":
        return name in ("ICMPv4", "ICMPv6")
    return name is not None and name.lower() == wanted


def tcp_flags(flow: Flow, value: flow_pb2.TCPFlags) -> bool:
    if not flow.l4.HasField("TCP") or not flow.l4.TCP.HasField("flags"):
        return False
    return all(getattr(flow.l4.TCP.flags, field.name) for field, _ in value.ListFields())


def node_name(flow: Flow, value: str) -> bool:
    if not flow.node_name:
        return False
    cluster, _, node = ("/" + flow.node_name).rpartition("/")
    cluster = cluster.strip("/") or "default"
    wanted_cluster, slash, wanted_node = value.partition("/")
    if not slash:
        wanted_cluster, wanted_node = "", value
    return all(
        not wanted or _fqdn([name], wanted)
        for name, wanted in ((cluster, wanted_cluster), (node, wanted_node))
    )


def interface(flow: Flow, value: flow_pb2.NetworkInterface) -> bool:
    if not flow.HasField("interface"):
        return False
    return value.index in (0, flow.interface.index) and value.name in ("", flow.interface.name)


FIELDS: dict[str, Callable[[Flow, Any], bool]] = {
    "uuid": lambda flow, value: flow.uuid == value,
    "event_type": event_type,
    "verdict": lambda flow, value: flow.verdict == value,
    "drop_reason_desc": drop_reason_desc,
    "reply": reply,
    "encrypted": lambda flow, value: flow.IP.encrypted == value,
    "source_identity": lambda f, v: f.HasField("source") and f.source.identity == v,
    "destination_identity": lambda f, v: f.HasField("destination") and f.destination.identity == v,
    "protocol": protocol,
    "source_ip": source_ip,
    "destination_ip": destination_ip,
    "source_ip_xlated": source_ip_xlated,
    "source_pod": lambda flow, value: _pod(flow.source, value),
    "destination_pod": lambda flow, value: _pod(flow.destination, value),
    "source_workload": lambda flow, value: _workload(flow.source, value),
    "destination_workload": lambda flow, value: _workload(flow.destination, value),
    "source_service": lambda flow, value: _service(flow.source_service, value),
    "destination_service": lambda flow, value: _service(flow.destination_service, value),
    "source_cluster_name": lambda flow, value: flow.source.cluster_name == value,
    "destination_cluster_name": lambda flow, value: flow.destination.cluster_name == value,
    "source_fqdn": lambda flow, value: _fqdn(list(flow.source_names), value),
    "destination_fqdn": lambda flow, value: _fqdn(list(flow.destination_names), value),
    "dns_query": lambda flow, value: False,
    "http_method": lambda flow, value: False,
    "source_label": lambda flow, value: _label(list(flow.source.labels), value),
    "destination_label": lambda flow, value: _label(list(flow.destination.labels), value),
    "node_labels": lambda f, value: _label([f"unspec:{label}" for label in f.node_labels], value),
    "source_port": lambda flow, value: _port(flow, "source_port", value),
    "destination_port": lambda flow, value: _port(flow, "destination_port", value),
    "tcp_flags": tcp_flags,
    "node_name": node_name,
    "ip_version": lambda flow, value: flow.IP.ipVersion == value,
    "trace_id": lambda flow, value: flow.trace_context.parent.trace_id == value,
    "traffic_direction": lambda flow, value: flow.traffic_direction == value,
    "interface": interface,
    "ip_trace_id": lambda flow, value: flow.ip_trace_id.trace_id == value,
}
