"""Entries decide as the policies say: against a naive reading of the YAML over pods."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from policy.entries import Direction
from policy.fields import Field
from policy.lookup import MatchType, judge
from policy.networkpolicy import read_network_policy
from policy.ports import EVERYTHING, PortRange
from policy.resolve import Draft, Resolver, number_rules
from policy.rules import Policy, PolicyName, Rule, RuleName
from policy.selectors import PodSelector, Subject

WORLD = 2
PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132, "ICMP": 1}


# --- the oracle: the published semantics, read from the document for one packet, no compiling ---


def oracle_selects(selector: dict[str, Any], labels: Mapping[str, str]) -> bool:
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for term in selector.get("matchExpressions") or []:
        key, value = term["key"], labels.get(term["key"])
        if term["operator"] == "In" and (value is None or value not in term["values"]):
            return False
        if term["operator"] == "NotIn" and value is not None and value in term["values"]:
            return False
        if term["operator"] == "Exists" and key not in labels:
            return False
        if term["operator"] == "DoesNotExist" and key in labels:
            return False
    return True


def oracle_port_matches(item: dict[str, Any], protocol: str, port: int) -> bool:
    if item.get("protocol", "TCP") != protocol:
        return False
    if "port" not in item:
        return True
    return bool(item["port"] <= port <= item.get("endPort", item["port"]))


def oracle_allows(
    documents: list[dict[str, Any]],
    direction: str,
    pod: Subject,
    peer: Subject | None,
    protocol: str,
    port: int,
) -> bool | None:
    """None where no policy governs."""
    governed = False
    for document in documents:
        namespace, spec = document["metadata"]["namespace"], document["spec"]
        if pod.namespace != namespace or not oracle_selects(spec["podSelector"], pod.labels):
            continue
        types = spec.get("policyTypes") or ["Ingress"] + ["Egress"] * bool(spec.get("egress"))
        if direction not in types:
            continue
        governed = True
        rules = spec.get("ingress" if direction == "Ingress" else "egress") or []
        for rule in rules:
            peers = rule.get("from" if direction == "Ingress" else "to")
            ports = rule.get("ports")
            peer_matches = not peers or (
                peer is not None
                and peer.namespace == namespace
                and any(oracle_selects(each["podSelector"], peer.labels) for each in peers)
            )
            port_matches = not ports or any(
                oracle_port_matches(each, protocol, port) for each in ports
            )
            if peer_matches and port_matches:
                return True
    return False if governed else None


# --- documents, pods and packets ---

KEYS, VALUES = ["app", "org"], ["x", "y"]
LABELS = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
NAMESPACES = st.sampled_from(["default", "other"])
SUBJECTS = st.builds(Subject, NAMESPACES, LABELS)
EDGE_PORTS = st.sampled_from([1, 79, 80, 81, 127, 128, 1023, 1024, 65534, 65535])
EXPRESSIONS = st.one_of(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(KEYS),
            "operator": st.sampled_from(["In", "NotIn"]),
            "values": st.lists(st.sampled_from(VALUES), min_size=1),
        }
    ),
    st.fixed_dictionaries(
        {"key": st.sampled_from(KEYS), "operator": st.sampled_from(["Exists", "DoesNotExist"])}
    ),
)
SELECTORS = st.fixed_dictionaries(
    {}, optional={"matchLabels": LABELS, "matchExpressions": st.lists(EXPRESSIONS, max_size=2)}
)
PEERS = st.lists(st.fixed_dictionaries({"podSelector": SELECTORS}), max_size=2)
RANGES = st.tuples(EDGE_PORTS, EDGE_PORTS).map(
    lambda both: {"port": min(both), "endPort": max(both)}
)
PROTOCOL = st.sampled_from(["TCP", "UDP", "SCTP"])
PORT_ITEMS = st.one_of(
    st.fixed_dictionaries({}, optional={"protocol": PROTOCOL, "port": EDGE_PORTS}),
    st.builds(lambda ports, protocol: {**ports, "protocol": protocol}, RANGES, PROTOCOL),
)


def rules(peers_name: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    rule = st.fixed_dictionaries(
        {}, optional={peers_name: PEERS, "ports": st.lists(PORT_ITEMS, max_size=2)}
    )
    return st.lists(rule, max_size=2)


SPECS = st.fixed_dictionaries(
    {"podSelector": SELECTORS},
    optional={
        "policyTypes": st.lists(st.sampled_from(["Ingress", "Egress"]), unique=True),
        "ingress": rules("from"),
        "egress": rules("to"),
    },
)
DOCUMENTS = st.lists(st.tuples(NAMESPACES, SPECS), max_size=3).map(
    lambda found: [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": f"policy-{index}", "namespace": namespace},
            "spec": spec,
        }
        for index, (namespace, spec) in enumerate(found)
    ]
)
PACKETS = st.tuples(st.sampled_from(["TCP", "UDP", "SCTP", "ICMP"]), EDGE_PORTS).map(
    lambda packet: (packet[0], 0 if packet[0] == "ICMP" else packet[1])
)


@given(DOCUMENTS, SUBJECTS, st.lists(SUBJECTS, max_size=4), st.lists(PACKETS, min_size=1))
def test_verdicts_are_those_of_the_documents(
    documents: list[dict[str, Any]],
    pod: Subject,
    others: list[Subject],
    packets: list[tuple[str, int]],
) -> None:
    policies = [read_network_policy(Field(document)) for document in documents]
    identities = dict(enumerate([pod, *others], start=256))
    draft = Resolver(policies, identities).draft(pod)
    entries = draft.entries(number_rules([draft]))
    for direction in Direction:
        for identity, peer in [*identities.items(), (WORLD, None)]:
            for protocol, port in packets:
                wanted = oracle_allows(documents, direction.name.title(), pod, peer, protocol, port)
                assert (direction in draft.enforced) == (wanted is not None)
                if wanted is None:
                    continue
                verdict = judge(
                    entries,
                    direction=direction,
                    identity=identity,
                    protocol=PROTOCOLS[protocol],
                    port=port,
                )
                assert verdict.allowed == wanted
                assert (verdict.cookie == 0) == (verdict.match_type is MatchType.NONE)


# --- rules that deny come with later policy kinds; the form and the look-up know them already ---

SELECTED = st.lists(
    st.sampled_from([PodSelector(namespace="default"), PodSelector(namespace="other")]),
    min_size=1,
    max_size=2,
).map(tuple)
PORT_RANGES = st.builds(
    lambda protocol, ports: PortRange(protocol=protocol, first=min(ports), last=max(ports)),
    st.sampled_from([6, 17]),
    st.tuples(EDGE_PORTS, EDGE_PORTS),
)
RULES = st.lists(
    st.tuples(
        st.one_of(st.none(), SELECTED),
        st.one_of(st.just(EVERYTHING), st.builds(PortRange, protocol=st.just(6)), PORT_RANGES),
        st.booleans(),
    ),
    max_size=6,
)


def policy_of(
    found: list[tuple[tuple[PodSelector, ...] | None, PortRange, bool]], name: str = "mixed"
) -> Policy:
    policy = PolicyName("Test", "default", name)
    return Policy(
        name=policy,
        labels=(),
        subject=PodSelector(namespace="default"),
        directions=frozenset({Direction.INGRESS}),
        rules=tuple(
            Rule(
                name=RuleName(policy, Direction.INGRESS, index),
                peers=peers,
                ports=(ports,),
                deny=deny,
            )
            for index, (peers, ports, deny) in enumerate(found)
        ),
    )


@given(RULES, st.sampled_from([1, 6, 17]), EDGE_PORTS)
def test_any_matching_rule_that_denies_wins_and_the_rules_are_named(
    found: list[tuple[tuple[PodSelector, ...] | None, PortRange, bool]], protocol: int, port: int
) -> None:
    policy = policy_of(found)
    identities = {256: Subject("default", {}), 257: Subject("other", {})}
    draft = Resolver([policy], identities).draft(identities[256])
    cookies = number_rules([draft])
    origins = {cookie: origin for origin, cookie in cookies.items()}
    for identity, subject in identities.items():
        matching = [
            rule
            for rule in policy.rules
            if (rule.peers is None or any(peer.selects(subject) for peer in rule.peers))
            and any(
                ports == EVERYTHING
                or (ports.protocol == protocol and ports.first <= port <= ports.last)
                for ports in rule.ports
            )
        ]
        verdict = judge(
            draft.entries(cookies),
            direction=Direction.INGRESS,
            identity=identity,
            protocol=protocol,
            port=port,
        )
        denying = [rule for rule in matching if rule.deny]
        assert verdict.allowed == (bool(matching) and not denying)
        if matching:
            named = set(origins[verdict.cookie])
            assert named <= {rule.name for rule in denying or matching}


# --- cases ---


def drafted(*policies: Policy, identities: Mapping[int, Subject]) -> Draft:
    return Resolver(policies, identities).draft(Subject("default", {"app": "x"}))


def test_every_rule_that_allows_the_same_is_named() -> None:
    policy = policy_of(
        [
            ((PodSelector(namespace="default"),), PortRange(protocol=6, first=80, last=80), False),
            (None, PortRange(protocol=6), False),
            ((PodSelector(namespace="other"),), PortRange(protocol=6, first=80, last=80), False),
        ]
    )
    draft = drafted(policy, identities={300: Subject("default", {})})
    by_identity = {block.identity: origin for block, origin in draft.allowed.items()}
    assert [rule.position for rule in by_identity[300]] == [0, 1]
    assert [rule.position for rule in by_identity[0]] == [1]


def test_a_policy_of_another_namespace_governs_nothing() -> None:
    draft = Resolver([policy_of([])], {}).draft(Subject("other", {}))
    assert draft.enforced == frozenset()


def test_cookies_do_not_depend_on_the_order_of_policies() -> None:
    one = policy_of([(None, EVERYTHING, False)], name="one")
    other = policy_of([(None, EVERYTHING, False), (None, EVERYTHING, True)], name="other")
    numbers = number_rules([drafted(one, other, identities={})])
    assert numbers == number_rules([drafted(other, one, identities={})])
    assert {tuple(rule.policy.name for rule in origin) for origin in numbers} == {("other",)}
    assert all(0 < cookie < 2**32 for cookie in numbers.values())
