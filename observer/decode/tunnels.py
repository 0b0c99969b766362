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

from observer.decode.walk import Halves, Mask, Offsets, Packets, walk
from observer.entities import Tunnel
from observer.table import scalars
from observer.table.columns import L4Kind

VXLAN: Final = 1  # flow.Tunnel.Protocol
GENEVE: Final = 2

_UDP_BYTES: Final = 8
_HEADER_BYTES: Final = 8
_ETHERTYPE_BRIDGED: Final = 0x6558
_EMPTY: Final = 0xFFFF  # no ethertype that we follow


def unwrap(
    flat: NDArray[np.uint8], outer: Packets, protocols: NDArray[np.uint8]
) -> dict[int, Tunnel]:
    """Go on inside of those packets that are encapsulated.

    Args:
        flat: all bytes, one dimension.
        outer: m packets as they were captured; the inner ones take their places.
        protocols: uint8, shape (m,): flow.Tunnel.Protocol, 0 where it is not encapsulated.

    Returns:
        The outer headers by index.
    """
    if not protocols.any():
        return {}
    tunnelled = (protocols != 0) & (outer.reason == 0) & (outer.ip_version != 0)
    which = tunnelled.nonzero()[0]
    if not which.size:
        return {}
    at, starts_with, vni = _inner_starts(flat, outer, which, protocols[which] == GENEVE)
    tunnels = {
        index: _tunnel(outer, index, int(protocols[index]), network)
        for index, network in zip(which.tolist(), vni.tolist(), strict=True)
    }
    _replace(outer, which, walk(flat, at, outer.end[which], starts_with))
    return tunnels


def _inner_starts(
    flat: NDArray[np.uint8], outer: Packets, which: NDArray[np.intp], is_geneve: Mask
) -> tuple[Offsets, Halves, NDArray[np.int64]]:
    """Find where inner packets begin, with what, and their network identifiers."""
    at = outer.transport_at[which] + _UDP_BYTES
    is_udp = outer.l4_kind[which] == scalars.UDP
    whole = is_udp & (at + _HEADER_BYTES <= outer.end[which])
    header = flat.take(at[:, None] + np.arange(_HEADER_BYTES), mode="clip").astype(np.int64)
    vni = (header[:, 4] << 16 | header[:, 5] << 8 | header[:, 6]) * whole
    ethertype = header[:, 2] << 8 | header[:, 3]
    starts_with = np.where(is_geneve & (ethertype != _ETHERTYPE_BRIDGED), ethertype, 0)
    options = np.where(is_geneve, (header[:, 0] & 0x3F) * 4, 0)
    starts_with[~whole] = _EMPTY
    return at + _HEADER_BYTES + options, starts_with.astype(np.uint16), vni


def _tunnel(outer: Packets, index: int, protocol: int, vni: int) -> Tunnel:
    return Tunnel(
        protocol=protocol,
        vni=vni,
        ip_version=int(outer.ip_version[index]),
        source=outer.source[index].tobytes(),
        destination=outer.destination[index].tobytes(),
        l4_kind=L4Kind(int(outer.l4_kind[index])),
        source_port=int(outer.source_port[index]),
        destination_port=int(outer.destination_port[index]),
    )


def _replace(outer: Packets, which: NDArray[np.intp], inner: Packets) -> None:
    """Put inner packets in the places of outer ones; an unreadable one is as if not captured."""
    unreadable = which[inner.reason != 0]
    for name in _REPLACED:
        column = getattr(outer, name)
        column[which] = getattr(inner, name)
        if unreadable.size:
            column[unreadable] = -1 if name == "ethernet_at" else 0


_REPLACED: Final = (
    "ethernet_at",
    "vlan_id",
    "ip_version",
    "source",
    "destination",
    "l4_kind",
    "source_port",
    "destination_port",
    "tcp_flags",
)
