"""Look inside of VXLAN and Geneve packets: the inner packet becomes the row, the outer a detail.

Behind the outer UDP header stands, with offsets in bytes:

    VXLAN (RFC 7348)     4..6 VNI                               8: inner Ethernet
    Geneve (RFC 8926)    0: option length in units of 4, low 6 bits
                         2..3 ethertype   4..6 VNI              8 + options: inner packet

What the capture does not hold of the inner packet is simply not known: that is no error.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.decode.walk import Halves, Index, Offsets, Packets
from observer.entities import Tunnel
from observer.table import scalars
from observer.table.columns import L4Kind

VXLAN: Final = 1  # flow.Tunnel.Protocol
GENEVE: Final = 2

_HEADER_BYTES: Final = 8
_ETHERTYPE_BRIDGED: Final = 0x6558
_EMPTY: Final = 0xFFFF  # no ethertype that we follow


def unwrap(packets: Packets, protocols: NDArray[np.uint8]) -> dict[int, Tunnel]:
    """Go on inside of those packets that are encapsulated.

    Args:
        packets: m packets as they were captured; the inner ones take their places.
        protocols: uint8, shape (m,): flow.Tunnel.Protocol, 0 where it is not encapsulated.

    Returns:
        The outer headers by index.
    """
    tunnelled = (protocols != 0) & (packets.reason == 0) & (packets.ip_version != 0)
    which = np.flatnonzero(tunnelled)
    if not which.size:
        return {}
    at, starts_with, vni = _inner_starts(packets, which, protocols[which] == GENEVE)
    tunnels = {
        index: _tunnel(packets, index, int(protocols[index]), network)
        for index, network in zip(which.tolist(), vni.tolist(), strict=True)
    }
    packets.restart(which, at, starts_with)
    return tunnels


def _inner_starts(
    packets: Packets, which: Index, is_geneve: NDArray[np.bool_]
) -> tuple[Offsets, Halves, NDArray[np.int64]]:
    """Find where inner packets begin, with what, and their network identifiers."""
    at = packets.at[which].copy()
    starts_with = np.full(len(which), _EMPTY, np.uint16)
    vni = np.zeros(len(which), np.int64)
    whole = at + _HEADER_BYTES <= packets.end[which]
    some = np.flatnonzero(whole & (packets.l4_kind[which] == scalars.UDP))
    header = packets.read(which[some], 0, _HEADER_BYTES).astype(np.int64)
    geneve = is_geneve[some]
    vni[some] = header[:, 4] << 16 | header[:, 5] << 8 | header[:, 6]
    at[some] += _HEADER_BYTES + np.where(geneve, (header[:, 0] & 0x3F) * 4, 0)
    ethertype = header[:, 2] << 8 | header[:, 3]
    starts_with[some] = np.where(geneve & (ethertype != _ETHERTYPE_BRIDGED), ethertype, 0)
    return at, starts_with, vni


def _tunnel(packets: Packets, index: int, protocol: int, vni: int) -> Tunnel:
    return Tunnel(
        protocol=protocol,
        vni=vni,
        ip_version=int(packets.ip_version[index]),
        source=packets.addresses[0, index].tobytes(),
        destination=packets.addresses[1, index].tobytes(),
        l4_kind=L4Kind(int(packets.l4_kind[index])),
        source_port=int(packets.ports[0, index]),
        destination_port=int(packets.ports[1, index]),
    )
