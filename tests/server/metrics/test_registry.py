"""Metrics of known packets and of the recorded mix, read back by an independent parser."""

from collections import Counter
from ipaddress import ip_address

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_families,
)
from prometheus_client.parser import text_string_to_metric_families

from api.proto.flow.flow_pb2 import Verdict
from bench.odd_packets import ethernet, ipv4
from bench.workload import SyntheticNode
from observer.entities import Endpoint, Workload, address_bytes
from server.metrics.errors import MetricsError
from server.node import Node, build_node
from server.settings import Settings
from tests.observer.decode.batches import make_batch
from tests.observer.decode.events import drop, trace, verdict

SYN, SYN_ACK, FIN_RST = 0x02, 0x12, 0x05
FORWARD, REPLY = 0, 2
XWING = Endpoint(
    endpoint_id=7,
    identity=1000,
    cluster_name="default",
    namespace="default",
    labels=("k8s:app=x", "k8s:class=xwing"),
    pod_name="xwing",
    workloads=(),
)
DEATHSTAR = Endpoint(
    endpoint_id=8,
    identity=1001,
    cluster_name="default",
    namespace="empire",
    labels=("k8s:app.kubernetes.io/name=star", "k8s:app=other"),
    pod_name='death"star-1',
    workloads=(Workload(kind="Deployment", name="deathstar"),),
)
HERE, THERE = bytes((10, 0, 0, 1)), bytes((192, 0, 2, 9))
ICMP_ECHO = ethernet(0x0800, ipv4(1, bytes.fromhex("0800 0000 0001 0001")))


def tcp(flags: int, *, port: int = 80) -> bytes:
    segment = bytes.fromhex("a028") + port.to_bytes(2, "big") + bytes(8)
    return ethernet(0x0800, ipv4(6, segment + bytes((0x50, flags)) + bytes(6)))


def node_of(metrics: str, *samples: bytes, capacity: int = 1023) -> Node:
    node = build_node(Settings(node_name="n1", metrics=metrics, event_buffer_capacity=capacity))
    node.book.set_endpoint(address_bytes(ip_address(HERE)), XWING)
    node.book.set_endpoint(address_bytes(ip_address(THERE)), DEATHSTAR)
    if samples:
        node.pipeline.feed(make_batch(list(samples)))
    return node


def values(node: Node) -> dict[tuple[str, ...], int]:
    (metric,) = node.metrics.metrics
    return metric.values()


SEEN = (
    trace(tcp(SYN), source=7, reason=FORWARD, point=5),
    trace(tcp(SYN), source=8, reason=FORWARD, point=0),
    trace(tcp(SYN_ACK), source=7, reason=REPLY, point=0),
    trace(tcp(FIN_RST), source=8, reason=FORWARD, point=0),
    trace(ICMP_ECHO, source=7, reason=FORWARD, point=5),
    drop(tcp(SYN), source=8),
    drop(tcp(SYN, port=81), source=8, reason=181),
    verdict(tcp(SYN), value=-133),
)


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        pytest.param(
            "drop",
            {("POLICY_DENIED", "TCP"): 2, ("POLICY_DENY", "TCP"): 1},
            id="drop",
        ),
        pytest.param(
            "flow",
            {
                ("TCP", "Trace", "from-endpoint", "FORWARDED"): 1,
                ("TCP", "Trace", "to-endpoint", "FORWARDED"): 3,
                ("ICMPv4", "Trace", "from-endpoint", "FORWARDED"): 1,
                ("TCP", "Drop", "", "DROPPED"): 2,
                ("TCP", "PolicyVerdict", "", "DROPPED"): 1,
            },
            id="flow",
        ),
        pytest.param(
            "tcp",
            {
                ("SYN", "IPv4"): 2,
                ("SYN-ACK", "IPv4"): 1,
                ("FIN", "IPv4"): 1,
                ("RST", "IPv4"): 1,
            },
            id="tcp",
        ),
        pytest.param("icmp", {("IPv4", "EchoRequest"): 1}, id="icmp"),
        pytest.param(
            "port-distribution", {("TCP", "80"): 3, ("ICMPv4", "0"): 1}, id="port distribution"
        ),
        pytest.param("policy", {("ingress", "none", "dropped"): 1}, id="policy"),
        pytest.param(
            "icmp:sourceContext=pod;destinationContext=workload|pod",
            {("IPv4", "EchoRequest", "default/xwing", "empire/deathstar"): 1},
            id="pods and workloads",
        ),
        pytest.param(
            "icmp:sourceContext=workload|ip;destinationContext=app",
            {("IPv4", "EchoRequest", "10.0.0.1", "star"): 1},
            id="first that is not empty",
        ),
        pytest.param(
            "icmp:labelsContext=traffic_direction,destination_workload_kind,source_ip,source_pod",
            {("IPv4", "EchoRequest", "10.0.0.1", "xwing", "Deployment", "egress"): 1},
            id="labels in their order",
        ),
        pytest.param(
            "icmp:sourceContext=pod;sourceEgressContext=identity",
            {("IPv4", "EchoRequest", "k8s:app=x,k8s:class=xwing"): 1},
            id="by direction",
        ),
        pytest.param(
            "drop:destinationContext=pod;labelsContext=source_namespace",
            {
                ("default", 'empire/death"star-1', "POLICY_DENIED", "TCP"): 2,
                ("default", 'empire/death"star-1', "POLICY_DENY", "TCP"): 1,
            },
            id="contexts first",
        ),
    ],
)
def test_family(metrics: str, expected: dict[tuple[str, ...], int]) -> None:
    assert values(node_of(metrics, *SEEN)) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", {("TCP", "FORWARDED"): 3, ("ICMPv4", "FORWARDED"): 1, ("TCP", "DROPPED"): 2}),
        (
            ":any-drop;port",
            {
                ("TCP", "FORWARDED", "80"): 3,
                ("ICMPv4", "FORWARDED", ""): 1,
                ("TCP", "DROPPED", "80"): 2,
                ("TCP", "DROPPED", "81"): 1,
            },
        ),
        (":syn-only", {("TCP", "FORWARDED"): 2, ("TCP", "DROPPED"): 2}),
    ],
)
def test_flows_to_world(options: str, expected: dict[tuple[str, ...], int]) -> None:
    node = build_node(Settings(node_name="n1", metrics=f"flows-to-world{options}"))
    node.book.set_endpoint(address_bytes(ip_address(HERE)), XWING)
    node.pipeline.feed(make_batch(list(SEEN)))
    assert values(node) == expected


ALL = "drop flow tcp icmp port-distribution policy flows-to-world"
PODS = ";".join(("sourceContext=pod|ip", "destinationContext=pod|ip"))


@pytest.mark.parametrize("options", ["", f":{PODS}"])
@pytest.mark.parametrize("capacity", [65_535, 1])
def test_mix_counts_every_row_once(options: str, capacity: int) -> None:
    traffic = SyntheticNode(11)
    node = build_node(
        Settings(node_name="n1", metrics=f"flow{options}", event_buffer_capacity=capacity)
    )
    for number, endpoint in enumerate(traffic.endpoints):
        node.book.set_endpoint(traffic.address(number, ipv6=False), endpoint)
    rows, verdicts = 0, Counter[str]()
    for size in (1, 700, 4_096, 3):
        fed = node.pipeline.feed(traffic.batch(size))
        rows += fed
        if capacity > rows:
            kept = node.table.columns["verdict"][rows - fed : rows]
            verdicts.update(Verdict.Name(each) for each in kept.tolist())
    found = values(node)
    assert sum(found.values()) == rows
    if capacity > rows:
        counted = Counter[str]()
        for labels, count in found.items():
            counted[labels[3]] += count
        assert counted == verdicts


@pytest.mark.parametrize(
    ("metrics", "error"),
    [
        ("nonsense", "metric 'nonsense' does not exist"),
        ("drop:sourceContext=pot", "unknown context 'pot'"),
        ("drop:labelsContext=source_pod,colour", "invalid labelsContext value: colour"),
        ("drop:any-drop", "drop has no option 'any-drop'"),
        ("drop flow drop", "drop stands twice"),
    ],
)
def test_what_cannot_be_used_is_named(metrics: str, error: str) -> None:
    with pytest.raises(MetricsError, match=error):
        build_node(Settings(node_name="n1", metrics=metrics))


def test_exposition_is_read_by_others_in_both_formats() -> None:
    node = node_of(f"{ALL} ".replace("flow ", f"flow:{PODS} "), *SEEN)
    plain = {
        sample.name: sample.value
        for family in text_string_to_metric_families(
            "".join(node.metrics.exposition(is_open=False))
        )
        for sample in family.samples
        if sample.labels.get("source", "default/xwing") == "default/xwing"
        and sample.labels.get("destination", "") in ("", 'empire/death"star-1')
    }
    assert plain["leavitt_table_rows"] == len(SEEN)
    assert plain["leavitt_table_span_seconds"] == (len(SEEN) - 1) / 1e9
    assert "hubble_flows_processed_total" in plain
    text = "".join(node.metrics.exposition(is_open=True))
    read = open_families(text)  # type: ignore[no-untyped-call] # it has no types
    names = {family.name for family in read}
    assert {"hubble_drop", "hubble_flows_processed", "leavitt_table_rows"} <= names


def test_what_finds_no_room_is_counted_as_other(caplog: pytest.LogCaptureFixture) -> None:
    node = node_of("flow", *SEEN)
    (metric,) = node.metrics.metrics
    metric._most = 2
    metric._series = dict(list(metric._series.items())[:2])
    for name in ("a", "b", "a"):
        metric.series((name, "", "", "")).value += 1
    text = "".join(node.metrics.exposition(is_open=False))
    others = 'hubble_flows_processed_total{protocol="other",type="other",subtype="other"'
    assert f'{others},verdict="other"}} 3' in text
    assert 'leavitt_metric_folded_total{metric="hubble_flows_processed_total"} 3' in text
    assert caplog.text.count("too many series") == 1


def test_series_of_pods_that_are_gone_are_removed_and_counted_anew() -> None:
    node = node_of("icmp:sourceContext=pod", SEEN[4])
    assert node.metrics.remove(lambda labels: labels["source"] == "default/xwing") == 1
    assert values(node) == {}
    node.pipeline.feed(make_batch([SEEN[4]], start_ns=9000))
    assert values(node) == {("IPv4", "EchoRequest", "default/xwing"): 1}
