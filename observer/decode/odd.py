"""Decode the samples that are not plain: other versions, other layers, tunnels, garbage.

In: the few samples that `classify.py` set aside. Out: what their packets say and the reason why
some could not be read. Nothing here assumes anything about the bytes.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.decode.classify import Classes
from observer.decode.layout import (
    CAPTURE,
    FLAG_GENEVE,
    FLAG_IPV6,
    FLAG_L3_DEVICE,
    FLAG_VXLAN,
    HEADER_MAX_BYTES,
    TRACE,
    VERDICT_FLAG_IPV6,
    VERDICT_FLAG_L3_DEVICE,
)
from observer.decode.reasons import Undecodable
from observer.decode.tunnels import GENEVE, VXLAN, unwrap
from observer.decode.walk import ETHERTYPE_IPV4, ETHERTYPE_IPV6, Packets, walk
from observer.entities import Tunnel
from observer.samples import EXT_BYTES, SAMPLE_BYTES
from observer.table import scalars
from observer.table.columns import EventKind
from observer.table.rows import Rows

_HAS_PACKET: Final = np.isin(
    np.arange(256),
    [EventKind.DROP, EventKind.CAPTURE, EventKind.TRACE, EventKind.POLICY_VERDICT],
)

# The destination stands first in an Ethernet header, the source first in a row.
_MACS_FROM: Final = np.array([6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5])


@dataclass(frozen=True, slots=True, kw_only=True)
class OddSamples:
    """What m odd samples say."""

    which: NDArray[np.intp]
    """Their places in the batch, ascending."""
    reason: NDArray[np.uint8]
    """Undecodable, 0 if it could be decoded."""
    header: NDArray[np.uint8]
    """uint8, shape (m, HEADER_MAX_BYTES), zero behind the header's end."""
    ext: NDArray[np.uint8]
    """uint8, shape (m, EXT_BYTES), zero where there is none."""
    packets: Packets
    """Means nothing for trace-sock events, which have none."""
    tunnels: dict[int, Tunnel]


@dataclass(frozen=True, slots=True, kw_only=True)
class OddRows:
    """The odd samples that became rows; all of one length."""

    places: NDArray[np.intp]
    """Their rows, ascending."""
    header: NDArray[np.uint8]
    ext: NDArray[np.uint8]
    packets: Packets
    tunnels: dict[int, Tunnel]
    """By row."""


def decode_odd(samples: NDArray[np.uint8], classes: Classes, which: NDArray[np.intp]) -> OddSamples:
    """Decode some samples with care.

    Args:
        samples: uint8, shape (n, SAMPLE_BYTES), C-contiguous.
        classes: of all n.
        which: intp, shape (m,): the odd ones.
    """
    types = classes.types[which]
    header_length = classes.header_length[which]
    # A capture has none: it has a length where the others say so.
    ext_length = np.where(types == scalars.CAPTURE, 0, classes.ext_length[which])
    reason = _header_reasons(types, header_length, ext_length)
    start = np.minimum(header_length + np.maximum(ext_length, 0), SAMPLE_BYTES)
    flat = samples.reshape(-1)
    base = which * SAMPLE_BYTES
    header = _part(flat, base, header_length, HEADER_MAX_BYTES)
    ext = _part(flat, base + header_length, np.maximum(ext_length, 0), EXT_BYTES)
    # A sample that failed already has no packet bytes: the walk stops at once.
    captured = np.where(reason == 0, _captured(types, header), 0)
    at = base + start
    end = np.minimum(at + captured, base + SAMPLE_BYTES)
    packets = walk(flat, at, end, _starts_with(types, header))
    packets, tunnels = unwrap(flat, packets, _tunnel_protocols(types, header))
    reason = np.where(reason == 0, packets.reason, reason)
    reason[types == scalars.TRACE_SOCK] = 0
    return OddSamples(
        which=which, reason=reason, header=header, ext=ext, packets=packets, tunnels=tunnels
    )


def _header_reasons(
    types: NDArray[np.uint8], header_length: NDArray[np.int64], ext_length: NDArray[np.int64]
) -> NDArray[np.uint8]:
    reason = np.zeros(len(types), np.uint8)
    reason[ext_length < 0] = Undecodable.EXT_VERSION
    reason[header_length == 0] = Undecodable.VERSION
    reason[~_HAS_PACKET[types]] = Undecodable.TYPE
    reason[types == EventKind.DEBUG] = Undecodable.DEBUG
    return reason


def _part(
    flat: NDArray[np.uint8], at: NDArray[np.int64], length: NDArray[np.int64], size: int
) -> NDArray[np.uint8]:
    """Copy `length` bytes of each sample into rows of `size`, zero behind them."""
    places = np.arange(size)
    index = (at[:, None] + places).clip(0, max(flat.size - 1, 0))
    part: NDArray[np.uint8] = flat[index]
    part[places >= length[:, None]] = 0
    return part


def _captured(types: NDArray[np.uint8], header: NDArray[np.uint8]) -> NDArray[np.int64]:
    common = header.view(TRACE)[:, 0]["common"]
    capture = header[:, : CAPTURE.itemsize].copy().view(CAPTURE)[:, 0]
    captured = np.where(types == scalars.CAPTURE, capture["len_cap"], common["len_cap"])
    return captured.astype(np.int64)


def _flags(types: NDArray[np.uint8], header: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give the flags in the drop and trace header's terms, whatever the type."""
    flags = np.where(types == scalars.DROP, header[:, 36], header[:, 27])
    verdict = types == scalars.POLICY_VERDICT
    l3_device = np.where(flags & VERDICT_FLAG_L3_DEVICE, FLAG_L3_DEVICE, 0)
    ipv6 = np.where(flags & VERDICT_FLAG_IPV6, FLAG_IPV6, 0)
    flags = np.where(verdict, l3_device | ipv6, flags)
    flags[types == scalars.CAPTURE] = 0
    return flags.astype(np.uint8)


def _starts_with(types: NDArray[np.uint8], header: NDArray[np.uint8]) -> NDArray[np.uint16]:
    flags = _flags(types, header)
    ethertype = np.where(flags & FLAG_IPV6, ETHERTYPE_IPV6, ETHERTYPE_IPV4)
    return np.where(flags & FLAG_L3_DEVICE, ethertype, 0).astype(np.uint16)


def _tunnel_protocols(types: NDArray[np.uint8], header: NDArray[np.uint8]) -> NDArray[np.uint8]:
    flags = _flags(types, header)
    geneve = np.where(flags & FLAG_GENEVE, GENEVE, 0)
    return np.where(flags & FLAG_VXLAN, VXLAN, geneve).astype(np.uint8)


def place(odd: OddSamples, keep: NDArray[np.intp]) -> OddRows:
    """Find the rows of those odd samples that could be decoded.

    Args:
        odd: all odd samples of a batch.
        keep: intp, ascending: the batch's samples that become rows, in the rows' order.
    """
    good = np.flatnonzero(odd.reason == 0)
    places = np.searchsorted(keep, odd.which[good])
    place_of = dict(zip(good.tolist(), places.tolist(), strict=True))
    return OddRows(
        places=places,
        header=odd.header[good],
        ext=odd.ext[good],
        packets=odd.packets.take(good),
        tunnels={place_of[index]: tunnel for index, tunnel in odd.tunnels.items()},
    )


def put_packets(samples: NDArray[np.uint8], odd: OddRows, rows: Rows) -> None:
    """Overwrite the packet columns of rows that came from odd samples.

    Args:
        samples: uint8, shape (n, SAMPLE_BYTES): the batch.
        odd: its odd samples that became rows.
        rows: the batch's rows.
    """
    packets, columns, places = odd.packets, rows.columns, odd.places
    for name in ("ip_version", "l4_kind", "source_port", "destination_port", "tcp_flags"):
        columns[name][places] = getattr(packets, name)
    columns["source_ip"][places] = packets.source
    columns["destination_ip"][places] = packets.destination
    tagged = np.flatnonzero(packets.vlan_id)
    columns["vlan_id"][places[tagged]] = packets.vlan_id[tagged]

    bridged = packets.ethernet_at >= 0
    columns["flags"][places[~bridged]] &= ~scalars.ETHERNET
    columns["macs"][places[~bridged]] = 0
    macs_at = packets.ethernet_at[bridged, None] + _MACS_FROM
    columns["macs"][places[bridged]] = samples.reshape(-1)[macs_at]
    for row, tunnel in odd.tunnels.items():
        rows.add_detail(row, tunnel)
