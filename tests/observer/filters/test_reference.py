"""Masks over columns against the slow evaluator over messages: random filters, all fields."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.proto.flow import flow_pb2
from api.proto.flow.flow_pb2 import Flow, FlowFilter
from observer.filters import compile_filters
from observer.table.columns import EventKind
from tests.observer.encode.reference import NODE_LABELS, NODE_NAME, flow_of
from tests.observer.encode.rows import ADDRESSES, fill, new_table
from tests.observer.filters.reference import matches, selected

ROWS = 300
TABLE = new_table(capacity=511)
fill(TABLE, ROWS, 21)
KINDS = TABLE.columns["kind"][:ROWS]
FLOWS = [Flow() if kind == EventKind.LOST else flow_of(TABLE, n) for n, kind in enumerate(KINDS)]
UUIDS = [flow.uuid for flow in FLOWS if flow.uuid]

SELECTORS = [
    "app=x",
    "k8s:app=x",
    "app==y",
    "unspec:app",
    "unspec:org",
    "app in ()",
    "app notin ()",
    "app in (x,)",
    "any:app",
    "app!=x",
    "!app",
    "! k8s:app",
    "reserved:world",
    "world",
    "app,org=empire",
    "app in (x,z)",
    "app notin (x, y)",
    "org in (alliance)",
    "replicas>2",
    "replicas<3",
    "app>1",
    "k8s:io.kubernetes.pod.namespace=default",
    "cidr:10.0.0.0/8",
    "cidr:10.1.2.0/25",
    "app=",
    "",
]
NAMES = ["xwing", "default/", "kube-system/core", "/core", "/", "default/xwing-7f9x", "shop/"]
PREFIXES = [
    "10.0.0.0/8",
    "10.0.0.1/31",
    "0.0.0.0/0",
    "::/0",
    "::/96",
    "::1/128",
    "fd00::/16",
    "fd00:244::a:0/112",
    "2001:db8::/32",
    "::ffff:0:0/96",
    "255.255.255.255/32",
    "10.1.2.3/7",
]
VALUES: dict[str, list[Any]] = {
    "uuid": [UUIDS[0], UUIDS[-1], UUIDS[3].upper(), "nonsense", ""],
    "event_type": [
        flow_pb2.EventTypeFilter(type=4),
        flow_pb2.EventTypeFilter(type=4, match_sub_type=True),
        flow_pb2.EventTypeFilter(type=1, match_sub_type=True, sub_type=133),
        flow_pb2.EventTypeFilter(match_sub_type=True, sub_type=5),
        flow_pb2.EventTypeFilter(),
        flow_pb2.EventTypeFilter(type=-1),
        flow_pb2.EventTypeFilter(type=260),
        flow_pb2.EventTypeFilter(type=4, match_sub_type=True, sub_type=256),
        flow_pb2.EventTypeFilter(type=5),
        flow_pb2.EventTypeFilter(type=129),
    ],
    "verdict": [0, 1, 2, 4, 5, 6, 7, 300],
    "drop_reason_desc": [0, 133, 181, 205, 250],
    "reply": [True, False],
    "encrypted": [True, False],
    "source_identity": [0, 2, 1234, 16_777_217, 7],
    "destination_identity": [0, 2, 1234, 16_777_217, 7],
    "protocol": ["tcp", "UDP", "icmp", "ICMPv4", "icmpv6", "sctp", "vrrp", "igmp", "dns", "http"],
    "source_ip": [*ADDRESSES, *PREFIXES, "::0001", "::ffff:10.0.0.1", "FD00::1", "9.9.9.9"],
    "destination_ip": [*ADDRESSES, *PREFIXES, "fd00:0::1"],
    "source_ip_xlated": [*ADDRESSES[:8], *PREFIXES],
    "source_pod": NAMES,
    "destination_pod": NAMES,
    "source_workload": [
        flow_pb2.Workload(name="xwing"),
        flow_pb2.Workload(kind="DaemonSet"),
        flow_pb2.Workload(name="xwing", kind="Deployment"),
        flow_pb2.Workload(name="xwing", kind="DaemonSet"),
        flow_pb2.Workload(),
    ],
    "destination_workload": [flow_pb2.Workload(name="coredns"), flow_pb2.Workload(name="Coredns")],
    "source_service": ["deathstar", "default/", "/loose", "loose", "/"],
    "destination_service": ["deathstar", "default/death", "/", "x/"],
    "source_cluster_name": ["default", "other", "oth", "*"],
    "destination_cluster_name": ["default", "other"],
    "source_fqdn": ["cilium.io", "*.cilium.io", "*", "CILIUM.IO.", "a_b.*", "a*.example.com"],
    "destination_fqdn": ["*cilium*", "a_b.example.com", "example.com"],
    "dns_query": ["x"],
    "http_method": ["GET"],
    "source_label": SELECTORS,
    "destination_label": SELECTORS,
    "node_labels": ["zone=a", "zone=b", "kubernetes.io/hostname", "!zone", "k8s:zone", "x:zone"],
    "source_port": ["0", "53", "127", "65535", "3", "00053"],
    "destination_port": ["80", "443", "8"],
    "tcp_flags": [
        flow_pb2.TCPFlags(),
        flow_pb2.TCPFlags(SYN=True),
        flow_pb2.TCPFlags(SYN=True, ACK=True),
        flow_pb2.TCPFlags(NS=True),
        flow_pb2.TCPFlags(URG=True, FIN=True),
    ],
    "node_name": ["node-1", "default/", "default/node-1", "other/", "/node-*", "*", "node"],
    "ip_version": [0, 1, 2, 3],
    "trace_id": ["", "abc"],
    "traffic_direction": [0, 1, 2],
    "interface": [
        flow_pb2.NetworkInterface(),
        flow_pb2.NetworkInterface(index=7),
        flow_pb2.NetworkInterface(name="eth0"),
        flow_pb2.NetworkInterface(index=7, name="eth1"),
        flow_pb2.NetworkInterface(index=300),
    ],
    "ip_trace_id": [0, 5, int(max(TABLE.columns["ip_trace_id"]))],
}


def mask(allow: list[FlowFilter], deny: list[FlowFilter], rows: slice = slice(0, ROWS)) -> Any:  # noqa: ANN401 # an array
    selection = compile_filters(allow, deny, node_name=NODE_NAME, node_labels=NODE_LABELS)
    return selection.mask(TABLE, rows)


def expected(allow: list[FlowFilter], deny: list[FlowFilter]) -> list[bool]:
    return [
        kind == EventKind.LOST or selected(flow, allow, deny)
        for flow, kind in zip(FLOWS, KINDS, strict=True)
    ]


CASES = [(name, value) for name, values in VALUES.items() for value in values]


@pytest.mark.parametrize(("field", "value"), CASES)
def test_each_value_alone(field: str, value: object) -> None:
    asked = FlowFilter(**{field: [value]})  # type: ignore[arg-type] # any field
    found = mask([asked], [])
    assert found.tolist() == expected([asked], [])
    assert mask([], [asked]).tolist() == expected([], [asked])


def test_values_cover_every_field_that_rows_can_match() -> None:
    only_with_records = {
        "http_status_code",
        "http_path",
        "http_url",
        "http_header",
        "experimental",
    }
    fields = {field.name for field in FlowFilter.DESCRIPTOR.fields}
    assert set(VALUES) == fields - only_with_records


ONE_ANSWER_FOR_ALL_ROWS = {"dns_query", "http_method", "node_name", "node_labels", "trace_id"}


@pytest.mark.parametrize("field", sorted(VALUES.keys() - ONE_ANSWER_FOR_ALL_ROWS))
def test_the_rows_tell_hits_from_misses(field: str) -> None:
    answers = [
        [matches(flow, FlowFilter(**{field: [value]})) for flow in FLOWS]  # type: ignore[arg-type] # any field
        for value in VALUES[field]
    ]
    assert any(any(answer) and not all(answer) for answer in answers)


@st.composite
def filters(draw: st.DrawFn) -> FlowFilter:
    made = FlowFilter()
    fields = st.sampled_from(sorted(VALUES.keys() - {"http_method"}))
    for field in draw(st.lists(fields, max_size=3, unique=True)):
        values = draw(st.lists(st.sampled_from(VALUES[field]), min_size=1, max_size=12))
        getattr(made, field).extend(values)
    return made


@given(allow=st.lists(filters(), max_size=3), deny=st.lists(filters(), max_size=2))
@settings(max_examples=150, deadline=None)
def test_filters_together(allow: list[FlowFilter], deny: list[FlowFilter]) -> None:
    assert mask(allow, deny).tolist() == expected(allow, deny)


@given(asked=filters(), start=st.integers(0, ROWS - 1), length=st.integers(0, 60))
@settings(max_examples=50, deadline=None)
def test_slices_judge_as_the_whole_does(asked: FlowFilter, start: int, length: int) -> None:
    rows = slice(start, min(start + length, ROWS))
    assert np.array_equal(mask([asked], [], rows), mask([asked], [])[rows])
