"""Numbers for what policies and flows talk about: identities of label sets, ids of local pods.

An identity stands for all pods with the same security labels, in the whole cluster. Its number
follows from the label sets that exist (policy.numbering), so that nodes with the same objects agree
without an allocator; 256..65535, since lower numbers are reserved and a tunnel header has room for
24 bits. An endpoint id is a pod's number on its own node and no other node cares, so a pod keeps
the one it got as long as it lives; it is drawn from its uid and thus mostly survives restarts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policy.labels import security_labels
from policy.numbering import assign_numbers, numbering
from server.cluster.objects import CONTAINER_KIND

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from server.cluster.objects import ObjectKey, Pod
    from server.pace import Pace

FIRST_IDENTITY = 256
LAST_IDENTITY = 65_535
LAST_ENDPOINT_ID = 65_535
"""Events have 16 bits for it."""

MOST_ENDPOINTS = 32_768
"""Far above what a node holds; leaves room to draw."""

LabelSet = tuple[str, ...]
"""`k8s:key=value`, or `container:key=value` of what no cluster knows; sorted."""


def identity_labels(
    pod: Pod, *, namespace_labels: Mapping[str, str], cluster_name: str
) -> LabelSet:
    """Give the labels that make the pod's identity; flows show them as the pod's labels."""
    if pod.key.kind == CONTAINER_KIND:
        return tuple(sorted(f"container:{key}={value}" for key, value in pod.labels.items()))
    found = security_labels(pod.labels)
    for key, value in namespace_labels.items():
        found[f"io.cilium.k8s.namespace.labels.{key}"] = value
    found["io.cilium.k8s.policy.cluster"] = cluster_name
    found["io.cilium.k8s.policy.serviceaccount"] = pod.service_account
    found["io.kubernetes.pod.namespace"] = pod.key.namespace
    return tuple(sorted(f"k8s:{key}={value}" for key, value in found.items()))


async def assign_identities(label_sets: Collection[LabelSet], pace: Pace) -> dict[LabelSet, int]:
    """Give a number to each label set that exists in the cluster, the same on every node.

    Raises:
        ValueError: There are more than 48,960 label sets.
    """
    by_name: dict[str, LabelSet] = {}
    async for part in pace.slices(label_sets):
        by_name |= {"\n".join(labels): labels for labels in part}
    numbers = await pace.finish(numbering(by_name, first=FIRST_IDENTITY, last=LAST_IDENTITY))
    return {by_name[name]: number for name, number in numbers.items()}


class EndpointIds:
    """Ids of this node's pods, 1..65535."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def assign(self, pods: Iterable[Pod]) -> dict[ObjectKey, int]:
        """Give the ids of the pods that live now; those of pods that are gone become free.

        Raises:
            ValueError: There are too many pods.
        """
        names = {pod.key: f"{pod.uid}\n{pod.key}" for pod in pods}
        if len(names) > MOST_ENDPOINTS:
            raise ValueError(f"number endpoints: need at most {MOST_ENDPOINTS}, found {len(names)}")
        kept = {name: self._ids[name] for name in names.values() if name in self._ids}
        self._ids = kept | self._draw(names.values() - kept.keys(), taken=set(kept.values()))
        return {key: self._ids[name] for key, name in names.items()}

    def _draw(self, names: Iterable[str], *, taken: set[int]) -> dict[str, int]:
        """Draw ids for new pods: the ones they want, or the next ones free above."""
        drawn: dict[str, int] = {}
        for name, wanted in assign_numbers(names, first=1, last=LAST_ENDPOINT_ID).items():
            number = wanted
            while number in taken:
                number = number % LAST_ENDPOINT_ID + 1
            taken.add(number)
            drawn[name] = number
        return drawn
