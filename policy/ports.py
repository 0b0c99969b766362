"""Port ranges, and the blocks of ports that a trie can hold.

A trie matches by leading bits, so a range becomes the fewest blocks of 2^n ports that begin at a
multiple of their size: 1..65535 needs 16 of them, 30 are the most. Ranges come from
policy.networkpolicy, blocks go into entries by policy.resolve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from policy.entries import ANY_PROTOCOL, LAST_PORT, PORT_BITS

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOCOL_NUMBERS = {"TCP": 6, "UDP": 17, "SCTP": 132}


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRange:
    """Destination ports first..last of one protocol; 0..65535 is any port."""

    protocol: int
    first: int = 0
    last: int = LAST_PORT


EVERYTHING = PortRange(protocol=ANY_PROTOCOL)
"""Every protocol, also those without ports."""


class PortBlock(NamedTuple):
    """Ports that share their upper `prefix_bits` bits with `port`."""

    port: int
    prefix_bits: int


def blocks(first: int, last: int) -> Iterator[PortBlock]:
    """Give the fewest blocks that hold exactly the ports first..last, ascending."""
    while first <= last:
        size_bits = (first & -first).bit_length() - 1 if first else PORT_BITS
        while first + (1 << size_bits) - 1 > last:
            size_bits -= 1
        yield PortBlock(first, PORT_BITS - size_bits)
        first += 1 << size_bits
