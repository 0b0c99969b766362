"""Which kinds of rules a packet has met: what a differential test has to have seen.

A cell is peer kind x direction x protocol x what the rule did: allow, deny, leave out by `except`,
match by a range of ports. A rule counts where the packet is one that it is about, or that its
`except` keeps it from.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.policy import oracle
from tests.policy.oracle import Party

PROTOCOL_NAMES = {6: "TCP", 17: "UDP", 132: "SCTP", 1: "ICMP", 58: "ICMPv6"}
PEERS = ("any", "endpoint", "namespace", "entity", "network")
PORTED = ("TCP", "UDP", "SCTP")


class Cell(NamedTuple):
    peer: str
    direction: str
    protocol: str
    what: str


ALL_CELLS = frozenset(
    Cell(peer, direction, protocol, what)
    for peer in PEERS
    for direction in ("ingress", "egress")
    for protocol in PROTOCOL_NAMES.values()
    for what in ("allow", "deny", "except", "range")
    if (what != "except" or peer == "network") and (what != "range" or protocol in PORTED)
)


def met(
    documents: list[dict[str, Any]],
    *,
    ingress: bool,
    parties: tuple[Party, Party],
    packet: tuple[int, int],
) -> Iterator[Cell]:
    """Yield the cells that a packet between an endpoint and its peer fills."""
    direction = "ingress" if ingress else "egress"
    protocol = PROTOCOL_NAMES[packet[0]]
    for document in documents:
        kind = document["kind"]
        namespace = document["metadata"].get("namespace", "")
        for spec in oracle.sections(document):
            for name, what in ((direction, "allow"), (f"{direction}Deny", "deny")):
                for rule in spec.get(name) or []:
                    how = (kind, rule, ingress, namespace, parties, packet)
                    for peer in peer_kinds(kind, rule, ingress):
                        if oracle.rule_matches(*how):
                            yield Cell(peer, direction, protocol, what)
                            if protocol in PORTED and has_range(kind, rule):
                                yield Cell(peer, direction, protocol, "range")
                        elif peer == "network" and oracle.rule_matches(
                            kind, without_except(kind, rule, ingress), *how[2:]
                        ):
                            yield Cell(peer, direction, protocol, "except")


def peer_kinds(kind: str, rule: dict[str, Any], ingress: bool) -> set[str]:
    """Name the kinds of peers of a rule; one without any is about everybody."""
    word = "from" if ingress else "to"
    if kind == "NetworkPolicy":
        peers = rule.get(word) or []
        names = {"ipBlock": "network", "namespaceSelector": "namespace", "podSelector": "endpoint"}
        found = {next(names[field] for field in names if field in peer) for peer in peers}
        return found or {"any"}
    found = set()
    for selector in rule.get(f"{word}Endpoints") or []:
        text = " ".join(oracle.keys_in(selector))
        found.add("namespace" if "namespace" in text else "endpoint")
    found |= {"entity"} if rule.get(f"{word}Entities") else set()
    found |= {"network"} if rule.get(f"{word}CIDR") or rule.get(f"{word}CIDRSet") else set()
    return found or {"any"}


def has_range(kind: str, rule: dict[str, Any]) -> bool:
    items = rule.get("ports") or [] if kind == "NetworkPolicy" else ports_of(rule)
    return any(item.get("endPort") for item in items)


def ports_of(rule: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for item in rule.get("toPorts") or [] for each in item["ports"]]


def without_except(kind: str, rule: dict[str, Any], ingress: bool) -> dict[str, Any]:
    word = "from" if ingress else "to"
    if kind == "NetworkPolicy":
        peers = rule.get(word) or []
        bare = [
            {"ipBlock": {"cidr": each["ipBlock"]["cidr"]}} if "ipBlock" in each else each
            for each in peers
        ]
        return {**rule, word: bare}
    name = f"{word}CIDRSet"
    return {**rule, name: [{"cidr": each["cidr"]} for each in rule.get(name) or []] or None}


def table(seen: Counter[Cell]) -> str:
    """Write how often each cell was filled, a line for each peer and direction."""
    columns = [
        (protocol, what)
        for protocol in PROTOCOL_NAMES.values()
        for what in ("allow", "deny", "except", "range")
    ]
    lines = ["cases by peer, direction, protocol: allow deny except range"]
    for peer in PEERS:
        for direction in ("ingress", "egress"):
            counts = []
            for protocol, what in columns:
                cell = Cell(peer, direction, protocol, what)
                counts.append(str(seen[cell]) if cell in ALL_CELLS else "-")
            groups = [
                f"{protocol} {' '.join(counts[4 * i : 4 * i + 4])}"
                for i, protocol in enumerate(PROTOCOL_NAMES.values())
            ]
            lines.append(f"{peer:9} {direction:7} {'  '.join(groups)}")
    return "\n".join(lines)
