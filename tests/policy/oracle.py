"""What policies mean, read straight from their documents for one packet: slow, simple, and a second
opinion. It imports nothing of what it judges.

A world is a dict of parties by name: labels with their source, the network of one that is outside
the cluster, named ports. A packet goes from one to another.
"""

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Any, NamedTuple

PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
ICMP, ICMPV6 = 1, 58
NAMESPACE = "io.kubernetes.pod.namespace"
IN_CLUSTER = ("host", "remote-node", "init", "health", "unmanaged", "kube-apiserver", "ingress")


class Party(NamedTuple):
    labels: Mapping[str, str]
    network: str = ""
    ports: Mapping[str, tuple[tuple[int, int], ...]] = {}


class Outcome(NamedTuple):
    """What happens, and the policies that say so."""

    what: str
    """allow, deny, audit; isolated: denied for want of a rule; free: nothing is enforced."""
    policies: frozenset[str]


def labels_of(party: Party, key: str) -> list[str]:
    """All values that a key has, whatever source it names."""
    source, colon, name = key.partition(":")
    if not colon:
        source, name = "any", key
    wanted = ("k8s", "container", "reserved") if source == "any" else (source,)
    return [party.labels[f"{each}:{name}"] for each in wanted if f"{each}:{name}" in party.labels]


def selects(selector: dict[str, Any], party: Party, prefix: str = "") -> bool:
    for key, value in (selector.get("matchLabels") or {}).items():
        if value not in labels_of(party, prefix + key):
            return False
    for term in selector.get("matchExpressions") or []:
        found = labels_of(party, prefix + term["key"])
        known = any(each in term.get("values", ()) for each in found)
        if not {
            "In": known,
            "NotIn": not known,
            "Exists": bool(found),
            "DoesNotExist": not found,
        }[term["operator"]]:
            return False
    return True


def namespace_of(party: Party) -> str | None:
    return party.labels.get(f"k8s:{NAMESPACE}")


def in_block(cidr: str, excepted: list[str], party: Party) -> bool:
    if not party.network:
        return False
    network = ip_network(party.network)

    def inside(wide: str) -> bool:
        other = ip_network(wide, strict=False)
        return other.version == network.version and network.subnet_of(other)  # type: ignore[arg-type]

    return inside(cidr) and not any(inside(each) for each in excepted)


def is_entity(entity: str, party: Party) -> bool:
    reserved = {
        key.removeprefix("reserved:") for key in party.labels if key.startswith("reserved:")
    }
    if entity == "all":
        return True
    if entity == "world":
        return "world" in reserved
    if entity == "cluster":
        return (
            bool(reserved & set(IN_CLUSTER)) or "k8s:io.cilium.k8s.policy.cluster" in party.labels
        )
    return entity in reserved


def keys_in(selector: dict[str, Any]) -> list[str]:
    keys = [*(selector.get("matchLabels") or {})]
    return keys + [term["key"] for term in selector.get("matchExpressions") or []]


def is_cilium_endpoint(selector: dict[str, Any], namespace: str, party: Party) -> bool:
    keys = keys_in(selector)
    if any(key.startswith("reserved:") for key in keys):
        return selects(selector, party)
    bare = [key.removeprefix("k8s:").removeprefix("any:") for key in keys]
    if NAMESPACE not in bare:
        names_namespaces = any(key.startswith("io.cilium.k8s.namespace.labels.") for key in bare)
        if namespace and not names_namespaces and namespace_of(party) != namespace:
            return False
        if namespace_of(party) is None:
            return False
    return selects(selector, party)


def cilium_peers(rule: dict[str, Any], word: str, namespace: str, party: Party) -> bool:
    fields = {
        "Endpoints": lambda each: is_cilium_endpoint(each, namespace, party),
        "Entities": lambda each: is_entity(each, party),
        "CIDR": lambda each: in_block(each, [], party),
        "CIDRSet": lambda each: in_block(each["cidr"], each.get("except") or [], party),
    }
    given = [name for name in fields if rule.get(word + name) is not None]
    if not given:
        return bool(rule.get("toPorts") or rule.get("icmps"))
    return all(any(fields[name](each) for each in rule[word + name]) for name in given)


def k8s_peer(peer: dict[str, Any], namespace: str, party: Party) -> bool:
    if "ipBlock" in peer:
        return in_block(peer["ipBlock"]["cidr"], peer["ipBlock"].get("except") or [], party)
    if namespace_of(party) is None:
        return False
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], party, "k8s:io.cilium.k8s.namespace.labels."):
            return False
    elif namespace_of(party) != namespace:
        return False
    return selects(peer.get("podSelector") or {}, party, "k8s:")


def port_matches(item: dict[str, Any], protocol: int, port: int, receiver: Party) -> bool:
    name = item.get("protocol", "ANY" if isinstance(item.get("port"), str) else "TCP")
    allowed = PROTOCOLS.values() if name == "ANY" else [PROTOCOLS[name]]
    if protocol not in allowed:
        return False
    wanted = item.get("port")
    if isinstance(wanted, str) and not wanted.isdigit():
        return (protocol, port) in receiver.ports.get(wanted, ())
    if wanted is None or int(wanted) == 0:
        return True
    return int(wanted) <= port <= (item.get("endPort") or int(wanted))


def types_match(icmps: list[dict[str, Any]], protocol: int, number: int) -> bool:
    wanted = [
        (ICMPV6 if each.get("family") == "IPv6" else ICMP, each["type"])
        for rule in icmps
        for each in rule["fields"]
    ]
    return (protocol, number) in wanted


def rule_matches(
    kind: str,
    rule: dict[str, Any],
    ingress: bool,
    namespace: str,
    parties: tuple[Party, Party],
    packet: tuple[int, int],
) -> bool:
    own, peer = parties
    receiver = own if ingress else peer
    word = "from" if ingress else "to"
    if kind == "NetworkPolicy":
        peers, ports = rule.get(word) or [], rule.get("ports") or []
        if peers and not any(k8s_peer(each, namespace, peer) for each in peers):
            return False
        # what a number is written for, a NetworkPolicy means by TCP
        named = [{"protocol": "TCP", **each} for each in ports]
        return not ports or any(port_matches(each, *packet, receiver) for each in named)
    if not cilium_peers(rule, word, namespace, peer):
        return False
    if rule.get("icmps"):
        return types_match(rule["icmps"], *packet)
    ports = [each for item in rule.get("toPorts") or [] for each in item["ports"]]
    return not ports or any(port_matches(each, *packet, receiver) for each in ports)


class Said(NamedTuple):
    """What one section of a policy says of a packet."""

    name: str
    is_audited: bool
    isolates: bool
    allows: bool
    denies: bool
    has_rules: bool


def sections(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if document.get("spec") is not None:
        yield document["spec"]
    yield from document.get("specs") or []


def said(
    document: dict[str, Any], ingress: bool, parties: tuple[Party, Party], packet: tuple[int, int]
) -> Iterator[Said]:
    kind, metadata = document["kind"], document["metadata"]
    namespace = "" if "Clusterwide" in kind else metadata.get("namespace", "default")
    annotations = metadata.get("annotations") or {}
    is_audited = annotations.get("leavitt.io/policy-audit-mode") == "enabled"
    name = "ingress" if ingress else "egress"
    for spec in sections(document):
        own = parties[0]
        whose = spec.get("podSelector" if kind == "NetworkPolicy" else "endpointSelector") or {}
        where = namespace_of(own)
        if where is None or (namespace and where != namespace):
            continue
        if not selects(whose, own, "k8s:" if kind == "NetworkPolicy" else ""):
            continue
        allow, deny = spec.get(name) or [], spec.get(f"{name}Deny") or []
        if kind == "NetworkPolicy":
            types = spec.get("policyTypes") or ["Ingress"] + ["Egress"] * bool(spec.get("egress"))
            isolates = name.capitalize() in types
            allow = allow if isolates else []
        else:
            enabled = (spec.get("enableDefaultDeny") or {}).get(name)
            isolates = bool(allow or deny) if enabled is None else enabled
        allows, denies = (
            any(rule_matches(kind, each, ingress, namespace, parties, packet) for each in rules)
            for rules in (allow, deny)
        )
        yield Said(metadata["name"], is_audited, isolates, allows, denies, bool(allow or deny))


def judge(
    documents: list[dict[str, Any]],
    *,
    ingress: bool,
    parties: tuple[Party, Party],
    packet: tuple[int, int],
    endpoint_is_audited: bool = False,
) -> Outcome:
    """Judge a packet (protocol, port or ICMP type) between an endpoint and its peer."""
    found = [each for doc in documents for each in said(doc, ingress, parties, packet)]
    if not any(each.isolates or each.has_rules for each in found):
        return Outcome("free", frozenset())
    full = _outcome(found, parties, ingress)
    if full.what in ("deny", "isolated") and endpoint_is_audited:
        return full._replace(what="audit")
    if endpoint_is_audited:
        return full
    enforced = _outcome([each for each in found if not each.is_audited], parties, ingress)
    if enforced.what in ("deny", "isolated"):
        return enforced
    return full._replace(what="audit") if full.what in ("deny", "isolated") else full


def _outcome(found: list[Said], parties: tuple[Party, Party], ingress: bool) -> Outcome:
    def names(word: str) -> frozenset[str]:
        return frozenset(each.name for each in found if getattr(each, word))

    if names("denies"):
        return Outcome("deny", names("denies"))
    if names("allows"):
        return Outcome("allow", names("allows"))
    if ingress and "reserved:host" in parties[1].labels:
        return Outcome("allow", frozenset())
    if names("isolates"):
        return Outcome("isolated", names("isolates"))
    return Outcome("allow", frozenset())
