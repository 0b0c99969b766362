"""Filters by transport header: protocol, ports, TCP flags."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from api.proto.flow.flow_pb2 import FlowFilter, TCPFlags
from observer.filters.condition import (
    Condition,
    Cost,
    Mask,
    RowSlice,
    membership,
    one_of,
)
from observer.filters.context import Context
from observer.filters.errors import FilterError
from observer.table.columns import EventKind, L4Kind

PROTOCOLS: Final[dict[str, tuple[L4Kind, ...]]] = {
    "icmp": (L4Kind.ICMPV4, L4Kind.ICMPV6),
    "icmpv4": (L4Kind.ICMPV4,),
    "icmpv6": (L4Kind.ICMPV6,),
    "tcp": (L4Kind.TCP,),
    "udp": (L4Kind.UDP,),
    "sctp": (L4Kind.SCTP,),
    "vrrp": (L4Kind.VRRP,),
    "igmp": (L4Kind.IGMP,),
    # Known names that only L7 records can have.
    "dns": (),
    "http": (),
    "kafka": (),
}
_WITH_PORTS: Final = (L4Kind.TCP, L4Kind.UDP, L4Kind.SCTP)
_DIGITS: Final = re.compile(r"[0-9]+")
_MAX_PORT: Final = 65_535
_FLAG_BITS: Final = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS")


def protocols(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile protocol: names in any case, any of them.

    Raises:
        FilterError: a name is unknown.
    """
    if flow_filter.protocol:
        kinds: set[int] = set()
        for name in flow_filter.protocol:
            if name.lower() not in PROTOCOLS:
                raise FilterError(f'invalid protocol filter: unknown protocol: "{name}"')
            kinds.update(PROTOCOLS[name.lower()])
        yield one_of("l4_kind", kinds)


def parse_ports(values: Sequence[str], side: str) -> list[int]:
    """Return the ports that decimal texts name.

    Raises:
        FilterError: a text is no decimal number up to 65535.
    """
    for value in values:
        reason = ""
        if not _DIGITS.fullmatch(value):
            reason = "invalid syntax"
        elif int(value) > _MAX_PORT:
            reason = "value out of range"
        if reason:
            inner = f'strconv.ParseUint: parsing "{value}": {reason}'
            raise FilterError(f'invalid {side} port filter: invalid port "{value}": {inner}')
    return sorted({int(value) for value in values})


def ports(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile source_port and destination_port; protocols without ports never match."""
    for side, values in (
        ("source", flow_filter.source_port),
        ("destination", flow_filter.destination_port),
    ):
        if values:
            wanted = parse_ports(values, side)
            yield Condition(cost=Cost.COLUMN, mask=_port_mask(f"{side}_port", wanted))


def _port_mask(column: str, wanted: list[int]) -> Callable[[RowSlice], Mask]:
    def mask(rows: RowSlice) -> Mask:
        result = membership(rows.column(column), wanted)
        # The column holds other numbers for protocols without ports.
        result &= membership(rows.column("l4_kind"), list(_WITH_PORTS))
        return result

    return mask


def flag_bits(flags: TCPFlags) -> int:
    """Return the flags as bits of the column `tcp_flags`."""
    return sum(1 << bit for bit, name in enumerate(_FLAG_BITS) if getattr(flags, name))


def tcp_flags(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile tcp_flags: all flags of an entry must be set; an empty entry asks for TCP."""
    wanted = sorted({flag_bits(flags) for flags in flow_filter.tcp_flags})
    if wanted:

        def mask(rows: RowSlice) -> Mask:
            column = rows.column("tcp_flags")
            result = np.zeros(len(rows), np.bool_)
            for bits in wanted:
                result |= (column & np.uint16(bits)) == bits
            result &= rows.column("l4_kind") == L4Kind.TCP
            # Records of L7 and sockets name the protocol without having seen a segment.
            result &= ~membership(rows.column("kind"), [EventKind.L7, EventKind.TRACE_SOCK])
            return result

        yield Condition(cost=Cost.COLUMN, mask=mask)
