"""Words that several families use: names of numbers, and masks by number."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from api.proto.flow.flow_pb2 import DropReason, Verdict
from observer.table.columns import EventKind, L4Kind
from server.metrics.family import Columns
from server.metrics.grouping import Words

_NUMBERS: Final = np.arange(256)
# Masks by number: NumPy compares with members of enums slowly.
IS_FLOW: Final = ~np.isin(_NUMBERS, (EventKind.DEBUG, EventKind.AGENT, EventKind.LOST))
IS_FORWARDED: Final = np.isin(_NUMBERS, (Verdict.FORWARDED, Verdict.REDIRECTED))
IS_ICMP: Final = np.isin(_NUMBERS, (L4Kind.ICMPV4, L4Kind.ICMPV6))
HAS_PORTS: Final = np.isin(_NUMBERS, (L4Kind.TCP, L4Kind.UDP, L4Kind.SCTP))
DROPPED: Final = np.uint8(Verdict.DROPPED)
NOT_REPLY: Final = 0
REPLY: Final = 1

_L4: Final[dict[int, str]] = {
    L4Kind.TCP: "TCP",
    L4Kind.UDP: "UDP",
    L4Kind.ICMPV4: "ICMPv4",
    L4Kind.ICMPV6: "ICMPv6",
    L4Kind.SCTP: "SCTP",
    L4Kind.VRRP: "VRRP",
    L4Kind.IGMP: "IGMP",
}
_PACKET_KINDS: Final = (
    EventKind.DROP,
    EventKind.CAPTURE,
    EventKind.TRACE,
    EventKind.POLICY_VERDICT,
)


def protocol(kind: int, l4_kind: int) -> str:
    """Name the protocol of a flow."""
    if kind == EventKind.L7:
        return "Unknown L7"
    return _L4.get(l4_kind, "Unknown L4") if kind in _PACKET_KINDS else "Unknown flow"


def verdict(number: int) -> str:
    """Name a verdict."""
    return Verdict.Name(number) if number in Verdict.values() else str(number)


def drop_reason(number: int) -> str:
    """Name the reason of a drop."""
    return DropReason.Name(number) if number in DropReason.values() else str(number)


def packed(columns: Columns, rows: NDArray[np.intp], *names: str) -> Words:
    """Put up to seven columns of bytes into one word, the first one highest."""
    word = np.zeros(len(rows), np.uint64)
    for name in names:
        column: NDArray[Any] = columns[name][rows]
        word <<= np.uint64(8)
        word |= column
    return word


def unpacked(word: int, count: int) -> tuple[int, ...]:
    """Return the bytes that were packed."""
    return tuple(word.to_bytes(count, "big"))
