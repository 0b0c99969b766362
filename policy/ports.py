"""Ports as rules name them, and the blocks of ports that a trie can hold.

A trie matches by leading bits, so a range becomes the fewest blocks of 2^n ports that begin at a
multiple of their size: 1..65535 needs 16 of them, 30 are the most. Ports come from the readers,
blocks go into entries by policy.porttable.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from policy.entries import ANY_PROTOCOL, LAST_PORT, PORT_BITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from policy.subjects import NamedPort

PROTOCOL_NUMBERS = {"TCP": 6, "UDP": 17, "SCTP": 132}
ICMP_PROTOCOL = 1
ICMPV6_PROTOCOL = 58


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRange:
    """Destination ports first..last of one protocol; 0..65535 is any port.

    For ICMP the type stands for the port.
    """

    protocol: int
    first: int = 0
    last: int = LAST_PORT


@dataclass(frozen=True, slots=True, kw_only=True)
class PortName:
    """The port that pods of the receiving side call so; nothing where none does."""

    name: str
    protocols: tuple[int, ...]

    def among(self, ports: Mapping[str, frozenset[NamedPort]]) -> Iterator[PortRange]:
        """Yield the ports that have the name, ascending."""
        for port in sorted(ports.get(self.name, ())):
            if port.protocol in self.protocols:
                yield PortRange(protocol=port.protocol, first=port.number, last=port.number)


Ports: TypeAlias = PortRange | PortName

EVERYTHING = PortRange(protocol=ANY_PROTOCOL)
"""Every protocol, also those without ports."""


class PortBlock(NamedTuple):
    """Ports of a protocol that share their upper `prefix_bits` bits with `port`."""

    protocol: int
    port: int
    prefix_bits: int

    def covering(self) -> Iterator[PortBlock]:
        """Yield this block and every wider one that holds all of its packets, widest first."""
        yield EVERY_BLOCK
        if self.protocol == ANY_PROTOCOL:
            return
        for bits in range(self.prefix_bits + 1):
            yield PortBlock(self.protocol, self.port & ~(LAST_PORT >> bits), bits)


EVERY_BLOCK = PortBlock(ANY_PROTOCOL, 0, 0)


@lru_cache(maxsize=4_096)
def blocks(ports: PortRange) -> tuple[PortBlock, ...]:
    """Give the fewest blocks that hold exactly these ports, ascending."""
    found = []
    first = ports.first
    while first <= ports.last:
        size_bits = (first & -first).bit_length() - 1 if first else PORT_BITS
        while first + (1 << size_bits) - 1 > ports.last:
            size_bits -= 1
        found.append(PortBlock(ports.protocol, first, PORT_BITS - size_bits))
        first += 1 << size_bits
    return tuple(found)
