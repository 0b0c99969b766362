"""Whose an address is when several claim it: who has it keeps it, until it goes or gives it up.

    pods, nodes ──► Claims.settle ──► address → pod, and why the others have to wait

A newcomer never takes an address from a pod that runs, whatever their names are. Who had it before
this process began is what an earlier one left in the maps (`Left`). Where nobody had it, the pod
that was created first gets it, then the one that is first by name, so that every node and every
start decides the same; that is logged. The node's own addresses are facts and no claims: they are
the node's in any case. Next: server.view.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from observer.entities import address_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from server.cluster.objects import ObjectKey, Pod
    from server.pace import Pace

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What an earlier process left in the datapath's maps, by address of 16 bytes."""

    endpoints: Mapping[bytes, int]
    """Ids of the endpoints of this node."""
    identities: Mapping[bytes, int]
    """Identities, of the whole cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimants:
    """All who claim addresses, as of one round."""

    pods: Sequence[Pod]
    addresses: Callable[[Pod], Sequence[bytes]]
    nodes: Mapping[bytes, ObjectKey]
    """Address → the node whose object names it."""
    host: frozenset[bytes]
    """Addresses that interfaces of this node have."""
    endpoint_id: Callable[[Pod], int]
    """0 for pods of other nodes."""
    identity: Callable[[Pod], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """Whose the addresses are."""

    owners: Mapping[bytes, Pod]
    """Address → pod; those of nodes are missing."""
    conflicts: Mapping[str, str]
    """Who has to wait → why."""


class Claims:
    """Settles claims from round to round, and remembers who has what."""

    def __init__(self) -> None:
        self._left: Left | None = Left(endpoints={}, identities={})
        """None from the first round on: its outcome says more."""
        self._owners: Mapping[bytes, Pod] = {}

    def inherit(self, left: Left) -> None:
        """Learn who had addresses before this process; before the first round."""
        if self._left is not None:
            self._left = left

    async def settle(self, claimants: Claimants, pace: Pace) -> Settlement:
        """Find the owner of every address; cancelled, it has never been called."""
        owners: dict[bytes, Pod] = {}
        contested: dict[bytes, list[Pod]] = {}
        async for part in pace.slices(claimants.pods):
            for pod in part:
                for address in claimants.addresses(pod):
                    owner = owners.setdefault(address, pod)
                    if owner is not pod:
                        contested.setdefault(address, []).append(pod)
                    elif address in claimants.nodes or address in claimants.host:
                        contested.setdefault(address, [])
        conflicts: defaultdict[str, list[str]] = defaultdict(list)
        async for addresses in pace.slices(contested.items()):
            for address, others in addresses:
                pods = [owners.pop(address), *others]
                winner = self._winner(address, pods, claimants)
                if winner is not None:
                    owners[address] = winner
                _name_losers(address, pods, winner, claimants, conflicts)
        self._owners, self._left = owners, None
        told = {name: "; ".join(sorted(set(reasons))) for name, reasons in conflicts.items()}
        return Settlement(owners=owners, conflicts=told)

    def _winner(self, address: bytes, pods: list[Pod], claimants: Claimants) -> Pod | None:
        """Decide which of these pods has the address; None: none of them, it is a node's."""
        if address in claimants.host:
            return None
        had = [pod for pod in pods if self._had(pod, address, claimants)]
        if not had and address in claimants.nodes:
            return None
        first, *rest = sorted(had or pods, key=precedence)
        if rest:
            is_older = precedence(first)[:2] < precedence(rest[0])[:2]
            logger.warning(
                "contested address settled address=%s pod=%r claims=%d because=%r",
                address_text(address),
                str(first.key),
                len(pods),
                "created first" if is_older else "first by name",
            )
        return first

    def _had(self, pod: Pod, address: bytes, claimants: Claimants) -> bool:
        """Tell whether the address was this pod's a moment ago, or before this process began."""
        if self._left is None:
            owner = self._owners.get(address)
            return owner is not None and is_same(owner, pod)
        if address in self._left.endpoints:
            return self._left.endpoints[address] == claimants.endpoint_id(pod)
        # of another node's pod the maps hold only what policies go by
        return self._left.identities.get(address) == claimants.identity(pod)


def precedence(pod: Pod) -> tuple[bool, int, ObjectKey]:
    """Sort pods of which none was first: by creation, those of unknown time last; then by name."""
    return pod.created_s is None, pod.created_s or 0, pod.key


def is_same(one: Pod, other: Pod) -> bool:
    """Tell whether these are one pod at two times; one of the same name may be another."""
    return one.key == other.key and one.uid == other.uid


def _name_losers(
    address: bytes,
    pods: list[Pod],
    winner: Pod | None,
    claimants: Claimants,
    conflicts: defaultdict[str, list[str]],
) -> None:
    text = address_text(address)
    for pod in pods:
        if winner is None:
            conflicts[str(pod.key)].append(f"its address is a node's: {text}")
        elif pod is not winner:
            conflicts[str(pod.key)].append(f"its address is already that of {winner.key}: {text}")
    if winner is not None and address in claimants.nodes:
        node = str(claimants.nodes[address])
        conflicts[node].append(f"its address is already that of {winner.key}: {text}")
