"""Follow the headers of packets, many at once: the careful path for those that are not plain.

In: the samples' bytes and where each packet starts and ends. Out: what the packets say, or why
they could not be read. All packets walk in step, each with its own cursor; at every layer the
ones that do not have it stand still. Every read lies within the packet's captured bytes. The
number of VLAN tags and IPv6 extension headers is bounded.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.decode.reasons import Undecodable
from observer.table import scalars
from observer.table.columns import L4Kind

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]
Index = NDArray[np.intp]
Halves = NDArray[np.uint16]

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

_BYTE: Final = np.uint16(8)  # bits
_ANY_LENGTH: Final = 1 << 16


class Packets:
    """m packets and what they say; all arrays have length m, zero where a layer is absent."""

    def __init__(self, flat: Bytes, at: Offsets, end: Offsets, starts_with: Halves) -> None:
        """Follow the headers of m packets.

        Args:
            flat: all bytes, one dimension.
            at: int64, shape (m,): where in `flat` each packet starts.
            end: int64, shape (m,): where its captured bytes end, at most len(flat).
            starts_with: uint16, shape (m,): 0 if it starts with an Ethernet header, else the
                ethertype of what it starts with.
        """
        count = len(at)
        self.flat = flat
        self.at = at.copy()
        """The cursors; in the end behind the UDP header where l4_kind is UDP."""
        self.end = end.copy()
        self.reason = np.zeros(count, np.uint8)
        """Undecodable, 0 if all is well; the other arrays mean nothing otherwise."""
        self.ethernet_at = np.full(count, -1, np.int64)
        """Where the Ethernet header is, -1 if the packet begins with IP."""
        self.vlan_id = np.zeros(count, np.uint16)
        self.ethertype = starts_with.copy()
        self.ip_version = np.zeros(count, np.uint8)
        """flow.IPVersion: 1 IPv4, 2 IPv6."""
        self.addresses = np.zeros((2, count, 16), np.uint8)
        """Source and destination in network order, IPv4 mapped."""
        self.proto = np.full(count, _NO_PROTO, np.uint8)
        self.l4_kind = np.zeros(count, np.uint8)
        self.ports = np.zeros((2, count), np.uint16)
        """Source and destination port, or type and code."""
        self.tcp_flags = np.zeros(count, np.uint16)
        self._follow(np.arange(count))

    def restart(self, which: Index, at: Offsets, starts_with: Halves) -> None:
        """Forget what some packets say and follow those that begin inside of them instead.

        One that cannot be read is left without any layer; that is no error.
        """
        self._blank(which)
        self.at[which] = at
        self.ethertype[which] = starts_with
        self._follow(which)
        unreadable = which[self.reason[which] != 0]
        if unreadable.size:
            self._blank(unreadable)

    def _follow(self, which: Index) -> None:
        _ethernet(self, which[self.ethertype[which] == 0])
        _ipv4(self, which[self.ethertype[which] == ETHERTYPE_IPV4])
        _ipv6(self, which[self.ethertype[which] == ETHERTYPE_IPV6])
        _transport(self, which[(_KIND[self.proto[which]] != 0) & (self.reason[which] == 0)])

    def _blank(self, which: Index) -> None:
        self.reason[which] = 0
        self.ethernet_at[which] = -1
        self.vlan_id[which] = 0
        self.ip_version[which] = 0
        self.addresses[:, which] = 0
        self.proto[which] = _NO_PROTO
        self.l4_kind[which] = 0
        self.ports[:, which] = 0
        self.tcp_flags[which] = 0

    def holding(self, which: Index, size: int | Offsets, short: Undecodable) -> Index:
        """Keep those that have `size` more bytes; the others are cut short."""
        return self.valid(which, self.at[which] + size <= self.end[which], short)

    def valid(self, which: Index, good: NDArray[np.bool_], reason: Undecodable) -> Index:
        """Keep the good ones; the others cannot be read for this reason."""
        kept = which[good]
        if len(kept) != len(which):
            self.reason[which[~good]] = reason
        return kept

    def byte(self, which: Index, offset: int) -> Bytes:
        """Read a byte of each, `offset` bytes behind the cursor."""
        return self.flat[self.at[which] + offset]

    def be16(self, which: Index, offset: int) -> Halves:
        """Read two bytes of each, network order."""
        at = self.at[which] + offset
        return self.flat[at].astype(np.uint16) << _BYTE | self.flat[at + 1]

    def read(self, which: Index, offset: int, size: int) -> Bytes:
        """Read some bytes of each; uint8, shape (len(which), size)."""
        at = self.at[which] + offset
        content: Bytes = self.flat[at[:, None] + np.arange(size)]
        return content

    def end_within(self, which: Index, size: Offsets) -> None:
        """Let the packet end where its header says, if that is before the capture's end."""
        self.end[which] = np.minimum(self.end[which], self.at[which] + size)


def _ethernet(w: Packets, which: Index) -> None:
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


def _ipv4(w: Packets, which: Index) -> None:
    if not which.size:
        return
    which = w.holding(which, IPV4_BYTES, Undecodable.IPV4_SHORT)
    fixed = w.read(which, 0, IPV4_BYTES)
    header = (fixed[:, 0] & 15).astype(np.int64) * 4
    words = fixed.view(">u2")
    total = words[:, 1].astype(np.int64)
    foreign = (fixed[:, 0] >> 4 != 4) | (header < IPV4_BYTES)
    short = w.at[which] + header > w.end[which]
    # 0: the kernel leaves it so for packets that the device will cut into segments.
    contradictory = (total != 0) & (total < header)
    good = ~(foreign | short | contradictory)
    if not good.all():
        w.reason[which[contradictory]] = Undecodable.IPV4_INVALID
        w.reason[which[short]] = Undecodable.IPV4_SHORT
        w.reason[which[foreign]] = Undecodable.IPV4_INVALID
        which, fixed, words = which[good], fixed[good], words[good]
        header, total = header[good], total[good]
    total[total == 0] = _ANY_LENGTH
    w.end_within(which, total)
    w.ip_version[which] = 1
    w.addresses[:, which, 10:12] = 0xFF
    w.addresses[0, which, 12:] = fixed[:, 12:16]
    w.addresses[1, which, 12:] = fixed[:, 16:20]
    w.proto[which] = np.where(words[:, 3] & 0x1FFF, _NO_PROTO, fixed[:, 9])
    w.at[which] += header


def _ipv6(w: Packets, which: Index) -> None:
    if not which.size:
        return
    which = w.holding(which, IPV6_BYTES, Undecodable.IPV6_SHORT)
    fixed = w.read(which, 0, IPV6_BYTES)
    good = fixed[:, 0] >> 4 == 6
    which, fixed = w.valid(which, good, Undecodable.IPV6_INVALID), fixed[good]
    payload = fixed.view(">u2")[:, 2].astype(np.int64)
    # 0: longer than 64 KiB, as large segments are inside of the kernel.
    payload[payload == 0] = _ANY_LENGTH
    w.end_within(which, payload + IPV6_BYTES)
    w.ip_version[which] = 2
    w.addresses[0, which] = fixed[:, 8:24]
    w.addresses[1, which] = fixed[:, 24:40]
    w.proto[which] = fixed[:, 6]
    w.at[which] += IPV6_BYTES
    _extensions(w, which)


def _extensions(w: Packets, which: Index) -> None:
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


def _transport(w: Packets, which: Index) -> None:
    if not which.size:
        return
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


def _tcp(w: Packets, which: Index) -> None:
    """Read the flags; the options may be cut, nothing of them is needed."""
    which = w.valid(which, w.byte(which, 12) >> 4 >= 5, Undecodable.TCP_INVALID)
    w.tcp_flags[which] = w.be16(which, 12) & 0x1FF


def _routing(w: Packets, which: Index) -> None:
    """VRRP begins with version and type, then its group; IGMP has no more than a type."""
    vrrp = w.l4_kind[which] == scalars.VRRP
    w.ports[0, which[vrrp]] &= 15
    w.ports[1, which[~vrrp]] = 0
