"""Decode the samples that are not plain: other versions, other layers, tunnels, garbage.

In: the few samples that `classify.py` set aside. Out: what their packets say and the reason why
some could not be read. Nothing here assumes anything about the bytes.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.decode.classify import DROP_FLAGS_AT, TRACE_FLAGS_AT, Classes
from observer.decode.layout import (
    FLAG_GENEVE,
    FLAG_IPV6,
    FLAG_L3_DEVICE,
    FLAG_VXLAN,
    HEADER_MAX_BYTES,
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


def _flag_tables() -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """By the flags of a drop or trace: what the packet starts with, and its encapsulation."""
    flags = np.arange(256)
    ethertype = np.where(flags & FLAG_IPV6, ETHERTYPE_IPV6, ETHERTYPE_IPV4)
    starts_with = np.where(flags & FLAG_L3_DEVICE, ethertype, 0)
    tunnel = np.where(flags & FLAG_VXLAN, VXLAN, np.where(flags & FLAG_GENEVE, GENEVE, 0))
    return starts_with.astype(np.uint16), tunnel.astype(np.uint8)


_STARTS_WITH, _TUNNEL = _flag_tables()

_NO_ROWS: Final = np.zeros(0, np.intp)
_NO_BYTES: Final = np.zeros((0, HEADER_MAX_BYTES), np.uint8)

# The destination stands first in an Ethernet header, the source first in a row.
_MACS_FROM: Final = np.array([6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5])


@dataclass(frozen=True, slots=True, kw_only=True)
class OddSamples:
    """What m odd samples say."""

    which: NDArray[np.intp]
    """Their places in the batch, ascending."""
    reason: NDArray[np.uint8]
    """Undecodable, 0 if it could be decoded."""
    header_length: NDArray[np.int64]
    ext_length: NDArray[np.int64]
    packets: Packets
    """Means nothing for debug messages and trace-sock events, which have none."""
    tunnels: dict[int, Tunnel]


def decode_odd(samples: NDArray[np.uint8], classes: Classes, which: NDArray[np.intp]) -> OddSamples:
    """Decode some samples with care.

    Args:
        samples: uint8, shape (n, SAMPLE_BYTES), C-contiguous.
        classes: of all n.
        which: intp, shape (m,): the odd ones.
    """
    types = classes.types[which]
    header_length = classes.header_length[which]
    # A capture has no ext: it has a length where the others say so.
    ext_length = np.where(types == scalars.CAPTURE, 0, classes.ext_length[which])
    reason = np.zeros(len(which), np.uint8)
    reason[ext_length < 0] = Undecodable.EXT_VERSION
    reason[header_length == 0] = Undecodable.VERSION
    reason[~_HAS_PACKET[types]] = Undecodable.TYPE
    # A sample that failed already has no packet bytes: the walk stops at once.
    captured = np.where(reason == 0, _captured(samples, types, which), 0)
    base = which * SAMPLE_BYTES
    at = base + header_length + ext_length.clip(0)
    end = np.minimum(at + captured, base + SAMPLE_BYTES)
    flags = _flags(samples, types, header_length, which)
    flat = samples.reshape(-1)
    packets = walk(flat, at, end, _STARTS_WITH[flags])
    tunnels = unwrap(flat, packets, _TUNNEL[flags])
    reason = np.where(reason == 0, packets.reason, reason)
    reason[(types == scalars.TRACE_SOCK) | (types == scalars.DEBUG)] = 0
    return OddSamples(
        which=which,
        reason=reason,
        header_length=header_length,
        ext_length=ext_length,
        packets=packets,
        tunnels=tunnels,
    )


def _captured(
    samples: NDArray[np.uint8], types: NDArray[np.uint8], which: NDArray[np.intp]
) -> NDArray[np.int64]:
    """Say how many bytes of the packet there are, if the sample holds so many."""
    common = samples[which, 12:14].view(np.uint16)[:, 0]
    captures = (types == scalars.CAPTURE).nonzero()[0]
    captured = common.astype(np.int64)
    if captures.size:
        captured[captures] = samples[which[captures], 8:12].view(np.uint32)[:, 0]
    return captured


def _flags(
    samples: NDArray[np.uint8],
    types: NDArray[np.uint8],
    header_length: NDArray[np.int64],
    which: NDArray[np.intp],
) -> NDArray[np.uint8]:
    """Give the flags in the drop and trace header's terms, whatever the type."""
    is_drop = types == scalars.DROP
    place = np.where(is_drop, DROP_FLAGS_AT, TRACE_FLAGS_AT)
    flags = samples[which, place]
    # Old drops have none, nor have captures and what is unknown.
    flags[(header_length <= place) | (types == scalars.CAPTURE)] = 0
    verdicts = (types == scalars.POLICY_VERDICT).nonzero()[0]
    if verdicts.size:
        told = flags[verdicts]
        l3_device = np.where(told & VERDICT_FLAG_L3_DEVICE, FLAG_L3_DEVICE, 0)
        flags[verdicts] = l3_device | np.where(told & VERDICT_FLAG_IPV6, FLAG_IPV6, 0)
    return flags


@dataclass(frozen=True, slots=True, kw_only=True)
class OddRows:
    """The odd samples that became rows."""

    samples: OddSamples | None
    """All odd samples; None if there were none."""
    good: NDArray[np.intp]
    """Which of them could be decoded."""
    places: NDArray[np.intp]
    """Their rows, ascending."""
    foreign: NDArray[np.intp]
    """Rows whose header is shorter than the newest, or whose ext is not behind one; ascending."""
    header: NDArray[np.uint8]
    """uint8, shape (len(foreign), HEADER_MAX_BYTES): theirs, zero behind its end."""
    ext: NDArray[np.uint8]
    """uint8, shape (len(foreign), EXT_BYTES): theirs, zero if there is none."""


def place(
    samples: NDArray[np.uint8],
    classes: Classes,
    odd: OddSamples | None,
    keep: NDArray[np.intp],
) -> OddRows:
    """Find the rows of those odd samples that could be decoded.

    Args:
        samples: uint8, shape (n, SAMPLE_BYTES): the batch.
        classes: of all n.
        odd: its odd samples, None if there are none.
        keep: intp, ascending: the batch's samples that become rows, in the rows' order.
    """
    if odd is None:
        return _ours(None, _NO_ROWS, _NO_ROWS)
    good = (odd.reason == 0).nonzero()[0]
    places = np.searchsorted(keep, odd.which[good])
    newest = classes.newest[odd.which[good]] & (odd.ext_length[good] == EXT_BYTES)
    if newest.all():
        return _ours(odd, good, places)
    foreign = good[~newest]
    base = odd.which[foreign] * SAMPLE_BYTES
    header_length = odd.header_length[foreign]
    ext_length = odd.ext_length[foreign].clip(0)
    flat = samples.reshape(-1)
    return OddRows(
        samples=odd,
        good=good,
        places=places,
        foreign=places[~newest],
        header=_part(flat, base, header_length, HEADER_MAX_BYTES),
        ext=_part(flat, base + header_length, ext_length, EXT_BYTES),
    )


def _ours(odd: OddSamples | None, good: NDArray[np.intp], places: NDArray[np.intp]) -> OddRows:
    """Say that none of them is foreign."""
    return OddRows(
        samples=odd, good=good, places=places, foreign=_NO_ROWS, header=_NO_BYTES, ext=_NO_BYTES
    )


def _part(
    flat: NDArray[np.uint8], at: NDArray[np.int64], length: NDArray[np.int64], size: int
) -> NDArray[np.uint8]:
    """Copy `length` bytes of each sample into rows of `size`, zero behind them."""
    places = np.arange(size)
    index = (at[:, None] + places).clip(0, flat.size - 1)
    part: NDArray[np.uint8] = flat[index]
    part[places >= length[:, None]] = 0
    return part


def put_packets(flat: NDArray[np.uint8], odd: OddRows, rows: Rows) -> None:
    """Overwrite the packet columns of rows that came from odd samples."""
    if odd.samples is None:
        return
    packets, good = odd.samples.packets, odd.good
    columns, places = rows.columns, odd.places
    for name in ("ip_version", "l4_kind", "tcp_flags", "source_port", "destination_port"):
        columns[name][places] = getattr(packets, name)[good]
    columns["source_ip"][places] = packets.source.view(np.uint64)[good]
    columns["destination_ip"][places] = packets.destination.view(np.uint64)[good]
    vlan_id = packets.vlan_id[good]
    tagged = vlan_id.nonzero()[0]
    columns["vlan_id"][places[tagged]] = vlan_id[tagged]

    at = packets.ethernet_at[good]
    bare = at < 0
    columns["macs"][places] = flat.take(at[:, None] + _MACS_FROM, mode="clip")
    columns["macs"][places[bare]] = 0
    columns["flags"][places[bare]] &= ~scalars.ETHERNET
    if odd.samples.tunnels:
        place_of = dict(zip(good.tolist(), places.tolist(), strict=True))
        for index, tunnel in odd.samples.tunnels.items():
            rows.add_detail(place_of[index], tunnel)
