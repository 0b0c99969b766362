"""Kubernetes' NetworkPolicy → the intermediate form.

All of networking.k8s.io/v1: podSelector, policyTypes, peers by podSelector, namespaceSelector and
ipBlock, ports by number, range and name. An ipBlock means addresses outside the cluster, as
Kubernetes recommends it: pods and nodes are never meant by their address. A field that is not
known is refused with its path and the whole policy with it: a policy of which a part is ignored
would let pass, or stop, what its author did not mean.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from policy.entries import LAST_PORT, Direction
from policy.labelselector import namespace_key, pod_key, read_requirements
from policy.networks import read_network_selector
from policy.ports import EVERYTHING, PROTOCOL_NUMBERS, PortName, PortRange
from policy.rules import Policy, PolicyName, Rule, RuleName, Section
from policy.selectors import LabelSelector, Operator, Requirement
from policy.subjects import NAMESPACE_KEY

if TYPE_CHECKING:
    from policy.fields import Field
    from policy.ports import Ports
    from policy.selectors import Peer

API_VERSION = "networking.k8s.io/v1"
AUDIT_ANNOTATION = "leavitt.io/policy-audit-mode"
"""On a policy or a Pod: what would be denied is told and passes."""
POLICY_LABEL = "k8s:io.cilium.k8s.policy"
TYPE_NAMES = {"Ingress": Direction.INGRESS, "Egress": Direction.EGRESS}
RULE_FIELDS = {Direction.INGRESS: ("ingress", "from"), Direction.EGRESS: ("egress", "to")}
PORT_NAME = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
IN_A_NAMESPACE = Requirement(key=NAMESPACE_KEY, operator=Operator.EXISTS)
"""Pods of any namespace, and nobody else."""


def read_network_policy(document: Field) -> Policy:
    """Read the policy written in the document.

    Raises:
        FieldError: A field is missing, malformed or (UnsupportedError) not known.
    """
    document["apiVersion"].choice(API_VERSION)
    metadata = document["metadata"]
    name = PolicyName(
        kind="NetworkPolicy",
        namespace=metadata["namespace"].text("default"),
        name=metadata["name"].name(),
    )
    spec = document["spec"]
    if not spec.present:
        raise spec.error("a mapping")
    spec.only("podSelector", "policyTypes", "ingress", "egress")
    directions = _read_directions(spec)
    # Rules of both directions are read, so that an error is seen; those not governed do nothing.
    rules = _read_rules(spec, Direction.INGRESS, name) + _read_rules(spec, Direction.EGRESS, name)
    section = Section(
        path="spec",
        subject=_read_subject(spec["podSelector"], name.namespace),
        isolates=directions,
        rules=tuple(rule for rule in rules if rule.direction in directions),
    )
    return Policy(
        name=name,
        labels=policy_labels(name),
        sections=(section,),
        is_audited=read_audit_mode(metadata),
    )


def policy_labels(name: PolicyName) -> tuple[str, ...]:
    """Give the labels under which Hubble shows a policy."""
    labels = [f"{POLICY_LABEL}.derived-from={name.kind}", f"{POLICY_LABEL}.name={name.name}"]
    if name.namespace:
        labels.append(f"{POLICY_LABEL}.namespace={name.namespace}")
    return tuple(sorted(labels))


def read_audit_mode(metadata: Field) -> bool:
    """Read whether an object's denials are only told."""
    annotation = metadata["annotations"][AUDIT_ANNOTATION]
    return annotation.present and annotation.choice("enabled", "disabled") == "enabled"


def in_namespace(namespace: str) -> Requirement:
    """Make the condition of being a pod of this namespace."""
    return Requirement(key=NAMESPACE_KEY, operator=Operator.IN, values=frozenset({namespace}))


def _read_subject(field: Field, namespace: str) -> LabelSelector:
    """Read which pods it governs; Kubernetes takes a missing selector for the empty one."""
    requirements = read_requirements(field, pod_key) if field.present else ()
    return LabelSelector(requirements=(in_namespace(namespace), *requirements))


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
        _read_rule(field, peers_name, RuleName(policy, direction, field.path))
        for field in spec[list_name].items()
    )


def _read_rule(field: Field, peers_name: str, name: RuleName) -> Rule:
    """Read one rule; an absent or empty list of peers or ports means all of them."""
    field.only(peers_name, "ports")
    peers = [_read_peer(each, name.policy.namespace) for each in field[peers_name].items()]
    ports = [_read_port(each) for each in field["ports"].items()]
    return Rule(name=name, peers=tuple(peers) or None, ports=tuple(ports) or (EVERYTHING,))


def _read_peer(field: Field, namespace: str) -> Peer:
    field.only("podSelector", "namespaceSelector", "ipBlock")
    pods, namespaces, block = (
        field[name] for name in ("podSelector", "namespaceSelector", "ipBlock")
    )
    if block.present:
        if pods.present or namespaces.present:
            raise block.error("no podSelector or namespaceSelector beside it")
        block.only("cidr", "except")
        return read_network_selector(block)
    if not pods.present and not namespaces.present:
        raise field.error("one of podSelector, namespaceSelector and ipBlock")
    where: tuple[Requirement, ...] = (in_namespace(namespace),)
    if namespaces.present:
        where = (IN_A_NAMESPACE, *read_requirements(namespaces, namespace_key))
    whose = read_requirements(pods, pod_key) if pods.present else ()
    return LabelSelector(requirements=where + whose)


def _read_port(field: Field) -> Ports:
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
        if end.present:
            raise end.error("a number as port beside it")
        return PortName(name=read_port_name(port), protocols=(protocol,))
    first = port.number(1, LAST_PORT)
    last = end.number(first, LAST_PORT) if end.present else first
    return PortRange(protocol=protocol, first=first, last=last)


def read_port_name(field: Field) -> str:
    """Read the name of a port; FieldError if no port can have it."""
    name = field.text().lower()
    if not PORT_NAME.fullmatch(name):
        raise field.error("a port's number, or name of up to 15 letters, digits and hyphens")
    return name
