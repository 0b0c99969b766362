"""Random policies of all kinds over a small world, so that they meet the packets often."""

from typing import Any

from hypothesis import strategies as st

from tests.policy.oracle import NAMESPACE, Party

CLUSTER = "io.cilium.k8s.policy.cluster"
TEAM = "io.cilium.k8s.namespace.labels.team"
HTTP = {"web": ((6, 80),), "dns": ((17, 53), (6, 53))}
OTHER_HTTP = {"web": ((6, 8080),)}


def pod(namespace: str, team: str, ports: dict[str, Any] | None = None, **labels: str) -> Party:
    every = {
        NAMESPACE: namespace,
        CLUSTER: "default",
        TEAM: team,
        "io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name": namespace,
        **labels,
    }
    return Party({f"k8s:{key}": value for key, value in every.items()}, ports=ports or {})


def reserved(*names: str, network: str = "") -> Party:
    return Party({f"reserved:{name}": "" for name in names}, network)


def block(network: str) -> Party:
    world = "reserved:world-ipv6" if ":" in network else "reserved:world-ipv4"
    return Party({f"cidr:{network}": "", world: "", "reserved:world": ""}, network)


NETWORKS = ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "192.0.2.7/32", "2001:db8::/32")
PARTIES: dict[str, Party] = {
    "web": pod("default", "red", HTTP, app="web", tier="front"),
    "db": pod("default", "red", app="db"),
    "bare": pod("default", "red"),
    "other": pod("other", "blue", OTHER_HTTP, app="web"),
    "lone": pod("other", "blue", tier="back"),
    "host": reserved("host"),
    "remote-node": reserved("remote-node"),
    "world": reserved("world"),
    "world-ipv4": reserved("world-ipv4", "world", network="0.0.0.0/0"),
    "world-ipv6": reserved("world-ipv6", "world", network="::/0"),
    **{network: block(network) for network in NETWORKS},
}
PODS = ("web", "db", "bare", "other", "lone")

KEYS, VALUES = ("app", "tier"), ("web", "db", "front", "back")
PORT_NUMBERS = (53, 80, 81, 1024, 8080, 65535)
PROTOCOLS = ("TCP", "UDP", "SCTP")
PACKETS = st.one_of(
    st.tuples(st.sampled_from((6, 17, 132)), st.sampled_from((*PORT_NUMBERS, 79, 8081, 1))),
    st.tuples(st.sampled_from((1, 58)), st.sampled_from((0, 8, 128, 129, 3))),
)


def labels(*prefixes: str) -> st.SearchStrategy[dict[str, str]]:
    keys = st.sampled_from([prefix + key for prefix in prefixes for key in KEYS])
    return st.dictionaries(keys, st.sampled_from(VALUES), max_size=2)


def expressions(keys: list[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    key = st.sampled_from(keys)
    valued = st.fixed_dictionaries(
        {
            "key": key,
            "operator": st.sampled_from(["In", "NotIn"]),
            "values": st.lists(st.sampled_from([*VALUES, "other", "red"]), min_size=1, max_size=2),
        }
    )
    bare = st.fixed_dictionaries(
        {"key": key, "operator": st.sampled_from(["Exists", "DoesNotExist"])}
    )
    return st.lists(st.one_of(valued, bare), max_size=1)


K8S_SELECTORS = st.fixed_dictionaries(
    {}, optional={"matchLabels": labels(""), "matchExpressions": expressions([*KEYS])}
)
NAMESPACE_SELECTORS = st.sampled_from(
    [
        {},
        {"matchLabels": {"team": "red"}},
        {"matchLabels": {"kubernetes.io/metadata.name": "other"}},
        {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["red"]}]},
    ]
)
BLOCKS = st.one_of(
    st.sampled_from([*NETWORKS, "0.0.0.0/0", "::/0"]).map(lambda cidr: {"cidr": cidr}),
    st.sampled_from(
        [
            {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]},
            {"cidr": "10.1.0.0/16", "except": ["10.1.2.0/24"]},
            {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "192.0.2.7/32"]},
            {"cidr": "::/0", "except": ["2001:db8::/32"]},
        ]
    ),
)
K8S_PEERS = st.one_of(
    K8S_SELECTORS.map(lambda found: {"podSelector": found}),
    NAMESPACE_SELECTORS.map(lambda found: {"namespaceSelector": found}),
    st.builds(
        lambda pods, spaces: {"podSelector": pods, "namespaceSelector": spaces},
        K8S_SELECTORS,
        NAMESPACE_SELECTORS,
    ),
    BLOCKS.map(lambda found: {"ipBlock": found}),
)
RANGES = st.tuples(st.sampled_from(PORT_NUMBERS), st.sampled_from(PORT_NUMBERS)).map(sorted)
K8S_PORTS = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "protocol": st.sampled_from(PROTOCOLS),
            "port": st.sampled_from([*PORT_NUMBERS, "web", "dns"]),
        },
    ),
    RANGES.map(lambda both: {"port": both[0], "endPort": both[1]}),
)
CILIUM_KEYS = [*KEYS, "k8s:app", "any:app", f"k8s:{NAMESPACE}", NAMESPACE, TEAM]
CILIUM_SELECTORS = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "matchLabels": labels("", "k8s:", "any:"),
            "matchExpressions": expressions(CILIUM_KEYS),
        },
    ),
    st.sampled_from(
        [
            {"matchLabels": {f"k8s:{NAMESPACE}": "other"}},
            {"matchLabels": {TEAM: "blue"}},
            {"matchLabels": {"reserved:host": ""}},
            {"matchExpressions": [{"key": NAMESPACE, "operator": "Exists"}]},
        ]
    ),
)
ENTITIES = st.sampled_from(
    ["all", "world", "world-ipv4", "world-ipv6", "host", "remote-node", "cluster", "health", "none"]
)
CILIUM_PORTS = st.one_of(
    st.fixed_dictionaries(
        {"port": st.sampled_from([*map(str, PORT_NUMBERS), "0", "web", "dns"])},
        optional={"protocol": st.sampled_from([*PROTOCOLS, "ANY"])},
    ),
    RANGES.map(lambda both: {"port": str(both[0]), "endPort": both[1], "protocol": "TCP"}),
    RANGES.map(lambda both: {"port": str(both[0]), "endPort": both[1]}),
)
ICMP_FIELDS = st.one_of(
    st.sampled_from([0, 3, 8]).map(lambda kind: {"type": kind}),
    st.sampled_from([128, 129]).map(lambda kind: {"type": kind, "family": "IPv6"}),
)


def few(items: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, min_size=least, max_size=2)


def cilium_rule(word: str) -> st.SearchStrategy[dict[str, Any]]:
    peers = st.one_of(
        st.just({}),
        few(CILIUM_SELECTORS).map(lambda found: {f"{word}Endpoints": found}),
        few(ENTITIES).map(lambda found: {f"{word}Entities": found}),
        few(st.sampled_from(NETWORKS)).map(lambda found: {f"{word}CIDR": found}),
        few(BLOCKS).map(lambda found: {f"{word}CIDRSet": found}),
    )
    ports = st.one_of(
        st.just({}),
        few(CILIUM_PORTS, 1).map(lambda found: {"toPorts": [{"ports": found}]}),
        few(ICMP_FIELDS, 1).map(lambda found: {"icmps": [{"fields": found}]}),
    )
    return st.builds(lambda one, other: {**one, **other}, peers, ports)


def k8s_rules(word: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    return few(st.fixed_dictionaries({}, optional={word: few(K8S_PEERS), "ports": few(K8S_PORTS)}))


K8S_SPECS = st.fixed_dictionaries(
    {"podSelector": K8S_SELECTORS},
    optional={
        "policyTypes": st.lists(st.sampled_from(["Ingress", "Egress"]), unique=True),
        "ingress": k8s_rules("from"),
        "egress": k8s_rules("to"),
    },
)
CILIUM_SUBJECTS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}), labels("", "k8s:").map(lambda found: {"matchLabels": found})
)
CILIUM_SPECS = st.fixed_dictionaries(
    {"endpointSelector": CILIUM_SUBJECTS},
    optional={
        "ingress": few(cilium_rule("from")),
        "ingressDeny": few(cilium_rule("from")),
        "egress": few(cilium_rule("to")),
        "egressDeny": few(cilium_rule("to")),
        "enableDefaultDeny": st.fixed_dictionaries(
            {}, optional={"ingress": st.booleans(), "egress": st.booleans()}
        ),
    },
)
AUDIT = st.sampled_from([{}, {}, {}, {"leavitt.io/policy-audit-mode": "enabled"}])
NAMESPACES = st.sampled_from(["default", "default", "other"])


def document(
    kind: str, spec: dict[str, Any], namespace: str, audit: dict[str, str]
) -> dict[str, Any]:
    is_k8s = kind == "NetworkPolicy"
    where = {} if "Clusterwide" in kind else {"namespace": namespace}
    return {
        "apiVersion": "networking.k8s.io/v1" if is_k8s else "cilium.io/v2",
        "kind": kind,
        "metadata": {"name": "", "annotations": audit, **where},
        **spec,
    }


def named(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give each document a name of its own."""
    return [
        {**each, "metadata": {**each["metadata"], "name": f"policy-{number}"}}
        for number, each in enumerate(documents)
    ]


def _spec(spec: dict[str, Any]) -> dict[str, Any]:
    return {"spec": spec}


DOCUMENTS = st.lists(
    st.one_of(
        st.builds(document, st.just("NetworkPolicy"), K8S_SPECS.map(_spec), NAMESPACES, AUDIT),
        st.builds(
            document,
            st.sampled_from(["CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"]),
            st.one_of(
                CILIUM_SPECS.map(_spec), few(CILIUM_SPECS, 1).map(lambda found: {"specs": found})
            ),
            NAMESPACES,
            AUDIT,
        ),
    ),
    min_size=1,
    max_size=4,
).map(named)
