"""Traits: the part of a flow that few values make up, and which most rows share with many others.

Event, verdict, reason, direction, flags, summary: they are packed into one key of 128 bits, so
that rows with equal keys share one encoded fragment. This module packs keys, unpacks them and
builds the flow's fields from them.

    word 0   kind sub_type verdict drop_reason direction is_reply+1 match_type trace_reason (8 each)
    word 1   bits 0-15 TCP flags, SCTP chunk type, or type << 8 | code    16-31 proxy port
             32-39 l4_kind    40-47 ip_version    48-55 auth_type
             56-63 VRRP priority
"""

import struct
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from api.proto.flow.flow_pb2 import Flow, FlowType, TraceObservationPoint
from observer.encode.messages import open_enum
from observer.encode.summary import TCP_FLAG_NAMES, summary
from observer.encode.varint import varint
from observer.table.columns import EventKind, L4Kind

U64 = np.uint64

_BYTES: Final = (
    "kind",
    "sub_type",
    "verdict",
    "drop_reason",
    "direction",
    "is_reply",
    "match_type",
    "trace_reason",
)
_WORD_BYTES: Final = 8
_NUMBERS: Final = np.arange(256)
_IS_TYPED: Final = np.isin(_NUMBERS, (L4Kind.ICMPV4, L4Kind.ICMPV6, L4Kind.VRRP, L4Kind.IGMP))
"""By l4_kind: whether the ports are a type and a code."""
SAW_SEGMENT: Final = ~np.isin(_NUMBERS, (EventKind.L7, EventKind.TRACE_SOCK))
"""By kind: whether a TCP row has flags, and not only ports that somebody told."""
_REPLY: Final = 1
_REPLY_INDEX: Final = _BYTES.index("is_reply")
_KEY: Final = struct.Struct("<8BHHBBBB")
_FLOW_TYPES: Final[dict[int, FlowType]] = {
    EventKind.L7: FlowType.L7,
    EventKind.TRACE_SOCK: FlowType.SOCK,
}
_TO_ENDPOINT: Final = int(TraceObservationPoint.TO_ENDPOINT)

Columns = Callable[[str], NDArray[Any]]


def pack(column: Columns) -> NDArray[U64]:
    """Return the keys of rows, uint64 (n, 2)."""
    l4_kind = column("l4_kind")
    keys = np.empty((len(l4_kind), 2 * _WORD_BYTES), np.uint8)
    for index, name in enumerate(_BYTES):
        keys[:, index] = column(name).view(np.uint8)
    keys[:, _REPLY_INDEX] += 1
    high = keys.view(np.uint16)[:, _WORD_BYTES // 2 :]
    high[:, 0] = column("tcp_flags")
    high[:, 3] = column("auth_type")
    typed = _IS_TYPED.take(l4_kind).nonzero()[0]
    if len(typed):
        high[typed, 3] |= high[typed, 0] << 8
        codes = column("destination_port").take(typed) & 0xFF
        high[typed, 0] = column("source_port").take(typed) << 8 | codes
    high[:, 1] = column("proxy_port")
    keys[:, 12] = l4_kind
    keys[:, 13] = column("ip_version")
    return keys.view("<u8")


class Traits(NamedTuple):
    """A key, unpacked: the values of the columns by their names."""

    kind: int
    sub_type: int
    verdict: int
    drop_reason: int
    direction: int
    is_reply: int
    match_type: int
    trace_reason: int
    tcp_flags: int
    """Or SCTP's chunk type, or type << 8 | code."""
    proxy_port: int
    l4_kind: int
    ip_version: int
    auth_type: int
    vrrp_priority: int

    @classmethod
    def unpack(cls, key: bytes) -> "Traits":
        """Return what `pack` packed: both words, 16 bytes."""
        columns = _KEY.unpack(key)
        reply = columns[_REPLY_INDEX] - 1
        return cls._make((*columns[:_REPLY_INDEX], reply, *columns[_REPLY_INDEX + 1 :]))

    @property
    def has_tcp_flags(self) -> bool:
        """Whether a segment was seen, and not only its ports told."""
        return self.l4_kind == L4Kind.TCP and bool(SAW_SEGMENT[self.kind])


def l4_rest_field(traits: Traits) -> bytes:
    """Return field 3 of the protocol encoded, empty for rows that have none.

    It is flow.TCP.flags, flow.SCTP.chunk_type or flow.VRRP.priority.
    """
    if traits.l4_kind in (L4Kind.SCTP, L4Kind.VRRP):
        number = traits.tcp_flags if traits.l4_kind == L4Kind.SCTP else traits.vrrp_priority
        return b"\x18" + varint(number) if number else b""
    if not traits.has_tcp_flags:
        return b""
    bits = [bit for bit in range(len(TCP_FLAG_NAMES)) if traits.tcp_flags >> bit & 1]
    body = b"".join(bytes(((bit + 1) << 3, 1)) for bit in bits)
    return bytes((0x1A, len(body))) + body


def traits_flow(traits: Traits) -> Flow:
    """Return the fields of a flow that follow from the traits."""
    flow = Flow()
    flow.verdict = open_enum(traits.verdict)
    flow.Type = _FLOW_TYPES.get(traits.kind, FlowType.L3_L4)
    flow.traffic_direction = open_enum(traits.direction)
    flow.policy_match_type = traits.match_type
    flow.trace_reason = open_enum(traits.trace_reason)
    flow.drop_reason = traits.drop_reason
    flow.drop_reason_desc = open_enum(traits.drop_reason)
    flow.auth_type = open_enum(traits.auth_type)
    flow.proxy_port = traits.proxy_port
    flow.event_type.type, flow.event_type.sub_type = traits.kind, traits.sub_type
    if traits.is_reply >= 0:
        flow.reply = flow.is_reply.value = traits.is_reply == _REPLY
    flow.Summary = summary(
        kind=traits.kind,
        l4_kind=traits.l4_kind,
        ip_version=traits.ip_version,
        tcp_flags=traits.tcp_flags,
        icmp_type=traits.tcp_flags >> 8,
        icmp_code=traits.tcp_flags & 0xFF,
    )
    _set_point(flow, traits)
    return flow


def _set_point(flow: Flow, traits: Traits) -> None:
    """Say where in the datapath it was: what a sub type means depends on the event."""
    match traits.kind:
        case EventKind.TRACE:
            # 0 in the datapath, where the API has "unknown".
            point = traits.sub_type or _TO_ENDPOINT
            flow.trace_observation_point = open_enum(point)
        case EventKind.CAPTURE:
            flow.debug_capture_point = open_enum(traits.sub_type)
        case EventKind.TRACE_SOCK:
            flow.sock_xlate_point = open_enum(traits.sub_type)
        case _:
            pass
