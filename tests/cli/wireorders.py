"""Responses in the orders of fields that servers write: by number, ours, Go's."""

import random

from api.proto.flow.flow_pb2 import Flow
from api.proto.observer.observer_pb2 import GetFlowsResponse

ORDERS = ("upb", "ours", "go")

_HEAD = ("time", "uuid", "node_name", "emitter", "ethernet", "l4")
_MIDDLE = (
    "verdict",
    "drop_reason",
    "Type",
    "reply",
    "event_type",
    "traffic_direction",
    "policy_match_type",
    "trace_observation_point",
    "drop_reason_desc",
    "is_reply",
    "trace_reason",
    "Summary",
    "IP",
    "source",
    "destination",
)


def encoded(response: GetFlowsResponse, order: str) -> bytes:
    """Encode a response with its flow's fields in an order; of the same meaning as any other."""
    if order == "upb":
        return response.SerializeToString()
    flow = response.flow
    names = [field.name for field, _ in flow.ListFields()]
    if order != "go":
        first = [*_HEAD, *_MIDDLE]
        names = [name for name in first if name in names] + [n for n in names if n not in first]
    body = b"".join(_field(flow, name) for name in names)
    outer = GetFlowsResponse()
    outer.CopyFrom(response)
    outer.ClearField("flow")
    return outer.SerializeToString() + b"\x0a" + _length(len(body), padded=order != "go") + body


def shuffled(response: GetFlowsResponse, rng: random.Random) -> bytes:
    """Encode a response with its flow's fields in any order."""
    fields = [_field(response.flow, field.name) for field, _ in response.flow.ListFields()]
    rng.shuffle(fields)
    outer = GetFlowsResponse()
    outer.CopyFrom(response)
    outer.ClearField("flow")
    body = b"".join(fields)
    return outer.SerializeToString() + b"\x0a" + _length(len(body), padded=False) + body


def _field(flow: Flow, name: str) -> bytes:
    alone = Flow()
    alone.CopyFrom(flow)
    for field, _ in flow.ListFields():
        if field.name != name:
            alone.ClearField(field.name)
    return alone.SerializeToString()


def _length(value: int, *, padded: bool) -> bytes:
    if padded:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14 & 0x7F | 0x80, 0))
    head = bytearray()
    while value >= 0x80:
        head.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*head, value))


def ordinary(rng: random.Random) -> GetFlowsResponse:
    """Make a response as servers send it; some have something unusual in it."""
    response = GetFlowsResponse(node_name=rng.choice(("default/one", "two")))
    flow = response.flow
    flow.time.seconds = 1_772_600_767 + rng.randrange(2)
    flow.time.nanos = rng.choice((0, 89_000_000, 999_999_999, 300_000_000, rng.randrange(10**9)))
    response.time.CopyFrom(flow.time)
    flow.node_name = response.node_name
    if rng.random() < 0.5:
        flow.uuid = rng.choice(("00000000-0000-4000-8000-00000000002a", "<odd>"))
    flow.ethernet.source, flow.ethernet.destination = "02:00:00:00:00:01", "02:00:00:00:00:b2"
    _fill_ends(flow, rng)
    _fill_l4(flow, rng)
    flow.Summary = rng.choice(("TCP Flags: SYN", "", "x" * 200, "*\x82\x84\n\x1b[31m"))
    flow.event_type.type, flow.event_type.sub_type = rng.choice((1, 4, 5, 129)), rng.randrange(3)
    flow.verdict = rng.choice((1, 2, 5))  # type: ignore[assignment]  # any number may come
    flow.traffic_direction = rng.randrange(3)  # type: ignore[assignment]
    if rng.random() < 0.7:
        flow.is_reply.value = rng.random() < 0.5
    if rng.random() < 0.5:
        flow.interface.index = rng.randrange(300)
        flow.interface.name = rng.choice(("", "eth0", "x" * 130))
    if rng.random() < 0.3:
        flow.file.name, flow.file.line = "bpf_lxc.c", rng.randrange(2000)
    if rng.random() < 0.3:
        flow.egress_denied_by.add(name="no", kind="NetworkPolicy")
    return response


def _fill_ends(flow: Flow, rng: random.Random) -> None:
    flow.IP.source = rng.choice(("10.0.0.1", "fd00::1"))
    flow.IP.destination = rng.choice(("10.0.0.22", "2001:db8:1111:2222:3333:4444:5555:6666", '"'))
    flow.IP.ipVersion = rng.choice((0, 1, 2))  # type: ignore[assignment]
    for end in (flow.source, flow.destination):
        end.SetInParent()
        end.identity = rng.choice((0, 2, 4711))
        if rng.random() < 0.7:
            end.namespace, end.pod_name = "default", rng.choice(("xwing", "death<star>"))
            end.labels.extend(f"k8s:label-{number}=B" for number in range(rng.randrange(12)))
    if rng.random() < 0.2:
        flow.destination_service.name, flow.destination_service.namespace = "svc", "ns"
    if rng.random() < 0.2:
        flow.source_names.append("example.org")


def _fill_l4(flow: Flow, rng: random.Random) -> None:
    ports = (0, 80, 127, 128, 8080, 16383, 16384, 54321, 65535)
    match rng.randrange(6):
        case 0:
            flow.l4.UDP.source_port = rng.choice(ports)
            flow.l4.UDP.destination_port = rng.choice(ports)
        case 1:
            flow.l4.ICMPv4.type = 8
        case 2:
            return
        case 3:
            flow.l4.SetInParent()
        case _:
            flow.l4.TCP.source_port = rng.choice(ports)
            flow.l4.TCP.destination_port = rng.choice(ports)
            if rng.random() < 0.7:
                flow.l4.TCP.flags.SYN = rng.random() < 0.7
