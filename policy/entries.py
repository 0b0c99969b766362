"""What a policy is for the datapath: entries of an endpoint's policy map.

An entry stands for the packets of one direction, to or from one identity (or any), of one protocol
(or any) and one block of ports whose numbers share their upper bits. The kernel's map is a trie of
such blocks; policy.lookup says which of several matching entries decides. Made by policy.compiler,
written to the map by the datapath.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

ANY_IDENTITY = 0
HOST_IDENTITY = 1
NO_RULE = 0xFFFF_FFFF
"""In place of an identity: the entry says what happens to packets that no other entry is about."""
ANY_PROTOCOL = 0
PORT_BITS = 16
LAST_PORT = (1 << PORT_BITS) - 1
LAST_PROTOCOL = 255


class Direction(IntEnum):
    """Seen from the endpoint whose policy it is; numbers are those of the verdict header."""

    INGRESS = 1
    EGRESS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyEntry:
    """One entry of an endpoint's policy map.

    Raises:
        ValueError: The block of ports is not one: bits out of range, a port with bits below them,
            or ports without a protocol.
    """

    direction: Direction
    identity: int
    """Numeric identity of the peer; 0 is any, NO_RULE is what no rule is about."""
    protocol: int
    """IP protocol number; 0 is any."""
    port: int
    """Destination port, host order; its lower 16 - port_prefix_bits bits are zero."""
    port_prefix_bits: int
    """How many upper bits of the port count: 16 is exactly this port, 0 is any."""
    deny: bool
    audit: bool = False
    """Of a denial: it is only told, the packet passes."""
    cookie: int
    """Number of the rules that this entry came from; 0 where no rule is named."""

    def __post_init__(self) -> None:
        bits = self.port_prefix_bits
        if not 0 <= bits <= PORT_BITS:
            raise ValueError(f"build policy entry: need 0..16 port bits, found {bits}")
        if not 0 <= self.port <= LAST_PORT or self.port & (LAST_PORT >> bits):
            raise ValueError(f"build policy entry: {bits} bits do not hold port {self.port}")
        if self.port_prefix_bits and self.protocol == ANY_PROTOCOL:
            raise ValueError(f"build policy entry: any protocol has no port {self.port}")
        if self.audit and not self.deny:
            raise ValueError("build policy entry: only a denial can be told instead of done")

    @property
    def severity(self) -> int:
        """What wins over what: a denial (2), one that is only told (1), an allowance (0)."""
        return 0 if not self.deny else 1 if self.audit else 2

    def matches(self, *, identity: int, protocol: int, port: int) -> bool:
        """Tell whether a packet to or from this identity, of this protocol and port, is meant."""
        if self.identity not in (ANY_IDENTITY, identity):
            return False
        if self.protocol not in (ANY_PROTOCOL, protocol):
            return False
        return (self.port ^ port) >> (PORT_BITS - self.port_prefix_bits) == 0

    @property
    def prefix_bits(self) -> int:
        """How many bits of protocol and port count, as the trie sees it: 0, 8, or 9..24."""
        return 0 if self.protocol == ANY_PROTOCOL else 8 + self.port_prefix_bits
