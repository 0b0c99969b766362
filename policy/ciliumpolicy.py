"""CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy → the intermediate form.

Layers 3 and 4 of cilium.io/v2: endpointSelector, ingress, egress, ingressDeny and egressDeny with
endpoints, entities and networks as peers, toPorts and icmps; enableDefaultDeny; spec and specs.
What is not understood (L7 rules, toFQDNs, toServices, nodes) is refused with its path, and the
whole policy with it.

A section isolates where it has rules, allowing or denying, unless enableDefaultDeny says no. An
empty rule `{}` allows nobody; so `ingress: [{}]` only isolates.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from policy.ciliumpeers import peer_fields, read_peers
from policy.entries import LAST_PORT, Direction
from policy.icmp import read_icmps
from policy.labelselector import cilium_key, read_requirements
from policy.networkpolicy import (
    IN_A_NAMESPACE,
    in_namespace,
    policy_labels,
    read_audit_mode,
    read_port_name,
)
from policy.ports import EVERYTHING, PROTOCOL_NUMBERS, PortName, PortRange
from policy.rules import Policy, PolicyName, Rule, RuleName, Section
from policy.selectors import LabelSelector, keys_meant
from policy.subjects import NAMESPACE_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policy.fields import Field
    from policy.ports import Ports

API_VERSION = "cilium.io/v2"
NAMESPACED_KIND = "CiliumNetworkPolicy"
CLUSTERWIDE_KIND = "CiliumClusterwideNetworkPolicy"
ANY_PROTOCOL_NAME = "ANY"
DIGITS = re.compile(r"[0-9]{1,5}")


class _List(NamedTuple):
    """One of the lists of rules that a section has."""

    name: str
    direction: Direction
    deny: bool
    default: str
    """Its word in enableDefaultDeny."""


LISTS = (
    _List("ingress", Direction.INGRESS, deny=False, default="ingress"),
    _List("ingressDeny", Direction.INGRESS, deny=True, default="ingress"),
    _List("egress", Direction.EGRESS, deny=False, default="egress"),
    _List("egressDeny", Direction.EGRESS, deny=True, default="egress"),
)


def read_cilium_policy(document: Field) -> Policy:
    """Read the policy written in the document, of either kind.

    Raises:
        FieldError: A field is missing, malformed or (UnsupportedError) not understood.
    """
    document["apiVersion"].choice(API_VERSION)
    kind = document["kind"].choice(NAMESPACED_KIND, CLUSTERWIDE_KIND)
    metadata = document["metadata"]
    namespace = metadata["namespace"].text("default") if kind == NAMESPACED_KIND else ""
    name = PolicyName(kind=kind, namespace=namespace, name=metadata["name"].name())
    document.only("apiVersion", "kind", "metadata", "spec", "specs", "status")
    specs = [*([document["spec"]] if document["spec"].present else []), *document["specs"].items()]
    if not specs:
        raise document["spec"].error("spec or specs")
    return Policy(
        name=name,
        labels=tuple(sorted({*policy_labels(name), *_own_labels(specs)})),
        sections=tuple(_read_section(spec, name) for spec in specs),
        is_audited=read_audit_mode(metadata),
    )


def _own_labels(specs: list[Field]) -> Iterator[str]:
    """Yield the labels that people gave the policy itself."""
    for spec in specs:
        for each in spec["labels"].items():
            each.only("key", "value", "source")
            source, value = each["source"].text("unspec"), each["value"].text("")
            yield f"{source}:{each['key'].name()}={value}"


def _read_section(spec: Field, policy: PolicyName) -> Section:
    spec.only(
        "endpointSelector",
        "enableDefaultDeny",
        "description",
        "labels",
        *(each.name for each in LISTS),
    )
    enable = spec["enableDefaultDeny"]
    enable.only("ingress", "egress")
    rules: list[Rule] = []
    isolates: set[Direction] = set()
    for each in LISTS:
        found = [_read_rule(field, each, policy) for field in spec[each.name].items()]
        if enable[each.default].truth(default=bool(found)):
            isolates.add(each.direction)
        rules += found
    return Section(
        path=spec.path,
        subject=_read_subject(spec["endpointSelector"], policy.namespace),
        isolates=frozenset(isolates),
        rules=tuple(rules),
    )


def _read_subject(field: Field, namespace: str) -> LabelSelector:
    """Read whom it governs: pods of its own namespace, or of all for the clusterwide kind."""
    requirements = read_requirements(field, cilium_key)
    if not namespace:
        return LabelSelector(requirements=(IN_A_NAMESPACE, *requirements))
    own = in_namespace(namespace)
    for each in requirements:
        if keys_meant(each.key)[0] == NAMESPACE_KEY and each.values != own.values:
            raise field.unsupported("it cannot select pods of other namespaces than its own")
    return LabelSelector(requirements=(own, *requirements))


def _read_rule(field: Field, kind: _List, policy: PolicyName) -> Rule:
    names = peer_fields(kind.direction)
    field.only(*names, "toPorts", "icmps")
    peers = read_peers(field, kind.direction, policy.namespace)
    ports = (*_read_ports(field["toPorts"]), *_read_types(field))
    if not ports and not any(field[name].present for name in names):
        peers = ()  # an empty rule: it says something of nobody
    return Rule(
        name=RuleName(policy, kind.direction, field.path),
        peers=peers,
        ports=ports or (EVERYTHING,),
        deny=kind.deny,
    )


def _read_types(rule: Field) -> tuple[PortRange, ...]:
    found = read_icmps(rule["icmps"])
    if found and any(True for _ in rule["toPorts"].items()):
        raise rule["icmps"].unsupported("cannot be combined with toPorts, write a second rule")
    return found


def _read_ports(field: Field) -> Iterator[Ports]:
    for rule in field.items():
        rule.only("ports")
        ports = list(rule["ports"].items())
        if not ports:
            raise rule["ports"].error("at least one port")
        for each in ports:
            yield from _read_port(each)


def _read_port(field: Field) -> Iterator[Ports]:
    """Read a port, a range or a name; 0 is every port, without a protocol every one that has."""
    field.only("port", "endPort", "protocol")
    protocols = _read_protocols(field["protocol"])
    port, end = field["port"], field["endPort"]
    if not DIGITS.fullmatch(port.text()):
        if end.present:
            raise end.error("a number as port beside it")
        yield PortName(name=read_port_name(port), protocols=protocols)
        return
    first = int(port.text())
    if first > LAST_PORT:
        raise port.error(f"a port within 0..{LAST_PORT}")
    last = first or LAST_PORT
    if end.present and end.value != 0:
        if not first:
            raise end.error("a port other than 0 beside it")
        last = end.number(first, LAST_PORT)
    for protocol in protocols:
        yield PortRange(protocol=protocol, first=first, last=last)


def _read_protocols(field: Field) -> tuple[int, ...]:
    every = tuple(PROTOCOL_NUMBERS.values())
    if not field.present:
        return every
    name = field.choice(*PROTOCOL_NUMBERS, ANY_PROTOCOL_NAME)
    return every if name == ANY_PROTOCOL_NAME else (PROTOCOL_NUMBERS[name],)
