"""Read the packet columns of plain samples: every field stands at a place known beforehand.

A packet's window (see `classify.py`) holds its first bytes, two bytes further than they were, so
that the IP header and all in it are aligned:

    2..7    destination MAC      16..   IP header
    8..13   source MAC           24, 40 IPv6 source, destination (two 64-bit words each)
    14..15  ethertype            28, 32 IPv4 source, destination
                                 36, 56 ports behind IPv4, IPv6

Rows that are not plain get values without meaning here; the decoder overwrites them.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.table import scalars
from observer.table.rows import Column

U64 = np.uint64

# ::ffff:a.b.c.d as the second 64-bit word, before the address is put in
_MAPPED: Final = U64(0xFFFF0000)


def read_packets(
    window: NDArray[np.uint8],
    is_ipv6: NDArray[np.bool_],
    l4_kind: NDArray[np.uint8],
    columns: dict[str, Column],
) -> None:
    """Fill the packet columns of m rows.

    Args:
        window: uint8, shape (m, WINDOW_BYTES), C-contiguous.
        is_ipv6: bool, shape (m,).
        l4_kind: uint8, shape (m,).
        columns: of length m.
    """
    fours = window.view(np.uint32)
    eights = window.view(U64)

    macs = columns["macs"].view("V6")
    macs[:, 0] = window[:, 8:14].view("V6")[:, 0]
    macs[:, 1] = window[:, 2:8].view("V6")[:, 0]
    # Both versions are read for all rows, and one is chosen by masks of all ones or all zeros.
    ipv6 = -is_ipv6.astype(np.int64).view(U64)
    for name, four, eight in (("source_ip", 7, 3), ("destination_ip", 8, 5)):
        column = columns[name]
        np.bitwise_and(eights[:, eight], ipv6, out=column[:, 0])
        low = fours[:, four].astype(U64)
        low <<= U64(32)
        low |= _MAPPED
        low ^= (low ^ eights[:, eight + 1]) & ipv6
        column[:, 1] = low
    ports = np.where(is_ipv6, fours[:, 14], fours[:, 9]).view(np.uint16).byteswap(inplace=True)
    columns["source_port"][:] = ports[::2]
    columns["destination_port"][:] = ports[1::2]
    _icmp(columns, (l4_kind >= scalars.ICMPV4).nonzero()[0])
    np.add(is_ipv6, 1, out=columns["ip_version"], dtype=np.uint8)
    columns["l4_kind"][:] = l4_kind


def _icmp(columns: dict[str, Column], rows: NDArray[np.intp]) -> None:
    """Type and code are the bytes of what was read as the source port."""
    both = columns["source_port"][rows]
    columns["source_port"][rows] = both >> 8
    columns["destination_port"][rows] = both & 0xFF
