"""Follow the headers of packets, many at once: the careful path for those that are not plain.

In: the samples' bytes and where each packet starts and ends. Out: what the packets say, or why
they could not be read. All packets walk in step, each with its own cursor; at every layer the
ones that do not have it stand still. Every read lies within the packet's captured bytes. The
number of VLAN tags and IPv6 extension headers is bounded.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.decode.reasons import Undecodable
from observer.table import scalars
from observer.table.columns import L4Kind

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]
Index = NDArray[np.intp]

ETHERNET_BYTES: Final = 14
MAX_VLAN_TAGS: Final = 2
MAX_EXTENSIONS: Final = 8
IPV4_BYTES: Final = 20
IPV6_BYTES: Final = 40

ETHERTYPE_IPV4: Final = 0x0800
ETHERTYPE_IPV6: Final = 0x86DD
_ETHERTYPE_VLAN: Final = 0x8100
_ETHERTYPE_PROVIDER_VLAN: Final = 0x88A8

PROTO_UDP: Final = 17
_FRAGMENT: Final = 44
_AUTHENTICATION: Final = 51
_IS_EXTENSION: Final = np.zeros(256, np.bool_)
# hop-by-hop, routing, fragment, authentication, destination options, mobility
_IS_EXTENSION[[0, 43, _FRAGMENT, _AUTHENTICATION, 60, 135]] = True
_NO_PROTO: Final = 59  # IPv6's "no next header": also used for fragments without a start

# protocol → (kind, bytes of the header that must be there)
TRANSPORTS: Final[dict[int, tuple[L4Kind, int]]] = {
    1: (L4Kind.ICMPV4, 8),
    2: (L4Kind.IGMP, 8),
    6: (L4Kind.TCP, 20),
    PROTO_UDP: (L4Kind.UDP, 8),
    58: (L4Kind.ICMPV6, 4),
    112: (L4Kind.VRRP, 8),
    132: (L4Kind.SCTP, 12),
}
_HAS_PORTS: Final = np.isin(np.arange(256), [L4Kind.TCP, L4Kind.UDP, L4Kind.SCTP])
_KIND: Final = np.zeros(256, np.uint8)
_NEED: Final = np.zeros(256, np.int64)
for _proto, (_kind, _need) in TRANSPORTS.items():
    _KIND[_proto] = _kind
    _NEED[_proto] = _need

_MAPPED_LOW: Final = bytes((0, 0, 0xFF, 0xFF))


@dataclass(frozen=True, slots=True, kw_only=True)
class Packets:
    """What m packets say; all columns have length m and are zero where the layer is absent."""

    reason: Bytes
    """Undecodable, 0 if all is well; the other columns mean nothing otherwise."""
    ethernet_at: Offsets
    """Where the Ethernet header is, -1 if the packet begins with IP."""
    vlan_id: NDArray[np.uint16]
    ip_version: Bytes
    """flow.IPVersion: 1 IPv4, 2 IPv6."""
    source: NDArray[np.uint64]
    """uint64, shape (m, 2): 16 bytes in network order, IPv4 mapped."""
    destination: NDArray[np.uint64]
    l4_kind: Bytes
    source_port: NDArray[np.uint16]
    destination_port: NDArray[np.uint16]
    tcp_flags: NDArray[np.uint16]
    payload_at: Offsets
    """Behind the UDP header; only meaningful where l4_kind is UDP."""
    end: Offsets

    def take(self, which: Index) -> "Packets":
        """Choose some of them."""
        return Packets(**{name: getattr(self, name)[which] for name in self.__slots__})


class _Walk:
    """The cursors and what was found so far."""

    def __init__(self, flat: Bytes, at: Offsets, end: Offsets) -> None:
        count = len(at)
        self.flat = flat
        self.at = at.copy()
        self.end = end.copy()
        self.reason = np.zeros(count, np.uint8)
        self.ethertype = np.zeros(count, np.uint16)
        self.proto = np.full(count, _NO_PROTO, np.uint8)
        self.ethernet_at = np.full(count, -1, np.int64)
        self.vlan_id = np.zeros(count, np.uint16)
        self.ip_version = np.zeros(count, np.uint8)
        self.addresses = np.zeros((2, count, 16), np.uint8)
        self.l4_kind = np.zeros(count, np.uint8)
        self.ports = np.zeros((2, count), np.uint16)
        self.tcp_flags = np.zeros(count, np.uint16)

    def holding(self, which: Index, size: int | Offsets, short: Undecodable) -> Index:
        """Keep those that have `size` more bytes; the others are cut short."""
        fits = self.at[which] + size <= self.end[which]
        self.reason[which[~fits]] = short
        return which[fits]

    def valid(self, which: Index, good: NDArray[np.bool_], reason: Undecodable) -> Index:
        self.reason[which[~good]] = reason
        return which[good]

    def byte(self, which: Index, offset: int) -> Bytes:
        return self.flat[self.at[which] + offset]

    def be16(self, which: Index, offset: int) -> NDArray[np.uint16]:
        at = self.at[which] + offset
        return self.flat[at].astype(np.uint16) << np.uint16(8) | self.flat[at + 1]

    def end_within(self, which: Index, size: Offsets) -> None:
        """Let the packet end where its header says, if that is before the capture's end."""
        self.end[which] = np.minimum(self.end[which], self.at[which] + size)


def walk(flat: Bytes, at: Offsets, end: Offsets, starts_with: NDArray[np.uint16]) -> Packets:
    """Follow the headers of m packets.

    Args:
        flat: all bytes, one dimension.
        at: int64, shape (m,): where in `flat` each packet starts.
        end: int64, shape (m,): where its captured bytes end, at most len(flat).
        starts_with: 0 if it starts with an Ethernet header, else the ethertype it starts with.
    """
    w = _Walk(flat, at, end)
    w.ethertype[:] = starts_with
    _ethernet(w, np.flatnonzero(starts_with == 0))
    _ipv4(w, np.flatnonzero(w.ethertype == ETHERTYPE_IPV4))
    _ipv6(w, np.flatnonzero(w.ethertype == ETHERTYPE_IPV6))
    _transport(w, np.flatnonzero((_KIND[w.proto] != 0) & (w.reason == 0)))
    words = w.addresses.view(np.uint64)
    return Packets(
        reason=w.reason,
        ethernet_at=w.ethernet_at,
        vlan_id=w.vlan_id,
        ip_version=w.ip_version,
        source=words[0],
        destination=words[1],
        l4_kind=w.l4_kind,
        source_port=w.ports[0],
        destination_port=w.ports[1],
        tcp_flags=w.tcp_flags,
        payload_at=w.at,
        end=w.end,
    )


def _ethernet(w: _Walk, which: Index) -> None:
    if not which.size:
        return
    which = w.holding(which, ETHERNET_BYTES, Undecodable.ETHERNET_SHORT)
    w.ethernet_at[which] = w.at[which]
    w.ethertype[which] = w.be16(which, 12)
    w.at[which] += ETHERNET_BYTES
    for tag in range(MAX_VLAN_TAGS):
        ethertype = w.ethertype[which]
        which = which[(ethertype == _ETHERTYPE_VLAN) | (ethertype == _ETHERTYPE_PROVIDER_VLAN)]
        if not which.size:
            return
        w.ethertype[which] = 0
        which = w.holding(which, 4, Undecodable.VLAN_SHORT)
        if tag == 0:
            w.vlan_id[which] = w.be16(which, 0) & 0xFFF
        w.ethertype[which] = w.be16(which, 2)
        w.at[which] += 4


def _ipv4(w: _Walk, which: Index) -> None:
    if not which.size:
        return
    which = w.holding(which, IPV4_BYTES, Undecodable.IPV4_SHORT)
    first = w.byte(which, 0)
    which = w.valid(which, (first >> 4 == 4) & (first & 15 >= 5), Undecodable.IPV4_INVALID)
    header = (w.byte(which, 0) & 15).astype(np.int64) * 4
    fits = w.at[which] + header <= w.end[which]
    which, header = w.valid(which, fits, Undecodable.IPV4_SHORT), header[fits]
    total = w.be16(which, 2).astype(np.int64)
    # 0: the kernel leaves it so for packets that the device will cut into segments.
    sane = (total == 0) | (total >= header)
    which = w.valid(which, sane, Undecodable.IPV4_INVALID)
    header, total = header[sane], total[sane]
    w.end_within(which, np.where(total == 0, 1 << 16, total))
    w.ip_version[which] = 1
    for side, offset in enumerate((12, 16)):
        at = w.at[which] + offset
        w.addresses[side, which, 8:12] = np.frombuffer(_MAPPED_LOW, np.uint8)
        w.addresses[side, which, 12:16] = w.flat[at[:, None] + np.arange(4)]
    starts = w.be16(which, 6) & 0x1FFF == 0
    w.proto[which] = np.where(starts, w.byte(which, 9), _NO_PROTO)
    w.at[which] += header


def _ipv6(w: _Walk, which: Index) -> None:
    if not which.size:
        return
    which = w.holding(which, IPV6_BYTES, Undecodable.IPV6_SHORT)
    which = w.valid(which, w.byte(which, 0) >> 4 == 6, Undecodable.IPV6_INVALID)
    payload = w.be16(which, 4).astype(np.int64)
    # 0: longer than 64 KiB, as large segments are inside of the kernel.
    w.end_within(which, np.where(payload == 0, 1 << 16, payload + IPV6_BYTES))
    w.ip_version[which] = 2
    for side, offset in enumerate((8, 24)):
        at = w.at[which] + offset
        w.addresses[side, which] = w.flat[at[:, None] + np.arange(16)]
    w.proto[which] = w.byte(which, 6)
    w.at[which] += IPV6_BYTES
    _extensions(w, which)


def _extensions(w: _Walk, which: Index) -> None:
    for _ in range(MAX_EXTENSIONS):
        which = which[_IS_EXTENSION[w.proto[which]]]
        if not which.size:
            return
        proto = w.proto[which]
        w.proto[which] = _NO_PROTO
        whole = w.at[which] + 8 <= w.end[which]
        which, proto = w.valid(which, whole, Undecodable.IPV6_EXTENSION_SHORT), proto[whole]
        units = w.byte(which, 1).astype(np.int64)
        size = np.where(proto == _AUTHENTICATION, units * 4 + 8, units * 8 + 8)
        size[proto == _FRAGMENT] = 8
        fits = w.at[which] + size <= w.end[which]
        which = w.valid(which, fits, Undecodable.IPV6_EXTENSION_SHORT)
        proto, size = proto[fits], size[fits]
        starts = (proto != _FRAGMENT) | (w.be16(which, 2) & 0xFFF8 == 0)
        w.proto[which] = np.where(starts, w.byte(which, 0), _NO_PROTO)
        w.at[which] += size


def _transport(w: _Walk, which: Index) -> None:
    which = w.holding(which, _NEED[w.proto[which]], Undecodable.L4_SHORT)
    kind = _KIND[w.proto[which]]
    w.l4_kind[which] = kind
    # Two ports, or type and code; the bytes of the others are put right below.
    ported = _HAS_PORTS[kind]
    first, second = w.be16(which, 0), w.be16(which, 2)
    w.ports[0, which] = np.where(ported, first, first >> 8)
    w.ports[1, which] = np.where(ported, second, first & 0xFF)
    _tcp(w, which[kind == scalars.TCP])
    _routing(w, which[kind >= scalars.VRRP])
    w.at[which] += 8


def _tcp(w: _Walk, which: Index) -> None:
    """Read the flags; the options may be cut, nothing of them is needed."""
    which = w.valid(which, w.byte(which, 12) >> 4 >= 5, Undecodable.TCP_INVALID)
    w.tcp_flags[which] = w.be16(which, 12) & 0x1FF


def _routing(w: _Walk, which: Index) -> None:
    """VRRP begins with version and type, then its group; IGMP has no more than a type."""
    vrrp = w.l4_kind[which] == scalars.VRRP
    w.ports[0, which[vrrp]] &= 15
    w.ports[1, which[~vrrp]] = 0
