"""Cilium's policies: what they come to mean, and what is refused, with its path."""

from typing import Any

import pytest
import yaml

from policy.ciliumpolicy import read_cilium_policy
from policy.entries import Direction
from policy.errors import FieldError, UnsupportedError
from policy.fields import Field
from policy.ports import EVERYTHING, PortName, PortRange
from policy.rules import Policy, Rule
from tests.policy.documents import NETWORKS, PARTIES
from tests.policy.world import subject

PODS = ["web", "db", "bare", "other", "lone"]
INGRESS, EGRESS = Direction.INGRESS, Direction.EGRESS


def read(
    spec: str, kind: str = "CiliumNetworkPolicy", specs: list[dict[str, Any]] | None = None
) -> Policy:
    metadata = {"name": "p"} | ({} if "Clusterwide" in kind else {"namespace": "default"})
    document = {"apiVersion": "cilium.io/v2", "kind": kind, "metadata": metadata, "specs": specs}
    if spec:
        document["spec"] = yaml.safe_load(spec)
    return read_cilium_policy(Field(document))


def rule_of(rule: str, *, egress: bool = False, kind: str = "CiliumNetworkPolicy") -> Rule:
    name = "egress" if egress else "ingress"
    [found] = read(f"{{endpointSelector: {{}}, {name}: [{rule}]}}", kind).rules
    return found


def meant(rule: Rule) -> list[str]:
    if rule.peers is None:
        return [*PARTIES]
    return [
        name
        for name, party in PARTIES.items()
        if any(peer.selects(subject(party)) for peer in rule.peers)
    ]


def test_name_labels_and_sections() -> None:
    spec = "{endpointSelector: {}, description: why, labels: [{key: a, value: b}]}"
    policy = read(spec, specs=[{"endpointSelector": {}, "ingress": [{}], "egressDeny": [{}]}])
    assert policy.name == ("CiliumNetworkPolicy", "default", "p")
    assert policy.labels == (
        "k8s:io.cilium.k8s.policy.derived-from=CiliumNetworkPolicy",
        "k8s:io.cilium.k8s.policy.name=p",
        "k8s:io.cilium.k8s.policy.namespace=default",
        "unspec:a=b",
    )
    first, second = policy.sections
    assert (first.path, first.isolates, first.rules) == ("spec", frozenset(), ())
    assert second.path == "specs[0]"
    assert second.isolates == {INGRESS, EGRESS}
    assert [(rule.name.path, rule.deny) for rule in second.rules] == [
        ("specs[0].ingress[0]", False),
        ("specs[0].egressDeny[0]", True),
    ]


def test_the_clusterwide_kind_has_no_namespace() -> None:
    policy = read("{endpointSelector: {matchLabels: {app: web}}}", "CiliumClusterwideNetworkPolicy")
    assert policy.name.namespace == ""
    assert not any("policy.namespace" in label for label in policy.labels)
    [section] = policy.sections
    found = [name for name, each in PARTIES.items() if section.subject.selects(subject(each))]
    assert found == ["web", "other"]


@pytest.mark.parametrize(
    ("spec", "isolates"),
    [
        ("{}", set()),
        ("{ingress: []}", set()),
        ("{ingress: [{}]}", {INGRESS}),
        ("{ingressDeny: [{}]}", {INGRESS}),
        ("{egress: [{}], ingressDeny: null}", {EGRESS}),
        ("{ingress: [{}], enableDefaultDeny: {ingress: false}}", set()),
        ("{ingress: [{}], enableDefaultDeny: {egress: true}}", {INGRESS, EGRESS}),
        ("{enableDefaultDeny: {ingress: true}}", {INGRESS}),
    ],
)
def test_where_it_isolates(spec: str, isolates: set[Direction]) -> None:
    document = yaml.safe_load(spec) | {"endpointSelector": {}}
    [section] = read(yaml.safe_dump(document)).sections
    assert section.isolates == isolates


V4 = [*NETWORKS[:4]]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{}", []),
        ("{toPorts: [{ports: [{port: '80'}]}]}", [*PARTIES]),
        ("{fromEndpoints: []}", []),
        ("{fromEndpoints: [{}]}", ["web", "db", "bare"]),
        ("{fromEndpoints: [{matchLabels: {app: web}}]}", ["web"]),
        ("{fromEndpoints: [{matchLabels: {'any:app': web}}, {matchLabels: {tier: x}}]}", ["web"]),
        ("{fromEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': other}}]}",
         ["other", "lone"]),
        ("{fromEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: other, app: web}}]}",
         ["other"]),
        ("{fromEndpoints: [{matchLabels: {io.cilium.k8s.namespace.labels.team: blue}}]}",
         ["other", "lone"]),
        ("{fromEndpoints: [{matchExpressions: [{key: app, operator: DoesNotExist}]}]}", ["bare"]),
        ("{fromEndpoints: [{matchLabels: {'reserved:host': ''}}]}", ["host"]),
        ("{fromEntities: []}", []),
        ("{fromEntities: [none]}", []),
        ("{fromEntities: [all]}", [*PARTIES]),
        ("{fromEntities: [host, remote-node]}", ["host", "remote-node"]),
        ("{fromEntities: [world]}", ["world", "world-ipv4", "world-ipv6", *NETWORKS]),
        ("{fromEntities: [world-ipv4]}", ["world-ipv4", *V4]),
        ("{fromEntities: [world-ipv6]}", ["world-ipv6", NETWORKS[4]]),
        ("{fromEntities: [cluster]}", [*PODS, "host", "remote-node"]),
        ("{fromEntities: [init, health, unmanaged, kube-apiserver, ingress]}", []),
        ("{fromCIDR: []}", []),
        ("{fromCIDR: [10.1.0.0/16, 192.0.2.7]}", [NETWORKS[1], NETWORKS[2], NETWORKS[3]]),
        ("{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}", [NETWORKS[0]]),
        ("{fromCIDR: [0.0.0.0/0]}", ["world-ipv4", *V4]),
    ],
)  # fmt: skip
def test_peers(rule: str, expected: list[str]) -> None:
    assert meant(rule_of(rule)) == expected
    out = rule.replace("from", "to")
    assert meant(rule_of(out, egress=True)) == expected


def test_peers_of_the_clusterwide_kind_are_of_all_namespaces() -> None:
    kind = "CiliumClusterwideNetworkPolicy"
    assert meant(rule_of("{fromEndpoints: [{}]}", kind=kind)) == PODS
    assert meant(rule_of("{fromEndpoints: [{matchLabels: {app: web}}]}", kind=kind)) == [
        "web",
        "other",
    ]


def tcp(first: int, last: int, protocol: int = 6) -> PortRange:
    return PortRange(protocol=protocol, first=first, last=last)


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ("{toPorts: []}", (EVERYTHING,)),
        ("{toPorts: [{ports: [{port: '80', protocol: TCP}]}]}", (tcp(80, 80),)),
        ("{toPorts: [{ports: [{port: '80', endPort: 90, protocol: UDP}]}]}", (tcp(80, 90, 17),)),
        (
            "{toPorts: [{ports: [{port: '80'}]}]}",
            (tcp(80, 80), tcp(80, 80, 17), tcp(80, 80, 132)),
        ),
        (
            "{toPorts: [{ports: [{port: '80', protocol: ANY}]}]}",
            (tcp(80, 80), tcp(80, 80, 17), tcp(80, 80, 132)),
        ),
        ("{toPorts: [{ports: [{port: '0', protocol: TCP}]}]}", (tcp(0, 65535),)),
        (
            "{toPorts: [{ports: [{port: Web, protocol: TCP}]}]}",
            (PortName(name="web", protocols=(6,)),),
        ),
        ("{icmps: [{fields: [{type: 8}]}]}", (tcp(8, 8, 1),)),
        ("{icmps: [{fields: [{type: '8'}, {type: EchoReply}]}]}", (tcp(8, 8, 1), tcp(0, 0, 1))),
        ("{icmps: [{fields: [{type: EchoRequest, family: IPv6}]}]}", (tcp(128, 128, 58),)),
    ],
)
def test_ports(ports: str, expected: tuple[Any, ...]) -> None:
    head = "{fromEntities: [all], "
    assert rule_of(head + ports[1:]).ports == expected


RULE = "{{endpointSelector: {{}}, egress: [{{}}, {}]}}"
PORT = "{{endpointSelector: {{}}, egress: [{{}}, {{toPorts: [{{ports: [{}]}}]}}]}}"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{nodeSelector: {}}", "spec.nodeSelector: is not supported: {}"),
        (RULE.format("{toFQDNs: [{matchName: a.b}]}"),
         "spec.egress[1].toFQDNs: is not supported: [{'matchName': 'a.b'}]"),
        (RULE.format("{toServices: []}"), "spec.egress[1].toServices: is not supported: []"),
        (RULE.format("{toRequires: []}"), "spec.egress[1].toRequires: is not supported: []"),
        (RULE.format("{toNodes: []}"), "spec.egress[1].toNodes: is not supported: []"),
        (RULE.format("{toGroups: []}"), "spec.egress[1].toGroups: is not supported: []"),
        (RULE.format("{fromEndpoints: []}"),
         "spec.egress[1].fromEndpoints: is not supported: []"),
        (RULE.format("{authentication: {mode: required}}"),
         "spec.egress[1].authentication: is not supported: {'mode': 'required'}"),
        (RULE.format("{toPorts: [{ports: [{port: '80'}], rules: {http: [{}]}}]}"),
         "spec.egress[1].toPorts[0].rules: is not supported: {'http': [{}]}"),
        (RULE.format("{toCIDRSet: [{cidrGroupRef: x}]}"),
         "spec.egress[1].toCIDRSet[0].cidrGroupRef: is not supported: 'x'"),
        (RULE.format("{toEntities: [host], toCIDR: [10.0.0.0/8]}"),
         "spec.egress[1].toCIDR: cannot be combined with toEntities: ['10.0.0.0/8']"),
        (RULE.format("{toPorts: [{ports: [{port: '1'}]}], icmps: [{fields: [{type: 8}]}]}"),
         ("spec.egress[1].icmps: cannot be combined with toPorts, write a second rule: "
         "[{'fields': [{'type': 8}]}]")),
        ("{endpointSelector: {matchLabels: {'k8s:io.kubernetes.pod.namespace': other}}}",
         ("spec.endpointSelector: it cannot select pods of other namespaces than its own: "
         "{'matchLabels': {'k8s:io.kubernetes.pod.namespace': 'other'}}")),
        ("{endpointSelector: {matchLabels: {'cidr:a': ''}}}",
         ("spec.endpointSelector.matchLabels.cidr:a: label source cidr is not one of any, k8s, "
         "reserved, container: ''")),
        ("{endpointSelector: {matchLabels: {pod-template-hash: x}}}",
         ("spec.endpointSelector.matchLabels.pod-template-hash: label pod-template-hash is not "
         "part of a pod's identity and selects nothing: 'x'")),
    ],
)  # fmt: skip
def test_unsupported_parts_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UnsupportedError) as refused:
        read(spec)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "spec: is missing, need spec or specs"),
        ("{ingress: []}", "spec.endpointSelector: is missing, need a selector, {} for all"),
        (RULE.format("{toEntities: [moon]}"),
         ("spec.egress[1].toEntities[0]: need one of all, world, world-ipv4, world-ipv6, host, "
         "remote-node, cluster, init, health, unmanaged, kube-apiserver, ingress, none, "
         "found 'moon'")),
        (RULE.format("{toCIDR: [10.0.0.0/33]}"),
         "spec.egress[1].toCIDR[0]: need a network such as 10.0.0.0/8, found '10.0.0.0/33'"),
        (RULE.format("{toCIDRSet: [{cidr: 10.0.0.0/8, except: ['::/0']}]}"),
         "spec.egress[1].toCIDRSet[0].except[0]: need a part of 10.0.0.0/8, found '::/0'"),
        (PORT.format("{port: 80}"),
         "spec.egress[1].toPorts[0].ports[0].port: need text, found 80"),
        (PORT.format("{port: '70000'}"),
         "spec.egress[1].toPorts[0].ports[0].port: need a port within 0..65535, found '70000'"),
        (PORT.format("{port: '90', endPort: 80}"),
         "spec.egress[1].toPorts[0].ports[0].endPort: need a number within 90..65535, found 80"),
        (PORT.format("{port: '0', endPort: 80}"),
         ("spec.egress[1].toPorts[0].ports[0].endPort: need a port other than 0 beside it, "
         "found 80")),
        (PORT.format("{port: '80', protocol: ICMP}"),
         ("spec.egress[1].toPorts[0].ports[0].protocol: need one of TCP, UDP, SCTP, ANY, "
         "found 'ICMP'")),
        (PORT.format(""), "spec.egress[1].toPorts[0].ports: need at least one port, found []"),
        (RULE.format("{icmps: [{fields: [{type: 256}]}]}"),
         "spec.egress[1].icmps[0].fields[0].type: need a number within 0..255, found 256"),
        (RULE.format("{icmps: [{fields: [{type: NeighborSolicitation}]}]}"),
         ("spec.egress[1].icmps[0].fields[0].type: need a number within 0..255 or the name of a "
         "type, found 'NeighborSolicitation'")),
        (RULE.format("{icmps: [{}]}"),
         "spec.egress[1].icmps[0].fields: is missing, need at least one type"),
    ],
)  # fmt: skip
def test_malformed_policies_name_path_and_value(spec: str, message: str) -> None:
    with pytest.raises(FieldError) as refused:
        read(spec)
    assert str(refused.value) == message
