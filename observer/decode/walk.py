"""Follow the headers of packets, many at once: the careful path for those that are not plain.

In: the samples' bytes and where each packet starts and ends. Out: what the packets say, or why
they could not be read. All packets walk in step, each with its own cursor. Every layer is read
for all of them, wherever their cursor stands, and masks say for whom it means something: with the
few dozen packets that are odd in a batch, choosing rows costs more than reading all.

Nothing behind a packet's captured bytes is ever taken for its content. The number of VLAN tags and
IPv6 extension headers is bounded.
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
Mask = NDArray[np.bool_]
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
# Which bits of the first two bytes say something, where there are no ports. VRRP begins with
# version and type, then its group; IGMP has no more than a type.
_TYPE_MASK: Final = np.zeros(256, np.uint8)
_TYPE_MASK[[L4Kind.ICMPV4, L4Kind.ICMPV6, L4Kind.IGMP]] = 0xFF
_TYPE_MASK[L4Kind.VRRP] = 0x0F
_CODE_MASK: Final = np.zeros(256, np.uint8)
_CODE_MASK[[L4Kind.ICMPV4, L4Kind.ICMPV6, L4Kind.VRRP]] = 0xFF
_HAS_PORTS: Final = np.isin(np.arange(256), [L4Kind.TCP, L4Kind.UDP, L4Kind.SCTP])
_SCTP_CHUNK_AT: Final = 12
_CHUNK_TYPE: Final = np.zeros(256, np.uint16)
_CHUNK_TYPE[[1, 2, 7, 8, 14, 6]] = (1, 2, 3, 4, 5, 6)
"""By type of an SCTP chunk (RFC 9260, section 3.2): flow.SCTPChunkType, 0 for all others."""
_KIND: Final = np.zeros(256, np.uint8)
_NEED: Final = np.zeros(256, np.int64)
for _proto, (_kind, _need) in TRANSPORTS.items():
    _KIND[_proto] = _kind
    _NEED[_proto] = _need

_VLAN_BYTES: Final = 4
_EXTENSION_BYTES: Final = 8
_TRANSPORT_BYTES: Final = 14  # as many of them as are looked at
_PLACES: Final = np.arange(IPV6_BYTES)
_ANY_LENGTH: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Packets:
    """What m packets say; all have length m and are zero where a layer is absent."""

    reason: Bytes
    """Undecodable, 0 if all is well; the others mean nothing otherwise."""
    ethernet_at: Offsets
    """Where the Ethernet header is, -1 if the packet begins with IP."""
    vlan_id: Halves
    ip_version: Bytes
    """flow.IPVersion: 1 IPv4, 2 IPv6."""
    source: Bytes
    """uint8, shape (m, 16): network order, IPv4 mapped."""
    destination: Bytes
    l4_kind: Bytes
    source_port: Halves
    """Or the type, where a transport has one."""
    destination_port: Halves
    tcp_flags: Halves
    transport_at: Offsets
    """Where the transport's header is, if l4_kind says that there is one."""
    end: Offsets


def walk(flat: Bytes, at: Offsets, end: Offsets, starts_with: Halves) -> Packets:
    """Follow the headers of m packets.

    Args:
        flat: all bytes, one dimension.
        at: int64, shape (m,): where in `flat` each packet starts.
        end: int64, shape (m,): where its captured bytes end, at most len(flat).
        starts_with: uint16, shape (m,): 0 if it starts with an Ethernet header, else the
            ethertype of what it starts with.
    """
    w = _Walk(flat, at, end, starts_with)
    _ethernet(w)
    _vlan_tags(w)
    fixed = w.read(IPV6_BYTES)
    _ipv4(w, fixed, w.well & (w.ethertype == ETHERTYPE_IPV4))
    _ipv6(w, fixed, w.well & (w.ethertype == ETHERTYPE_IPV6))
    return _transport(w)


class _Walk:
    """The cursors and what was found so far."""

    def __init__(self, flat: Bytes, at: Offsets, end: Offsets, starts_with: Halves) -> None:
        count = len(at)
        self.flat = flat
        self.at = at
        self.end = end
        self.ethertype = starts_with
        self.well = np.ones(count, np.bool_)
        self.reason = np.zeros(count, np.uint8)
        self.vlan_id = np.zeros(count, np.uint16)
        self.ip_version = np.zeros(count, np.uint8)
        self.ethernet_at = np.full(count, -1, np.int64)
        self.addresses = np.zeros((2, count, 16), np.uint8)
        self.proto = np.full(count, _NO_PROTO, np.uint8)

    def read(self, size: int) -> Bytes:
        """Read from all cursors, uint8 of shape (m, size), whether it is there or not."""
        return self.flat.take(self.at[:, None] + _PLACES[:size], mode="clip")

    def fail(self, which: Mask, reason: Undecodable) -> None:
        """Let those that are still well stop here."""
        if which.any():
            self.reason[which & self.well] = reason
            self.well = self.well & ~which


def _ethernet(w: _Walk) -> None:
    bridged = w.ethertype == 0
    head = w.read(ETHERNET_BYTES)
    w.ethernet_at = np.where(bridged, w.at, -1)
    w.ethertype = np.where(bridged, head.view(">u2")[:, 6], w.ethertype)
    w.at = w.at + bridged * ETHERNET_BYTES
    w.fail(bridged & (w.at > w.end), Undecodable.ETHERNET_SHORT)


def _vlan_tags(w: _Walk) -> None:
    tagged = w.well
    for tag in range(MAX_VLAN_TAGS):
        kind = w.ethertype
        tagged = tagged & ((kind == _ETHERTYPE_VLAN) | (kind == _ETHERTYPE_PROVIDER_VLAN))
        if not tagged.any():
            return
        w.fail(tagged & (w.at + _VLAN_BYTES > w.end), Undecodable.VLAN_SHORT)
        tagged = tagged & w.well
        words = w.read(_VLAN_BYTES).view(">u2")
        if tag == 0:
            w.vlan_id = (words[:, 0] & np.uint16(0xFFF)) * tagged
        w.ethertype = np.where(tagged, words[:, 1], kind)
        w.at = w.at + tagged * _VLAN_BYTES


def _ipv4(w: _Walk, fixed: Bytes, which: Mask) -> None:
    if not which.any():
        return
    w.fail(which & (w.at + IPV4_BYTES > w.end), Undecodable.IPV4_SHORT)
    words = fixed.view(">u2")
    header = (fixed[:, 0] & 15).astype(np.int64) * 4
    total = words[:, 1].astype(np.int64)
    foreign = (fixed[:, 0] >> 4 != 4) | (header < IPV4_BYTES)
    w.fail(which & foreign, Undecodable.IPV4_INVALID)
    w.fail(which & (w.at + header > w.end), Undecodable.IPV4_SHORT)
    # 0: the kernel leaves it so for packets that the device will cut into segments.
    total[total == 0] = _ANY_LENGTH
    w.fail(which & (total < header), Undecodable.IPV4_INVALID)
    which = which & w.well
    w.end = np.where(which, np.minimum(w.end, w.at + total), w.end)
    w.ip_version[which] = 1
    w.addresses[:, which, 10:12] = 0xFF
    w.addresses[0, which, 12:] = fixed[which, 12:16]
    w.addresses[1, which, 12:] = fixed[which, 16:20]
    starts = which & (words[:, 3] & 0x1FFF == 0)
    w.proto = np.where(starts, fixed[:, 9], w.proto)
    w.at = w.at + header * which


def _ipv6(w: _Walk, fixed: Bytes, which: Mask) -> None:
    if not which.any():
        return
    w.fail(which & (w.at + IPV6_BYTES > w.end), Undecodable.IPV6_SHORT)
    w.fail(which & (fixed[:, 0] >> 4 != 6), Undecodable.IPV6_INVALID)
    which = which & w.well
    payload = fixed.view(">u2")[:, 2].astype(np.int64)
    # 0: longer than 64 KiB, as large segments are inside of the kernel.
    payload[payload == 0] = _ANY_LENGTH
    w.at = w.at + which * IPV6_BYTES
    w.end = np.where(which, np.minimum(w.end, w.at + payload), w.end)
    w.ip_version[which] = 2
    w.addresses[0, which] = fixed[which, 8:24]
    w.addresses[1, which] = fixed[which, 24:40]
    w.proto = np.where(which, fixed[:, 6], w.proto)
    _extensions(w, which)


def _extensions(w: _Walk, which: Mask) -> None:
    for _ in range(MAX_EXTENSIONS):
        which = which & _IS_EXTENSION[w.proto]
        if not which.any():
            return
        head = w.read(_EXTENSION_BYTES)
        units = head[:, 1].astype(np.int64)
        size = units * np.where(w.proto == _AUTHENTICATION, 4, 8) + _EXTENSION_BYTES
        fragment = w.proto == _FRAGMENT
        size[fragment] = _EXTENSION_BYTES
        w.fail(which & (w.at + size > w.end), Undecodable.IPV6_EXTENSION_SHORT)
        which = which & w.well
        later = fragment & (head.view(">u2")[:, 1] & 0xFFF8 != 0)
        w.proto = np.where(which, np.where(later, _NO_PROTO, head[:, 0]), w.proto)
        w.at = w.at + size * which


def _transport(w: _Walk) -> Packets:
    """Read ports, or type and code; a TCP header's options may be cut, nothing needs them."""
    kind = _KIND[w.proto]
    w.fail((kind != 0) & (w.at + _NEED[w.proto] > w.end), Undecodable.L4_SHORT)
    head = w.read(_TRANSPORT_BYTES)
    words = head.view(">u2")
    is_tcp = kind == scalars.TCP
    w.fail(is_tcp & (head[:, 12] < 0x50), Undecodable.TCP_INVALID)
    kind = kind * w.well
    ported = _HAS_PORTS[kind]
    first = np.where(ported, words[:, 0], head[:, 0] & _TYPE_MASK[kind])
    second = np.where(ported, words[:, 1], head[:, 1] & _CODE_MASK[kind])
    return Packets(
        reason=w.reason,
        ethernet_at=w.ethernet_at,
        vlan_id=w.vlan_id,
        ip_version=w.ip_version,
        source=w.addresses[0],
        destination=w.addresses[1],
        l4_kind=kind,
        source_port=first,
        destination_port=second,
        tcp_flags=(words[:, 6] & np.uint16(0x1FF)) * is_tcp + _rest(w, kind, head),
        transport_at=w.at,
        end=w.end,
    )


def _rest(w: _Walk, kind: Bytes, head: Bytes) -> Halves:
    """Read what VRRP and SCTP have beside two numbers: a priority, the type of the first chunk."""
    priority = head[:, 2] * (kind == scalars.VRRP)
    has_chunk = (kind == scalars.SCTP) & (w.at + _SCTP_CHUNK_AT < w.end)
    rest: Halves = _CHUNK_TYPE.take(head[:, _SCTP_CHUNK_AT]) * has_chunk + priority
    return rest
