"""NetworkPolicy documents: what they come to mean, and what is refused, with its path."""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from policy.entries import Direction
from policy.errors import FieldError, UnsupportedError
from policy.fields import Field
from policy.networkpolicy import read_network_policy
from policy.ports import EVERYTHING, PortName, PortRange
from policy.rules import Policy
from policy.subjects import Subject
from tests.policy.documents import PARTIES, block
from tests.policy.world import SUBJECTS, subject

HEAD = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: landing, namespace: default}
"""


def pod(namespace: str, labels: Mapping[str, str]) -> Subject:
    every = {"io.kubernetes.pod.namespace": namespace, **labels}
    return Subject(labels={f"k8s:{key}": value for key, value in every.items()})


def read(spec: str) -> Policy:
    document = yaml.safe_load(HEAD)
    document["spec"] = yaml.safe_load(spec)
    return read_network_policy(Field(document))


def test_the_policy_of_the_tutorial() -> None:
    policy = read("""
        podSelector: {matchLabels: {org: empire, class: deathstar}}
        policyTypes: [Ingress]
        ingress:
        - from: [{podSelector: {matchLabels: {org: empire}}}]
          ports: [{port: 80, protocol: TCP}]
    """)
    assert policy.name == ("NetworkPolicy", "default", "landing")
    assert policy.labels == (
        "k8s:io.cilium.k8s.policy.derived-from=NetworkPolicy",
        "k8s:io.cilium.k8s.policy.name=landing",
        "k8s:io.cilium.k8s.policy.namespace=default",
    )
    [section] = policy.sections
    assert section.isolates == {Direction.INGRESS}
    assert section.subject.selects(pod("default", {"org": "empire", "class": "deathstar"}))
    assert not section.subject.selects(pod("other", {"org": "empire", "class": "deathstar"}))
    [rule] = policy.rules
    assert rule.ports == (PortRange(protocol=6, first=80, last=80),)
    assert rule.peers is not None
    assert [peer.selects(pod("default", {"org": "alliance"})) for peer in rule.peers] == [False]


BOTH = {Direction.INGRESS, Direction.EGRESS}


@pytest.mark.parametrize(
    ("spec", "directions", "rule_count"),
    [
        pytest.param("podSelector: {}", {Direction.INGRESS}, 0, id="default is ingress"),
        pytest.param("{podSelector: {}, egress: []}", {Direction.INGRESS}, 0, id="no egress rule"),
        pytest.param("{podSelector: {}, egress: [{}]}", BOTH, 1, id="egress rule"),
        pytest.param("{podSelector: {}, policyTypes: [], egress: [{}]}", BOTH, 1, id="empty types"),
        pytest.param(
            "{podSelector: {}, policyTypes: [Egress], ingress: [{}]}",
            {Direction.EGRESS},
            0,
            id="rules of a direction not governed",
        ),
        pytest.param("{ingress: null, policyTypes: [Ingress, Egress]}", BOTH, 0, id="null list"),
    ],
)
def test_governed_directions(spec: str, directions: set[Direction], rule_count: int) -> None:
    policy = read(spec)
    assert policy.sections[0].isolates == directions
    assert len(policy.rules) == rule_count


@pytest.mark.parametrize("rule", ["{}", "{from: [], ports: []}", "{from: null}"])
def test_a_rule_without_peers_and_ports_means_all(rule: str) -> None:
    [found] = read(f"{{podSelector: {{}}, ingress: [{rule}]}}").rules
    assert found.peers is None
    assert found.ports == (EVERYTHING,)


@pytest.mark.parametrize(
    ("port", "found"),
    [
        ("{}", PortRange(protocol=6)),
        ("{protocol: UDP}", PortRange(protocol=17)),
        ("{protocol: SCTP, port: 1}", PortRange(protocol=132, first=1, last=1)),
        ("{port: 8080, endPort: 8090}", PortRange(protocol=6, first=8080, last=8090)),
        ("{port: 65535, endPort: 65535}", PortRange(protocol=6, first=65535, last=65535)),
    ],
)
def test_ports(port: str, found: PortRange) -> None:
    [rule] = read(f"{{podSelector: {{}}, ingress: [{{ports: [{port}]}}]}}").rules
    assert rule.ports == (found,)


def test_named_ports() -> None:
    [rule] = read("{podSelector: {}, ingress: [{ports: [{port: web}]}]}").rules
    assert rule.ports == (PortName(name="web", protocols=(6,)),)
    [name] = rule.ports
    assert isinstance(name, PortName)
    assert list(name.among(subject(PARTIES["other"]).ports)) == [
        PortRange(protocol=6, first=8080, last=8080)
    ]
    assert list(name.among({})) == []


@pytest.mark.parametrize(
    ("peer", "selected"),
    [
        ("{namespaceSelector: {}}", ["web", "db", "bare", "other", "lone"]),
        ("{namespaceSelector: {matchLabels: {team: blue}}}", ["other", "lone"]),
        (
            "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}}",
            ["other", "lone"],
        ),
        (
            "{namespaceSelector: {matchExpressions: [{key: team, operator: In, values: [blue]}]}}",
            ["other", "lone"],
        ),
        ("{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}", ["web", "other"]),
        ("{podSelector: {matchLabels: {app: web}}}", ["web"]),
        ("{ipBlock: {cidr: 10.1.0.0/16}}", ["10.1.0.0/16", "10.1.2.0/24"]),
        ("{ipBlock: {cidr: 10.1.0.0/16, except: [10.1.2.0/24]}}", ["10.1.0.0/16"]),
        ("{ipBlock: {cidr: '2001:db8::1/32'}}", ["2001:db8::/32"]),
    ],
)
def test_peers(peer: str, selected: list[str]) -> None:
    [rule] = read(f"{{podSelector: {{}}, ingress: [{{from: [{peer}]}}]}}").rules
    assert rule.peers is not None
    [selector] = rule.peers
    found = [name for name, party in PARTIES.items() if selector.selects(subject(party))]
    assert found == selected


def test_a_block_never_means_pods_or_nodes() -> None:
    [rule] = read("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}").rules
    assert rule.peers is not None
    [selector] = rule.peers
    assert not any(selector.selects(SUBJECTS[identity]) for identity in (1, 2, 6, 10, 1001))
    assert selector.selects(SUBJECTS[9])
    assert selector.selects(subject(block("203.0.113.0/24")))


def test_audit_mode() -> None:
    document = yaml.safe_load(HEAD)
    document["spec"] = {"podSelector": {}}
    document["metadata"]["annotations"] = {"leavitt.io/policy-audit-mode": "enabled"}
    assert read_network_policy(Field(document)).is_audited
    document["metadata"]["annotations"] = {"leavitt.io/policy-audit-mode": "maybe"}
    with pytest.raises(FieldError, match="need one of enabled, disabled, found 'maybe'"):
        read_network_policy(Field(document))


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("{}", ["a=1", "b=2", ""]),
        ("{matchLabels: {a: '1'}}", ["a=1"]),
        ("{matchExpressions: [{key: a, operator: In, values: ['1', '2']}]}", ["a=1"]),
        ("{matchExpressions: [{key: a, operator: NotIn, values: ['1']}]}", ["b=2", ""]),
        ("{matchExpressions: [{key: a, operator: Exists}]}", ["a=1"]),
        ("{matchExpressions: [{key: a, operator: DoesNotExist}]}", ["b=2", ""]),
        ("{matchLabels: {a: '1'}, matchExpressions: [{key: a, operator: DoesNotExist}]}", []),
    ],
)
def test_selectors(selector: str, selected: list[str]) -> None:
    [section] = read(f"podSelector: {selector}").sections
    pods = {"a=1": {"a": "1"}, "b=2": {"b": "2"}, "": {}}
    found = [
        name for name, labels in pods.items() if section.subject.selects(pod("default", labels))
    ]
    assert found == selected


RULE = "{{podSelector: {{}}, ingress: [{{}}, {}]}}"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            RULE.format("{from: [{serviceSelector: {}}]}"),
            "spec.ingress[1].from[0].serviceSelector: is not supported: {}",
            id="peer of another kind",
        ),
        pytest.param(
            RULE.format("{from: [{ipBlock: {cidr: 10.0.0.0/8, not: x}}]}"),
            "spec.ingress[1].from[0].ipBlock.not: is not supported: 'x'",
            id="part of a block",
        ),
        pytest.param(
            "{podSelector: {matchLabels: {pod-template-hash: abc}}}",
            "spec.podSelector.matchLabels.pod-template-hash: label pod-template-hash is not part "
            "of a pod's identity and selects nothing: 'abc'",
            id="label that identities lack",
        ),
        pytest.param(
            "{podSelector: {}, igress: []}", "spec.igress: is not supported: []", id="typo"
        ),
    ],
)
def test_unsupported_parts_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UnsupportedError) as refused:
        read(spec)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("null", "spec: is missing, need a mapping"),
        ("3", "spec: need a mapping, found 3"),
        (
            RULE.format("{ports: [{port: 70000}]}"),
            "spec.ingress[1].ports[0].port: need a number within 1..65535, found 70000",
        ),
        (
            RULE.format("{ports: [{port: true}]}"),
            "spec.ingress[1].ports[0].port: need a number within 1..65535, found True",
        ),
        (
            RULE.format("{ports: [{port: 80, endPort: 79}]}"),
            "spec.ingress[1].ports[0].endPort: need a number within 80..65535, found 79",
        ),
        (
            RULE.format("{ports: [{endPort: 79}]}"),
            "spec.ingress[1].ports[0].endPort: need a port beside it, found 79",
        ),
        (
            RULE.format("{ports: [{protocol: ICMP}]}"),
            "spec.ingress[1].ports[0].protocol: need one of TCP, UDP, SCTP, found 'ICMP'",
        ),
        (
            RULE.format("{from: [{}]}"),
            (
                "spec.ingress[1].from[0]: need one of podSelector, namespaceSelector and ipBlock, "
                "found {}"
            ),
        ),
        (
            RULE.format("{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}"),
            (
                "spec.ingress[1].from[0].ipBlock: need no podSelector or namespaceSelector "
                "beside it, found {'cidr': '10.0.0.0/8'}"
            ),
        ),
        (
            RULE.format("{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 11.0.0.1]}}]}"),
            (
                "spec.ingress[1].from[0].ipBlock.except[1]: need a part of 10.0.0.0/8, "
                "found '11.0.0.1'"
            ),
        ),
        (
            RULE.format("{from: [{ipBlock: {cidr: 10.0.0}}]}"),
            (
                "spec.ingress[1].from[0].ipBlock.cidr: need a network such as 10.0.0.0/8, "
                "found '10.0.0'"
            ),
        ),
        (
            RULE.format("{ports: [{port: not_a_name}]}"),
            (
                "spec.ingress[1].ports[0].port: need a port's number, or name of up to 15 letters, "
                "digits and hyphens, found 'not_a_name'"
            ),
        ),
        (
            RULE.format("{ports: [{port: http, endPort: 90}]}"),
            "spec.ingress[1].ports[0].endPort: need a number as port beside it, found 90",
        ),
        (
            "{policyTypes: [Sideways]}",
            "spec.policyTypes[0]: need one of Ingress, Egress, found 'Sideways'",
        ),
        (
            "{podSelector: {matchLabels: {a: 1}}}",
            "spec.podSelector.matchLabels.a: need text, found 1",
        ),
        (
            "{podSelector: {matchExpressions: [{key: a, operator: In}]}}",
            (
                "spec.podSelector.matchExpressions[0].values: is missing, "
                "need at least one value for In"
            ),
        ),
        (
            "{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [x]}]}}",
            "spec.podSelector.matchExpressions[0].values: need no values for Exists, found ['x']",
        ),
        ("{ingress: {}}", "spec.ingress: need a list, found {}"),
        ("{1: 2}", "spec: need text as key, found 1"),
    ],
)
def test_malformed_policies_name_path_and_value(spec: str, message: str) -> None:
    with pytest.raises(FieldError) as refused:
        read(spec)
    assert str(refused.value) == message


@pytest.mark.parametrize("document", [{}, {"apiVersion": "extensions/v1beta1"}])
def test_other_versions_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(FieldError, match=r"^apiVersion: .*need one of networking\.k8s\.io/v1"):
        read_network_policy(Field(document))
