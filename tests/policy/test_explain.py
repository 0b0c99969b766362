"""Explanations: the same verdict as the documents', and a reason for every rule that misses."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.entries import Direction
from policy.explain import Explanation, Question, Side, explain
from tests.policy import oracle
from tests.policy.documents import DOCUMENTS, PACKETS, PARTIES, PODS
from tests.policy.world import IDENTITIES, SUBJECTS, profile, read


def side(name: str) -> Side:
    ports = profile(name).ports if name in PODS else ()
    return Side(IDENTITIES[name], SUBJECTS[IDENTITIES[name]], ports)


def asked(
    documents: list[dict[str, Any]],
    direction: Direction,
    own: str,
    peer: str,
    packet: tuple[int, int],
) -> Explanation:
    question = Question(direction, side(own), side(peer), *packet)
    return explain([read(each) for each in documents], question)


@settings(max_examples=100, deadline=None)
@given(
    DOCUMENTS,
    st.sampled_from(Direction),
    st.sampled_from(PODS),
    st.sampled_from(sorted(PARTIES)),
    PACKETS,
)
def test_it_says_what_the_documents_say(
    documents: list[dict[str, Any]],
    direction: Direction,
    own: str,
    peer: str,
    packet: tuple[int, int],
) -> None:
    found = asked(documents, direction, own, peer, packet)
    expected = oracle.judge(
        documents,
        ingress=direction is Direction.INGRESS,
        parties=(PARTIES[own], PARTIES[peer]),
        packet=packet,
    )
    if expected.what == "free":
        assert found.verdict is None
        return
    assert found.verdict is not None
    assert found.verdict.allowed == (expected.what in ("allow", "audit"))
    assert found.verdict.is_audited == (expected.what == "audit")
    assert {rule.policy.name for rule in found.decided_by} <= expected.policies
    assert bool(found.advice) == (expected.what != "allow")
    for each in found.considered:
        assert (each.reason == "") == (each.peer_matches and each.port_matches)


def policy(**spec: object) -> dict[str, Any]:
    return {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "p"},
        "spec": {"endpointSelector": {"matchLabels": {"app": "db"}}, **spec},
    }


WEB = {"fromEndpoints": [{"matchLabels": {"app": "web"}}]}
HTTP = {"toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}]}]}
P = "p (CiliumNetworkPolicy)"


@pytest.mark.parametrize(
    ("spec", "peer", "port", "reason", "advice"),
    [
        pytest.param(
            {"ingress": [{**WEB, **HTTP}]}, "web", 81,
            "port: it is about 80/TCP, not 81/TCP", f"add port 81/TCP to {P} spec.ingress[0]",
            id="port missed",
        ),
        pytest.param(
            {"ingress": [{**WEB, **HTTP}]}, "bare", 80,
            "peer: needs any:app=web, has no such label",
            f"add the peer to {P} spec.ingress[0]: it", id="peer missed",
        ),
        pytest.param(
            {"ingress": [{"fromCIDR": ["10.1.2.0/24"]}]}, "10.1.0.0/16", 80,
            "peer: 10.1.2.0/24 does not hold it",
            f"add the peer to {P} spec.ingress[0]: 10.1.0.0/16", id="network missed",
        ),
        pytest.param(
            {"ingress": [{}]}, "web", 80, "peer: it means nobody",
            f"add the peer to {P} spec.ingress[0]: k8s:app=web, k8s:tier=front", id="isolates only",
        ),
        pytest.param(
            {"ingress": [{**WEB, **HTTP}]}, "lone", 53,
            "peer: needs k8s:io.kubernetes.pod.namespace=default, "
            "has k8s:io.kubernetes.pod.namespace=other; port: it is about 80/TCP, not 53/TCP",
            f"add to {P} an ingress rule from k8s:tier=back, port 53/TCP", id="both missed",
        ),
        pytest.param(
            {"ingressDeny": [WEB]}, "web", 80, "",
            f"narrow {P} spec.ingressDeny[0], or take it away: what is denied no other rule can "
            "allow", id="denied",
        ),
    ],
)  # fmt: skip
def test_reasons_and_advice(
    spec: dict[str, Any], peer: str, port: int, reason: str, advice: str
) -> None:
    found = asked([policy(**spec)], Direction.INGRESS, "db", peer, (6, port))
    assert [each.reason for each in found.considered] == [reason]
    assert found.advice == advice


AUDIT = {"leavitt.io/policy-audit-mode": "enabled"}


def test_audited_policies_are_no_help_where_others_isolate() -> None:
    audited = policy(ingress=[{**WEB, **HTTP}])
    audited["metadata"] = {"name": "audited", "annotations": AUDIT}
    enforced = policy(
        ingress=[{"toPorts": [{"ports": [{"port": "81", "protocol": "TCP"}]}], **WEB}]
    )
    for port in (80, 82):
        found = asked([audited, enforced], Direction.INGRESS, "db", "web", (6, port))
        assert found.advice == f"add port {port}/TCP to {P} spec.ingress[0]"
        assert found.nearest is found.considered[1]
    alone = asked([audited], Direction.INGRESS, "db", "web", (6, 82))
    assert alone.advice == "add port 82/TCP to audited (CiliumNetworkPolicy) spec.ingress[0]"


def test_the_nearest_rule_is_the_one_of_the_advice() -> None:
    by_port, by_peer = {"fromEndpoints": [{"matchLabels": {"app": "x"}}], **HTTP}, {**WEB, **HTTP}
    by_peer["toPorts"] = [{"ports": [{"port": "81", "protocol": "TCP"}]}]
    found = asked([policy(ingress=[by_port, by_peer])], Direction.INGRESS, "db", "web", (6, 80))
    assert found.nearest is found.considered[1]
    assert found.advice == f"add port 80/TCP to {P} spec.ingress[1]"


def test_nothing_is_enforced() -> None:
    found = asked([policy(ingress=[{}])], Direction.EGRESS, "db", "web", (6, 80))
    assert (found.verdict, found.decided_by, found.considered, found.advice) == (None, (), (), "")
