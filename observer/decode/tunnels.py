"""Look inside of VXLAN and Geneve packets: the inner packet becomes the row, the outer a detail.

Behind the outer UDP header stands, with offsets in bytes:

    VXLAN (RFC 7348)     4..6 VNI                               8: inner Ethernet
    Geneve (RFC 8926)    0: option length in units of 4, low 6 bits
                         2..3 ethertype   4..6 VNI              8 + options: inner packet

What the capture does not hold of the inner packet is simply not known: that is no error.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.decode.walk import Index, Packets, walk
from observer.entities import Tunnel
from observer.table import scalars
from observer.table.columns import L4Kind

VXLAN: Final = 1  # flow.Tunnel.Protocol
GENEVE: Final = 2

_HEADER_BYTES: Final = 8
_ETHERTYPE_BRIDGED: Final = 0x6558
_EMPTY: Final = 0xFFFF  # no ethertype that we follow


def unwrap(
    flat: NDArray[np.uint8], outer: Packets, protocols: NDArray[np.uint8]
) -> tuple[Packets, dict[int, Tunnel]]:
    """Replace encapsulated packets by what is inside.

    Args:
        flat: all bytes, one dimension.
        outer: m packets as they were captured.
        protocols: flow.Tunnel.Protocol of each, 0 where it is not encapsulated.

    Returns:
        The m packets, inner ones without any layer where the capture ends before them, and
        the outer headers by index.
    """
    which = np.flatnonzero((protocols != 0) & (outer.reason == 0) & (outer.ip_version != 0))
    if not which.size:
        return outer, {}
    at, starts_with, vni = _inner_starts(flat, outer, which, protocols)
    tunnels = {
        int(index): _tunnel(outer, int(index), int(protocols[index]), int(vni[position]))
        for position, index in enumerate(which)
    }
    inner = walk(flat, at, outer.end[which], starts_with)
    return _merged(outer, inner, which), tunnels


def _inner_starts(
    flat: NDArray[np.uint8], outer: Packets, which: Index, protocols: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.uint16], NDArray[np.int64]]:
    """Find where inner packets begin, with what, and their network identifiers."""
    at = outer.payload_at[which].copy()
    starts_with = np.full(len(which), _EMPTY, np.uint16)
    vni = np.zeros(len(which), np.int64)
    whole = (outer.l4_kind[which] == scalars.UDP) & (at + _HEADER_BYTES <= outer.end[which])
    some = np.flatnonzero(whole)
    start = at[some]
    header = flat[start[:, None] + np.arange(_HEADER_BYTES)].astype(np.int64)
    vni[some] = header[:, 4] << 16 | header[:, 5] << 8 | header[:, 6]
    geneve = protocols[which[some]] == GENEVE
    at[some] += _HEADER_BYTES + np.where(geneve, (header[:, 0] & 0x3F) * 4, 0)
    ethertype = header[:, 2] << 8 | header[:, 3]
    starts_with[some] = np.where(geneve & (ethertype != _ETHERTYPE_BRIDGED), ethertype, 0)
    return at, starts_with, vni


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


def _merged(outer: Packets, inner: Packets, which: Index) -> Packets:
    """Put inner packets in the places of outer ones; an unreadable one is as if not captured."""
    readable = inner.reason == 0
    columns = {}
    for name in Packets.__slots__:
        column = getattr(outer, name).copy()
        found = getattr(inner, name)
        blank = -1 if name == "ethernet_at" else 0
        column[which] = np.where(readable.reshape(-1, *[1] * (found.ndim - 1)), found, blank)
        columns[name] = column
    return replace(outer, **columns)
