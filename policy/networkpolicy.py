"""Kubernetes' NetworkPolicy → the intermediate form.

Understood: podSelector, policyTypes, ingress and egress rules with podSelector peers of the
policy's own namespace, ports by protocol and number (with endPort). Everything else
(namespaceSelector, ipBlock, named ports) is refused with its path and the whole policy with it: a
policy of which a part is ignored would let pass, or stop, what its author did not mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policy.entries import LAST_PORT, Direction
from policy.ports import EVERYTHING, PROTOCOL_NUMBERS, PortRange
from policy.rules import Policy, PolicyName, Rule, RuleName
from policy.selectors import PodSelector, read_pod_selector

if TYPE_CHECKING:
    from policy.fields import Field

API_VERSION = "networking.k8s.io/v1"
POLICY_LABELS = ("k8s:io.cilium.k8s.policy.derived-from=NetworkPolicy",)
TYPE_NAMES = {"Ingress": Direction.INGRESS, "Egress": Direction.EGRESS}
RULE_FIELDS = {Direction.INGRESS: ("ingress", "from"), Direction.EGRESS: ("egress", "to")}


def read_network_policy(document: Field) -> Policy:
    """Read the policy written in the document.

    Raises:
        FieldError: A field is missing, malformed or (UnsupportedError) not implemented.
    """
    document["apiVersion"].choice(API_VERSION)
    name = PolicyName(
        kind="NetworkPolicy",
        namespace=document["metadata"]["namespace"].text("default"),
        name=document["metadata"]["name"].name(),
    )
    spec = document["spec"]
    if not spec.present:
        raise spec.error("a mapping")
    spec.only("podSelector", "policyTypes", "ingress", "egress")
    directions = _read_directions(spec)
    # Rules of both directions are read, so that an error is seen; those not governed do nothing.
    rules = _read_rules(spec, Direction.INGRESS, name) + _read_rules(spec, Direction.EGRESS, name)
    return Policy(
        name=name,
        labels=_policy_labels(name),
        subject=_read_subject(spec["podSelector"], name.namespace),
        directions=directions,
        rules=tuple(rule for rule in rules if rule.direction in directions),
    )


def _policy_labels(name: PolicyName) -> tuple[str, ...]:
    """Give the labels under which Hubble shows a policy derived from a NetworkPolicy."""
    prefix = "k8s:io.cilium.k8s.policy"
    labels = (*POLICY_LABELS, f"{prefix}.name={name.name}", f"{prefix}.namespace={name.namespace}")
    return tuple(sorted(labels))


def _read_subject(field: Field, namespace: str) -> PodSelector:
    """Read which pods it governs; Kubernetes takes a missing selector for the empty one."""
    if not field.present:
        return PodSelector(namespace=namespace)
    return read_pod_selector(field, namespace)


def _read_directions(spec: Field) -> frozenset[Direction]:
    """Read policyTypes; without it ingress, and egress too if there is an egress rule."""
    named = [TYPE_NAMES[each.choice(*TYPE_NAMES)] for each in spec["policyTypes"].items()]
    if named:
        return frozenset(named)
    has_egress_rule = next(spec["egress"].items(), None) is not None
    return frozenset(Direction if has_egress_rule else (Direction.INGRESS,))


def _read_rules(spec: Field, direction: Direction, policy: PolicyName) -> tuple[Rule, ...]:
    list_name, peers_name = RULE_FIELDS[direction]
    return tuple(
        _read_rule(field, peers_name, RuleName(policy, direction, index))
        for index, field in enumerate(spec[list_name].items())
    )


def _read_rule(field: Field, peers_name: str, name: RuleName) -> Rule:
    """Read one rule; an absent or empty list of peers or ports means all of them."""
    field.only(peers_name, "ports")
    peers = [_read_peer(each, name.policy.namespace) for each in field[peers_name].items()]
    ports = [_read_port(each) for each in field["ports"].items()]
    return Rule(name=name, peers=tuple(peers) or None, ports=tuple(ports) or (EVERYTHING,))


def _read_peer(field: Field, namespace: str) -> PodSelector:
    field.only("podSelector")
    return read_pod_selector(field["podSelector"], namespace)


def _read_port(field: Field) -> PortRange:
    """Read one item of `ports`: a protocol (TCP if absent) and a port, a range, or every port."""
    field.only("protocol", "port", "endPort")
    protocol = PROTOCOL_NUMBERS["TCP"]
    if field["protocol"].present:
        protocol = PROTOCOL_NUMBERS[field["protocol"].choice(*PROTOCOL_NUMBERS)]
    port, end = field["port"], field["endPort"]
    if not port.present:
        if end.present:
            raise end.error("a port beside it")
        return PortRange(protocol=protocol)
    if isinstance(port.value, str):
        raise port.unsupported("named ports are not supported")
    first = port.number(1, LAST_PORT)
    last = end.number(first, LAST_PORT) if end.present else first
    return PortRange(protocol=protocol, first=first, last=last)
