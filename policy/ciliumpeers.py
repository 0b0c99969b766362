"""Peers of a rule of a CiliumNetworkPolicy: endpoints, entities, networks.

In: a rule's fields that begin with `from` or `to`. Out: selectors; None where everybody is meant,
no selector at all where a list is empty: that is nobody, which is not the same as no list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policy.entries import Direction
from policy.labelselector import cilium_key, read_requirements
from policy.networkpolicy import IN_A_NAMESPACE, in_namespace
from policy.networks import read_network, read_network_selector
from policy.reserved import Reserved
from policy.selectors import LabelSelector, NetworkSelector, has_label
from policy.subjects import CLUSTER_KEY, NAMESPACE_KEY, NAMESPACE_LABEL_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from policy.fields import Field
    from policy.selectors import Peer

    Reader = Callable[[Field, str], Sequence[Peer] | None]

IN_THE_CLUSTER = (
    Reserved.HOST,
    Reserved.REMOTE_NODE,
    Reserved.INIT,
    Reserved.HEALTH,
    Reserved.UNMANAGED,
    Reserved.KUBE_APISERVER,
    Reserved.INGRESS,
)


def _labelled(*those: Reserved) -> tuple[LabelSelector, ...]:
    return tuple(has_label(each.label) for each in those)


ENTITIES: dict[str, tuple[LabelSelector, ...] | None] = {
    "all": None,
    "world": _labelled(Reserved.WORLD),
    "world-ipv4": _labelled(Reserved.WORLD_IPV4),
    "world-ipv6": _labelled(Reserved.WORLD_IPV6),
    "host": _labelled(Reserved.HOST),
    "remote-node": _labelled(Reserved.REMOTE_NODE),
    "cluster": (*_labelled(*IN_THE_CLUSTER), has_label(CLUSTER_KEY)),
    "init": _labelled(Reserved.INIT),
    "health": _labelled(Reserved.HEALTH),
    "unmanaged": _labelled(Reserved.UNMANAGED),
    "kube-apiserver": _labelled(Reserved.KUBE_APISERVER),
    "ingress": _labelled(Reserved.INGRESS),
    "none": (),
}
"""Whom each entity means; None is everybody."""


def peer_fields(direction: Direction) -> dict[str, Reader]:
    """Give the fields that name peers, each with its reader."""
    word = "from" if direction is Direction.INGRESS else "to"
    return {
        f"{word}Endpoints": _read_endpoints,
        f"{word}Entities": _read_entities,
        f"{word}CIDR": _read_cidrs,
        f"{word}CIDRSet": _read_cidr_sets,
    }


def read_peers(rule: Field, direction: Direction, namespace: str) -> tuple[Peer, ...] | None:
    """Read the peers of a rule, in the policy's namespace (empty: a clusterwide policy).

    Raises:
        FieldError: A peer is malformed, or two fields name peers, which Cilium refuses too.
    """
    given = [name for name in peer_fields(direction) if rule[name].present]
    filled = [name for name in given if any(True for _ in rule[name].items())]
    if len(filled) > 1:
        raise rule[filled[1]].unsupported(f"cannot be combined with {filled[0]}")
    if len(filled) < len(given):
        return ()
    if not given:
        return None
    found = peer_fields(direction)[given[0]](rule[given[0]], namespace)
    return None if found is None else tuple(found)


def read_endpoint_selector(field: Field, namespace: str) -> LabelSelector:
    """Read a selector of peers: of the policy's own namespace, where it does not name others."""
    requirements = read_requirements(field, cilium_key)
    keys = [each.key.removeprefix("any:").removeprefix("k8s:") for each in requirements]
    if any(key.startswith("reserved:") for key in keys):
        return LabelSelector(requirements=requirements)
    if NAMESPACE_KEY.removeprefix("k8s:") in keys:
        return LabelSelector(requirements=requirements)
    names_namespaces = any(key.startswith(NAMESPACE_LABEL_PREFIX) for key in keys)
    own = IN_A_NAMESPACE if names_namespaces or not namespace else in_namespace(namespace)
    return LabelSelector(requirements=(own, *requirements))


def _read_endpoints(field: Field, namespace: str) -> Sequence[Peer]:
    return [read_endpoint_selector(each, namespace) for each in field.items()]


def _read_entities(field: Field, _namespace: str) -> Sequence[Peer] | None:
    found: list[Peer] = []
    means_all = False
    for each in field.items():
        selectors = ENTITIES[each.choice(*ENTITIES)]
        means_all |= selectors is None
        found += selectors or ()
    return None if means_all else found


def _read_cidrs(field: Field, _namespace: str) -> Sequence[Peer]:
    return [NetworkSelector(network=read_network(each)) for each in field.items()]


def _read_cidr_sets(field: Field, _namespace: str) -> Sequence[Peer]:
    found = []
    for each in field.items():
        each.only("cidr", "except")
        found.append(read_network_selector(each))
    return found
