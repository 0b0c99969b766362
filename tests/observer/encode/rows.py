"""Random rows of every kind, valid as decode and enrich make them: a mix, and the odd ones."""

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

import numpy as np

from api.proto.flow.flow_pb2 import IPVersion, Verdict
from observer.entities import (
    Endpoint,
    Interface,
    LostEvents,
    PolicyRef,
    Service,
    SocketTranslation,
    Tunnel,
    Workload,
    address_bytes,
)
from observer.table.columns import EventKind, L4Kind, RowFlag
from observer.table.interns import Interns, InternTable
from observer.table.ring import FlowTable
from observer.table.rows import Rows

BASE_NS = 1_772_600_767_089_000_001

ADDRESSES = [
    "10.0.0.1",
    "10.0.0.255",
    "10.1.2.3",
    "192.168.100.200",
    "255.255.255.255",
    "0.0.0.0",
    "fd00::1",
    "fd00:244::a:1",
    "2001:db8:0:1:1:1:1:1",
    "2001:db8::1:0:0:1",
    "fe80::1234:5678:9abc:def0",
    "1111:2222:3333:4444:5555:6666:7777:8888",
    "::",
    "::1",
    "::1.2.3.4",
    "ff02::2",
]

ENDPOINTS = [
    Endpoint(
        endpoint_id=17,
        identity=1234,
        cluster_name="default",
        namespace="default",
        labels=("k8s:app=x", "k8s:io.kubernetes.pod.namespace=default", "k8s:org=empire"),
        pod_name="xwing-7f9",
        workloads=(Workload("ReplicaSet", "xwing-7f"), Workload("Deployment", "xwing")),
    ),
    Endpoint(
        endpoint_id=0,
        identity=2,
        cluster_name="",
        namespace="",
        labels=("cidr:10.1.2.0/24", "reserved:world"),
        pod_name="",
        workloads=(),
    ),
    Endpoint(
        endpoint_id=65535,
        identity=16_777_217,
        cluster_name="other",
        namespace="kube-system",
        labels=("k8s:k8s-app=kube-dns", "k8s:replicas=3", "unspec:app=y"),
        pod_name="coredns-0",
        workloads=(Workload("DaemonSet", "coredns"),),
    ),
    Endpoint(
        endpoint_id=3,
        identity=0,
        cluster_name="default",
        namespace="shop",
        labels=(),
        pod_name="",
        workloads=(),
    ),
]
SERVICES = [Service(namespace="default", name="deathstar"), Service(namespace="", name="loose")]
NAMES = [("cilium.io", "www.cilium.io"), ("a_b.example.com",)]
INTERFACES = [Interface(index=7, name="eth0"), Interface(index=300, name="")]
POLICIES = [
    (PolicyRef(kind="NetworkPolicy", namespace="default", name="p", labels=("a=b",), revision=3),),
    (
        PolicyRef(kind="CiliumNetworkPolicy", namespace="x", name="q", labels=(), revision=0),
        PolicyRef(
            kind="CiliumClusterwideNetworkPolicy", namespace="", name="r", labels=(), revision=9
        ),
    ),
]

KINDS = [
    EventKind.DROP,
    EventKind.TRACE,
    EventKind.TRACE,
    EventKind.POLICY_VERDICT,
    EventKind.CAPTURE,
    EventKind.TRACE_SOCK,
]
_PORTED = (L4Kind.TCP, L4Kind.UDP, L4Kind.SCTP)


def new_table(capacity: int = 1023) -> FlowTable:
    return FlowTable(capacity=capacity, interns=Interns(), seed=5)


def fill(table: FlowTable, count: int, seed: int, *, start_ns: int = BASE_NS) -> None:
    """Append random rows, among them some of kind LOST."""
    rng = np.random.default_rng(seed)
    done = 0
    while done < count:
        batch = min(count - done, int(rng.integers(1, 200)))
        table.append(random_rows(table.interns, batch, rng, start_ns + done * 1_000_003))
        done += batch
        if rng.random() < 0.3 and done < count:
            append_lost(table, rng, start_ns + done * 1_000_003)
            done += 1


def append_lost(table: FlowTable, rng: np.random.Generator, time_ns: int) -> LostEvents:
    lost = LostEvents(
        source=int(rng.integers(0, 4)),
        count=int(rng.integers(1, 2**40)),
        cpu=None if rng.random() < 0.5 else int(rng.integers(0, 64)),
        first_ns=None if rng.random() < 0.5 else time_ns - 5,
        last_ns=None if rng.random() < 0.5 else time_ns,
    )
    table.append_lost(lost, time_ns)
    return lost


def random_rows(interns: Interns, count: int, rng: np.random.Generator, start_ns: int) -> Rows:
    rows = Rows.zeros(count)
    columns = rows.columns
    columns["time_ns"][:] = start_ns + np.cumsum(rng.integers(0, 1_000_000, count))
    columns["kind"][:] = rng.choice(KINDS, count)
    for index in range(count):
        _fill_row(rows, index, rng)
    for name, intern_table, values in (
        ("source_ref", interns.endpoints, ENDPOINTS),
        ("destination_ref", interns.endpoints, ENDPOINTS),
        ("source_service_ref", interns.services, SERVICES),
        ("destination_service_ref", interns.services, SERVICES),
        ("source_names_ref", interns.names, NAMES),
        ("destination_names_ref", interns.names, NAMES),
        ("interface_ref", interns.interfaces, INTERFACES),
        ("policies_ref", interns.policies, POLICIES),
        ("xlated_ref", interns.addresses, [address_bytes(ip_address(a)) for a in ADDRESSES[:8]]),
    ):
        _fill_refs(columns[name], intern_table, values, rng)
    columns["xlated_ref"][columns["ip_version"] == 0] = 0
    return rows


def _fill_refs(
    column: np.ndarray, interns: InternTable[Any], values: Sequence[Any], rng: np.random.Generator
) -> None:
    absent = rng.random(len(column)) < 0.4
    picked = rng.integers(0, len(values), len(column))
    for index in np.flatnonzero(~absent):
        column[index] = interns.ref(values[picked[index]])


def _fill_row(rows: Rows, index: int, rng: np.random.Generator) -> None:
    columns = rows.columns
    kind = int(columns["kind"][index])

    def put(name: str, value: object) -> None:
        columns[name][index] = value

    put("is_reply", rng.integers(-1, 2))
    put("direction", rng.integers(0, 3))
    _fill_event(kind, put, rng)
    if rng.random() < 0.9 and kind != EventKind.TRACE_SOCK:
        put("flags", RowFlag.ETHERNET)
        put("macs", rng.integers(0, 256, 12))
    if rng.random() < 0.93:
        _fill_packet(columns, index, rng)
    put("bytes", rng.integers(0, 2**63))
    put("packets", rng.integers(0, 2**32))
    put("rtt_ns", rng.integers(0, 2**32))
    put("rule_cookie", rng.integers(0, 2**32))
    put("vlan_id", rng.integers(0, 4096))
    if rng.random() < 0.1:
        put("ip_trace_id", rng.integers(0, 2**64, dtype=np.uint64))
    if kind == EventKind.TRACE_SOCK:
        rows.details[index] = SocketTranslation(socket_cookie=2**50 + index, cgroup_id=index)
    elif rng.random() < 0.05:
        rows.details[index] = _tunnel(rng)
    if index in rows.details:
        columns["flags"][index] |= RowFlag.DETAIL


def _fill_event(kind: int, put: Callable[[str, object], None], rng: np.random.Generator) -> None:
    match kind:
        case EventKind.DROP:
            reason = int(rng.choice([130, 133, 181, 205, 250]))
            put("sub_type", reason)
            put("drop_reason", reason)
            put("verdict", Verdict.DROPPED)
            put("file", rng.choice([0, 1, 115, 200, 205, 77]))
            put("line", rng.integers(0, 65536))
        case EventKind.TRACE:
            put("sub_type", rng.integers(0, 15))
            put("verdict", Verdict.FORWARDED)
            put("trace_reason", rng.integers(0, 9))
            put("proxy_port", rng.choice([0, 0, 10000]))
        case EventKind.POLICY_VERDICT:
            verdict = int(rng.choice([1, 2, 4, 5]))
            put("verdict", verdict)
            put("drop_reason", 133 if verdict == Verdict.DROPPED else 0)
            put("match_type", rng.integers(0, 8))
            put("auth_type", rng.choice([0, 0, 1, 2, 200]))
        case EventKind.TRACE_SOCK:
            put("sub_type", rng.integers(0, 5))
            put("verdict", rng.choice([6, 7]))
        case _:
            put("sub_type", rng.integers(4, 12))


def _fill_packet(columns: dict[str, np.ndarray], index: int, rng: np.random.Generator) -> None:
    v6 = rng.random() < 0.4
    pool = ADDRESSES[6:] if v6 else ADDRESSES[:6]
    for side in ("source_ip", "destination_ip"):
        packed = address_bytes(ip_address(str(rng.choice(pool))))
        columns[side][index] = np.frombuffer(packed, np.uint64)
    columns["ip_version"][index] = IPVersion.IPv6 if v6 else IPVersion.IPv4
    if rng.random() < 0.2:
        columns["flags"][index] |= RowFlag.ENCRYPTED
    l4_kind = int(rng.choice([0, 1, 1, 1, 1, 2, 2, 3, 4, 5, 6, 7]))
    columns["l4_kind"][index] = l4_kind
    if l4_kind in _PORTED:
        columns["source_port"][index] = rng.choice([0, 53, 127, 128, 16384, 65535])
        columns["destination_port"][index] = rng.choice([80, 443, 53])
    elif l4_kind != L4Kind.NONE:
        types = [0, 3, 8, 11, 17, 128, 135, 1, 4, 5, 255]
        columns["source_port"][index] = rng.choice(types)
        columns["destination_port"][index] = 0 if l4_kind == L4Kind.IGMP else rng.integers(0, 18)
    if l4_kind == L4Kind.TCP:
        columns["tcp_flags"][index] = rng.choice([0, 2, 18, 16, 17, 511, 4])
    elif l4_kind == L4Kind.SCTP:
        columns["tcp_flags"][index] = rng.integers(0, 7)
    elif l4_kind == L4Kind.VRRP:
        columns["tcp_flags"][index] = rng.choice([0, 1, 100, 127, 128, 254, 255])


def _tunnel(rng: np.random.Generator) -> Tunnel:
    return Tunnel(
        protocol=int(rng.integers(1, 3)),
        vni=int(rng.integers(0, 2**24)),
        ip_version=IPVersion.IPv4,
        source=address_bytes(ip_address("172.30.0.1")),
        destination=address_bytes(ip_address("172.30.0.2")),
        l4_kind=L4Kind.UDP,
        source_port=40000,
        destination_port=8472,
    )
