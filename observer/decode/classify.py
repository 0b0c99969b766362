"""Find the samples that look like nearly all others, so that the rest of decode reads fixed places.

A sample is *plain* if its header has the newest version and our ext behind it, and its packet is
Ethernet without tags, IPv4 without options and fragments or IPv6 without extension headers, and
TCP, UDP or ICMP whose header was captured whole. Packets begin at multiples of 8, because headers
and ext have such lengths: so one gather brings the first bytes of all of them side by side, their
*window*, two bytes further than they were. There stand

    14 ethertype    18 IPv4: total length       20 IPv6: payload length
    16 version      22 IPv4: fragment           22 IPv6: next header
                    25 IPv4: protocol           48, 68 TCP length and flags behind IPv4, IPv6

What is not plain is odd: `walk.py` looks at it with care. Words are taken apart as little-endian
processors load them, which all that we run on are.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.decode.layout import (
    DROP,
    EXT_LENGTHS,
    FLAG_GENEVE,
    FLAG_L3_DEVICE,
    FLAG_VXLAN,
    HEADER_LENGTHS,
    TRACE,
    VERDICT,
    VERDICT_FLAG_L3_DEVICE,
    WORDS_PER_SAMPLE,
)
from observer.decode.walk import ETHERNET_BYTES, IPV4_BYTES, IPV6_BYTES, TRANSPORTS
from observer.decode.windows import windows
from observer.samples import EXT_BYTES
from observer.table import scalars
from observer.table.columns import EventKind, L4Kind

U64 = np.uint64

# type + 256 * version → length of the header; 0 if we do not know it
_HEADER_LENGTH: Final = np.zeros(1 << 16, np.uint8)
# the same → it is the newest version, whose fields are all there
_NEWEST: Final = np.zeros(1 << 16, np.bool_)
for _event, _lengths in HEADER_LENGTHS.items():
    for _version, _length in enumerate(_lengths):
        _HEADER_LENGTH[_event + 256 * _version] = _length
        _NEWEST[_event + 256 * _version] = _length == _lengths[-1]
# A capture has a 32-bit length where the others have the version.
_HEADER_LENGTH[EventKind.CAPTURE :: 256] = HEADER_LENGTHS[EventKind.CAPTURE][0]
_NEWEST[EventKind.CAPTURE :: 256] = False

_ODD_FLAGS: Final = np.zeros(256, np.uint8)
_ODD_FLAGS[EventKind.DROP] = FLAG_L3_DEVICE | FLAG_VXLAN | FLAG_GENEVE
_ODD_FLAGS[EventKind.TRACE] = FLAG_L3_DEVICE | FLAG_VXLAN | FLAG_GENEVE
_ODD_FLAGS[EventKind.POLICY_VERDICT] = VERDICT_FLAG_L3_DEVICE

WINDOW_BYTES: Final = 72
WINDOW_LEAD: Final = 2

# as loaded from the wire's order
_ETHERTYPE_IPV4: Final = np.uint16(0x0008)
_ETHERTYPE_IPV6: Final = np.uint16(0xDD86)

_IPV6_KEY: Final = np.uint16(256)
_NEVER: Final = 1 << 16  # more than any length can say


def _plain_tables() -> tuple[NDArray[np.uint8], NDArray[np.uint32], NDArray[np.uint32]]:
    """By protocol + 256 if IPv6: kind, bytes to be captured, bytes that IP's length must state."""
    kind = np.zeros(512, np.uint8)
    captured = np.full(512, _NEVER, np.uint32)
    stated = np.full(512, _NEVER, np.uint32)
    plain = {L4Kind.TCP, L4Kind.UDP, L4Kind.ICMPV4, L4Kind.ICMPV6}
    for proto, (l4_kind, need) in TRANSPORTS.items():
        if l4_kind in plain:
            for key, header, counted in ((0, IPV4_BYTES, IPV4_BYTES), (256, IPV6_BYTES, 0)):
                kind[key + proto] = l4_kind
                captured[key + proto] = ETHERNET_BYTES + header + need
                stated[key + proto] = counted + need
    return kind, captured, stated


_KIND, _CAPTURED, _STATED = _plain_tables()


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """What is known of n samples after a first look; columns of length n."""

    types: NDArray[np.uint8]
    header_length: NDArray[np.int64]
    """0 where type or version is unknown."""
    ext_length: NDArray[np.int64]
    """-1 where the ext's version is unknown."""
    newest: NDArray[np.bool_]
    """The header has all fields of the newest version."""
    plain: NDArray[np.bool_]
    window: NDArray[np.uint8]
    """uint8, shape (n, WINDOW_BYTES): each packet from WINDOW_LEAD bytes before its first."""
    is_ipv6: NDArray[np.bool_]
    """This and the two below only mean something where plain."""
    l4_kind: NDArray[np.uint8]
    tcp_flags: NDArray[np.uint16]


_EXT_LENGTH: Final = np.full(256, -1, np.int64)
_EXT_LENGTH[: len(EXT_LENGTHS)] = EXT_LENGTHS


def classify(samples: NDArray[np.uint8], words_at: NDArray[np.int64]) -> Classes:
    """Look at n samples.

    Args:
        samples: uint8, shape (n, SAMPLE_BYTES), C-contiguous.
        words_at: int64, shape (n,): index of each sample's first 64-bit word.
    """
    words = samples.reshape(-1).view(U64)
    common = words[1::WORDS_PER_SAMPLE]
    types = samples[:, 0].copy()
    version = (common >> U64(48)).view(np.int64)
    shape = types | version << 8 & 0xFF00
    header_length = _HEADER_LENGTH.take(shape).astype(np.int64)
    ext_length = _EXT_LENGTH.take(version >> 8)
    newest = _NEWEST.take(shape)
    packet_at = words_at + (header_length + ext_length >> 3)
    window = windows(samples, packet_at, WINDOW_BYTES, WINDOW_LEAD)
    captured = (common >> U64(32)).astype(np.uint16)
    plain, is_ipv6, l4_kind = _networks(window, captured)
    plain &= newest
    plain &= ext_length == EXT_BYTES
    plain &= _flags(samples, types) == 0
    halves = window.view(np.uint16)
    control = np.where(is_ipv6, halves[:, 34], halves[:, 24])
    is_tcp = l4_kind == scalars.TCP
    plain &= ~is_tcp | (control & 0xF0 >= 0x50)  # the first byte's high half: words of the header
    return Classes(
        types=types,
        header_length=header_length,
        ext_length=ext_length,
        newest=newest,
        plain=plain,
        window=window,
        is_ipv6=is_ipv6,
        l4_kind=l4_kind,
        tcp_flags=(control.byteswap() & 0x1FF) * is_tcp,
    )


def _networks(
    window: NDArray[np.uint8], captured: NDArray[np.uint16]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.uint8]]:
    """Say of n packets whether they are plain up to the transport, IPv6, and their L4Kind."""
    halves = window.view(np.uint16)
    ethertype, version = halves[:, 7].copy(), window[:, 16].copy()
    is_ipv6 = (ethertype == _ETHERTYPE_IPV6) & (version & 0xF0 == 0x60)
    plain = (ethertype == _ETHERTYPE_IPV4) & (version == 0x45)
    plain &= halves[:, 11] & 0xFFBF == 0  # neither offset nor more fragments; "don't" may be set
    plain |= is_ipv6
    key = np.where(is_ipv6, window[:, 22], window[:, 25]) + is_ipv6 * _IPV6_KEY
    plain &= captured >= _CAPTURED.take(key)
    stated = np.where(is_ipv6, halves[:, 10], halves[:, 9]).byteswap()
    plain &= stated >= _STATED.take(key)
    return plain, is_ipv6, _KIND.take(key)


def _flags(samples: NDArray[np.uint8], types: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give the header's flags as far as they make a sample odd."""
    is_drop = types == scalars.DROP
    flags = np.where(is_drop, samples[:, DROP_FLAGS_AT], samples[:, TRACE_FLAGS_AT])
    flags &= _ODD_FLAGS.take(types)
    return flags


def _offset(dtype: np.dtype[np.void], field: str) -> int:
    fields = dtype.fields
    assert fields is not None  # noqa: S101 -- all our layouts have named fields
    return int(fields[field][1])


DROP_FLAGS_AT: Final = _offset(DROP, "flags")
TRACE_FLAGS_AT: Final = _offset(TRACE, "flags")
# The verdict's stand at the same place, with other bits.
assert _offset(VERDICT, "flags") == TRACE_FLAGS_AT  # noqa: S101 -- a fact of the ABI
