"""Identities that stand for no label set: the node, the world, and others with a fixed number.

The numbers and names are Hubble's. Who is what follows from addresses (`server`): nodes are host or
remote-node, what nobody knows is the world. Where a policy tells the families of the world apart,
its two halves have numbers of their own.
"""

from __future__ import annotations

from enum import IntEnum


class Reserved(IntEnum):
    """Numeric identities below 256."""

    HOST = 1
    WORLD = 2
    UNMANAGED = 3
    HEALTH = 4
    INIT = 5
    REMOTE_NODE = 6
    KUBE_APISERVER = 7
    INGRESS = 8
    WORLD_IPV4 = 9
    WORLD_IPV6 = 10

    @property
    def label(self) -> str:
        """The label that it has, `reserved:remote-node`."""
        return f"reserved:{self.name.lower().replace('_', '-')}"
