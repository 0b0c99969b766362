"""Packets by the thousand are judged as the documents say, and as one by one."""

from itertools import product
from typing import Any

import numpy as np
from hypothesis import example, given, settings

from policy.compiler import EndpointPolicy
from policy.entries import Direction
from policy.evaluate import Decision, Evaluator, Packets
from policy.lookup import judge
from tests.policy import oracle
from tests.policy.documents import DOCUMENTS, PARTIES, PODS, document, named
from tests.policy.world import IDENTITIES, learned, profile

KINDS = [(6, 53), (6, 80), (6, 8080), (17, 53), (132, 1024), (1, 8), (58, 128), (1, 0)]
OUTCOMES = {
    "free": Decision.FREE,
    "allow": Decision.ALLOWED,
    "audit": Decision.AUDITED,
    "deny": Decision.DENIED,
    "isolated": Decision.DENIED,
}


AUDITED = {"leavitt.io/policy-audit-mode": "enabled"}


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS)
# the host passes without a rule; an audit speaks of that as well
@example(
    named(
        [
            document("NetworkPolicy", {"spec": {"podSelector": {}}}, "default", {}),
            document(
                "CiliumNetworkPolicy",
                {
                    "spec": {
                        "endpointSelector": {},
                        "ingressDeny": [{"toPorts": [{"ports": [{"port": "53"}]}]}],
                    }
                },
                "default",
                AUDITED,
            ),
        ]
    )
)
def test_all_packets_of_a_world(documents: list[dict[str, Any]]) -> None:
    compiler = learned(documents)
    policies = [compiler.compile(profile(name)) for name in PODS]
    cases = list(product(range(len(PODS)), Direction, PARTIES, KINDS))
    found = Evaluator(policies).judge(
        Packets(
            endpoint=np.array([each[0] for each in cases], np.int64),
            direction=np.array([each[1] for each in cases], np.uint8),
            identity=np.array([IDENTITIES[each[2]] for each in cases], np.uint32),
            protocol=np.array([each[3][0] for each in cases], np.uint8),
            port=np.array([each[3][1] for each in cases], np.uint16),
        )
    )
    for row, (pod, direction, peer, packet) in enumerate(cases):
        expected = oracle.judge(
            documents,
            ingress=direction is Direction.INGRESS,
            parties=(PARTIES[PODS[pod]], PARTIES[peer]),
            packet=packet,
        )
        assert found.decision[row] == OUTCOMES[expected.what]
        if expected.what != "free":
            one = judge(
                policies[pod].entries,
                direction=direction,
                identity=IDENTITIES[peer],
                protocol=packet[0],
                port=packet[1],
            )
            assert (found.match_type[row], found.cookie[row]) == (one.match_type, one.cookie)


def test_no_packets_and_no_policies() -> None:
    nothing = EndpointPolicy(enforced=frozenset(), entries=())
    none = np.array([], np.int64)
    packets = Packets(
        endpoint=none,
        direction=none.astype(np.uint8),
        identity=none.astype(np.uint32),
        protocol=none.astype(np.uint8),
        port=none.astype(np.uint16),
    )
    assert len(Evaluator([]).judge(packets).decision) == 0
    assert len(Evaluator([nothing]).judge(packets).decision) == 0


def test_an_endpoint_without_entries_is_closed_where_it_is_enforced() -> None:
    closed = EndpointPolicy(enforced=frozenset({Direction.EGRESS}), entries=())
    packets = Packets(
        endpoint=np.zeros(2, np.int64),
        direction=np.array([Direction.INGRESS, Direction.EGRESS], np.uint8),
        identity=np.full(2, 1001, np.uint32),
        protocol=np.full(2, 6, np.uint8),
        port=np.full(2, 80, np.uint16),
    )
    found = Evaluator([closed]).judge(packets)
    assert found.decision.tolist() == [Decision.FREE, Decision.DENIED]
