"""Each filter flag alone: what it asks for, and what it refuses."""

from typing import Any

import pytest
from google.protobuf import json_format

from cli.filters.rows import EXCLUSIVE, ROWS
from cli.filters.tracker import FilterFlags


def both(field: str, sent: object) -> list[dict[str, object]]:
    """What a flag about both ends asks for: one filter for each."""
    return [{f"source_{field}": [sent]}, {f"destination_{field}": [sent]}]


def ends(name: str, field: str, text: str, sent: object) -> dict[str, tuple[str, object]]:
    """Cases of a flag about both ends and of its two directed forms."""
    return {
        name: (text, both(field, sent)),
        f"from-{name}": (text, [{f"source_{field}": [sent]}]),
        f"to-{name}": (text, [{f"destination_{field}": [sent]}]),
    }


def once(name: str, text: str, field: str, sent: object) -> dict[str, tuple[str, object]]:
    return {name: (text, [{field: [sent]}])}


def sub_type(kind: int, number: int) -> dict[str, object]:
    return {"type": kind, "match_sub_type": True, "sub_type": number}


CASES: dict[str, tuple[str, object]] = {
    **ends("pod", "pod", "a/b", "a/b"),
    **ends("label", "label", "class=xwing", "class=xwing"),
    **ends("ip", "ip", "10.0.0.0/8", "10.0.0.0/8"),
    **ends("port", "port", "80", "80"),
    **ends("service", "service", "a/b", "a/b"),
    **ends("workload", "workload", "Deployment/x", {"kind": "Deployment", "name": "x"}),
    **ends("identity", "identity", "kube-apiserver", 7),
    **ends("fqdn", "fqdn", "*.cilium.io", "*.cilium.io"),
    **ends("cluster", "cluster_name", "prod", "prod"),
    "namespace": ("a", both("pod", "a/")),
    "from-namespace": ("a", [{"source_pod": ["a/"]}]),
    "to-namespace": ("a", [{"destination_pod": ["a/"]}]),
    "all-namespaces": ("true", both("pod", "/")),
    "from-all-namespaces": ("true", [{"source_pod": ["/"]}]),
    "to-all-namespaces": ("true", [{"destination_pod": ["/"]}]),
    **once("verdict", "DROPPED", "verdict", "DROPPED"),
    **once("protocol", "udp", "protocol", "udp"),
    **once("type", "trace:to-stack", "event_type", sub_type(4, 3)),
    **once("drop-reason-desc", "POLICY_DENIED", "drop_reason_desc", "POLICY_DENIED"),
    **once("traffic-direction", "Egress", "traffic_direction", "EGRESS"),
    **once("tcp-flags", "syn,ACK", "tcp_flags", {"SYN": True, "ACK": True}),
    **once("ipv4", "v4", "ip_version", "IPv4"),
    **once("ipv6", "v6", "ip_version", "IPv6"),
    **once("ip-version", "IP6", "ip_version", "IPv6"),
    **once("encrypted", "true", "encrypted", True),
    **once("unencrypted", "true", "encrypted", False),
    **once("snat-ip", "1.2.3.4", "source_ip_xlated", "1.2.3.4"),
    **once("interface", "eth0", "interface", {"name": "eth0"}),
    **once("http-status", "5+", "http_status_code", "5+"),
    **once("http-method", "get", "http_method", "get"),
    **once("http-path", "/v1", "http_path", "/v1"),
    **once("http-url", "http://x", "http_url", "http://x"),
    **once("http-header", "a:b:c", "http_header", {"key": "a", "value": "b:c"}),
    **once("trace-id", "", "trace_id", ""),
    **once("ip-trace-id", "42", "ip_trace_id", "42"),
    **once("node-name", "k8s*", "node_name", "k8s*"),
    **once("node-label", "a=b", "node_labels", "a=b"),
    **once("uuid", "x", "uuid", "x"),
    "cel-expression": ("true", [{"experimental": {"cel_expression": ["true"]}}]),
}


def asked(*flags: tuple[str, str]) -> list[dict[str, Any]]:
    filters = FilterFlags()
    for name, text in flags:
        filters.take(name, text)
    allow, deny = filters.finish()
    assert deny == []
    return [json_format.MessageToDict(each, preserving_proto_field_name=True) for each in allow]


def test_every_row_has_a_case() -> None:
    assert set(CASES) == {row.flag.name for row in ROWS}


@pytest.mark.parametrize("name", CASES)
def test_asks_for(name: str) -> None:
    text, filters = CASES[name]
    assert asked((name, text)) == filters


MORE = {
    "a type without sub-type": ("type", "l7", {"type": 129}),
    "a type by number": ("type", "129", {"type": 129}),
    "sub-types of agent are the monitor's": (
        "type", "agent:policy-updated", sub_type(130, 5),
    ),
    "a sub-type by number": ("type", "drop:133", sub_type(1, 133)),
    "upper half wraps": ("type", "4294967295", {"type": -1}),
    "a workload of any kind": ("workload", "x", {"name": "x"}),
    "a kind of any name": ("workload", "StatefulSet/", {"kind": "StatefulSet"}),
    "a name with slashes": ("workload", "a/b/c", {"kind": "a", "name": "b/c"}),
    "a header without name": ("http-header", ":x", {"value": "x"}),
    "an identity in hex": ("identity", "0x10", 16),
    "an identity in octal": ("identity", "010", 8),
    "the identity without a name": ("identity", "11", 11),
    "another IP version": ("ip-version", "none", "IP_NOT_USED"),
    "trace id zero, written long": ("ip-trace-id", "00", "0"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text", "sent"), MORE.values(), ids=MORE)
def test_reads_values(name: str, text: str, sent: object) -> None:
    assert [sent] in asked((name, text))[0].values()


REFUSED = [
    ("verdict", "dropped", "invalid --verdict value: dropped"),
    ("drop-reason-desc", "x", "invalid --drop-reason-desc value: x"),
    ("drop-reason-desc", "", "empty --drop-reason-desc value"),
    ("tcp-flags", "syn, ack", "unknown tcp flag:  ack"),
    ("tcp-flags", "", "unknown tcp flag: "),
    ("traffic-direction", "up", "up: invalid traffic direction, expected ingress or egress"),
    ("http-header", "x", 'invalid http-header value "x", expected name:value'),
    ("ip-trace-id", "0", "invalid --ip-trace-id value; must be greater than 0"),
    (
        "ip-trace-id",
        "x",
        'invalid --ip-trace-id value: strconv.ParseUint: parsing "x": invalid syntax',
    ),
    (
        "identity",
        "WORLD",
        (
            "invalid security identity, expected one of [host world unmanaged health init "
            "remote-node kube-apiserver ingress world-ipv4 world-ipv6 11] or a numeric value"
        ),
    ),
    (
        "type",
        "foo",
        (
            "unable to parse type 'foo', not a known type name and unable to parse as numeric "
            'value: strconv.ParseUint: parsing "foo": invalid syntax'
        ),
    ),
    (
        "type",
        "trace:foo",
        (
            "unable to parse event sub-type 'foo', not a known sub-type name and unable to parse "
            'as numeric value: strconv.ParseUint: parsing "foo": invalid syntax'
        ),
    ),
    (
        "type",
        "drop:to-stack",
        (
            "unable to parse event sub-type 'to-stack', not a known sub-type name and unable to "
            'parse as numeric value: strconv.ParseUint: parsing "to-stack": invalid syntax'
        ),
    ),
]


@pytest.mark.parametrize(("name", "text", "message"), REFUSED)
def test_refuses(name: str, text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the whole text is compared)
        asked((name, text))
    assert str(caught.value) == message


def test_exclusive_groups_name_rows() -> None:
    assert {name for group in EXCLUSIVE for name in group} <= {row.flag.name for row in ROWS}


@pytest.mark.parametrize(
    ("one", "other"), sorted({(group[0], name) for group in EXCLUSIVE for name in group[1:]})
)
def test_flags_of_a_group_do_not_go_together(one: str, other: str) -> None:
    text, _ = CASES[one]
    with pytest.raises(ValueError, match=r"^filters --\S+ and --\S+ cannot be combined$") as caught:
        asked((one, text), (other, CASES[other][0]))
    assert f"--{one}" in str(caught.value)
    assert f"--{other}" in str(caught.value)


@pytest.mark.parametrize("name", CASES)
def test_a_flag_goes_with_itself(name: str) -> None:
    text, _ = CASES[name]
    assert asked((name, text), (name, text))
