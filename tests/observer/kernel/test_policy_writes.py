"""While an endpoint's rules change, write by write: no packet passes that neither the old nor the
new rules let pass, and none is lost that both let pass.
"""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

import numpy as np
from hypothesis import example, given, settings

from observer.kernel import layout
from observer.kernel.policytable import PolicyTable
from policy.entries import Direction, PolicyEntry
from policy.lookup import judge
from tests.policy.documents import DOCUMENTS, PARTIES
from tests.policy.world import IDENTITIES, compiled

PACKETS = [(6, 53), (6, 80), (6, 1024), (17, 53), (132, 80), (1, 8), (58, 128)]
CASES = list(product(Direction, PARTIES, PACKETS))


class WatchedTable:
    """A map that shows what it holds after each single write."""

    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}
        self.moments: list[dict[bytes, bytes]] = []

    def read(self) -> dict[bytes, bytes]:
        return dict(self.held)

    def put_all(self, entries: dict[bytes, bytes]) -> None:
        for key, value in entries.items():
            self.held[key] = value
            self.moments.append(dict(self.held))

    def drop(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            self.held.pop(key, None)
            self.moments.append(dict(self.held))


def entry_of(key: bytes, value: bytes) -> PolicyEntry:
    place = np.frombuffer(key, layout.POLICY_KEY)[0]
    said = np.frombuffer(value, layout.POLICY_VALUE)[0]
    return PolicyEntry(
        direction=Direction(int(place["direction"])),
        identity=int(place["identity"]),
        protocol=int(place["protocol"]),
        port=int(place["port"]),
        port_prefix_bits=max(int(said["prefix_bits"]) - 8, 0),
        deny=bool(said["flags"] & layout.POLICY_DENY),
        audit=bool(said["flags"] & layout.POLICY_AUDIT),
        cookie=int(said["cookie"]),
    )


def passing(held: dict[bytes, bytes]) -> set[int]:
    """The numbers of the cases whose packets pass."""
    entries = [entry_of(key, value) for key, value in held.items()]
    return set(_passing(entries))


def _passing(entries: list[PolicyEntry]) -> Iterator[int]:
    for number, (direction, peer, (protocol, port)) in enumerate(CASES):
        identity = IDENTITIES[peer]
        if judge(
            entries, direction=direction, identity=identity, protocol=protocol, port=port
        ).allowed:
            yield number


def cilium(**spec: object) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumNetworkPolicy",
            "metadata": {"name": "p", "namespace": "default"},
            "spec": {"endpointSelector": {}, **spec},
        }
    ]


TCP = {"toPorts": [{"ports": [{"port": "0", "protocol": "TCP"}]}]}
HTTP = {"toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}]}]}
DB, ALL = {"fromEndpoints": [{"matchLabels": {"app": "db"}}]}, {"fromEntities": ["all"]}


@settings(max_examples=80, deadline=None)
@given(DOCUMENTS, DOCUMENTS)
# a rule of one peer turns from allow to deny while one of everybody turns the other way round
@example(
    cilium(ingress=[{**DB, **TCP}], ingressDeny=[{**ALL, **HTTP}]),
    cilium(ingress=[{**ALL, **HTTP}], ingressDeny=[DB]),
)
def test_every_moment_of_a_change(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    (_, before), (_, after) = compiled(old, "web"), compiled(new, "web")
    table = WatchedTable()
    policy = PolicyTable(table)  # type: ignore[arg-type]  # a table's three methods are enough
    policy.replace(7, before.entries)
    first = passing(table.held)
    table.moments.clear()
    policy.replace(7, after.entries)
    last = passing(table.held)
    both = before.enforced & after.enforced
    counted = {number for number, case in enumerate(CASES) if case[0] in both}
    for moment in table.moments:
        now = passing(moment) & counted
        assert now <= first | last
        assert now >= first & last & counted
