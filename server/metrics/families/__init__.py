"""The families by the names that stand in `--metrics`, one file each."""

from collections.abc import Callable, Mapping
from typing import Final

from server.metrics.families import (
    drop,
    flow,
    flows_to_world,
    icmp,
    policy,
    port_distribution,
    tcp,
)
from server.metrics.families.source import Source
from server.metrics.family import Family

FAMILIES: Final[dict[str, Callable[[Source], Family]]] = {
    "drop": drop.family,
    "flow": flow.family,
    "flows-to-world": flows_to_world.family,
    "icmp": icmp.family,
    "policy": policy.family,
    "port-distribution": port_distribution.family,
    "tcp": tcp.family,
}

OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "flows-to-world": frozenset(("any-drop", "port", "syn-only")),
}
"""What a family has beyond contexts, lower-cased."""
