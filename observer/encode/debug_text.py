"""Debug messages in words: what their three numbers mean.

The types are Hubble's (flow.DebugEventType); the texts are ours, as an agent's texts are its own.
Those that our programs write are explained (bpf/include/debug.h); of others, which only foreign
recordings have, the numbers are shown.
"""

import os
import sys
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Final

from api.proto.flow.flow_pb2 import DebugEventType
from observer.encode.sources import source_file

_STATES: Final = ("new", "established", "reply", "related")
_DIRECTIONS: Final = ("egress", "ingress")
_RELATED: Final = 0x02
_PROTOCOLS: Final = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}

Text = Callable[[int, int, int], str]


def debug_text(kind: int, arg1: int, arg2: int, arg3: int) -> str:
    """Say what a message means."""
    text = _TEXTS.get(kind)
    if text is None:
        return f"arg1={arg1:#x} arg2={arg2:#x} arg3={arg3:#x}"
    return text(arg1, arg2, arg3)


def _named(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else str(number)


def _ipv4(word: int) -> str:
    return str(IPv4Address(word.to_bytes(4, sys.byteorder)))


def _ipv6_end(word: int) -> str:
    """The last four bytes, as an address ends with them."""
    data = word.to_bytes(4, sys.byteorder)
    return f"..{int.from_bytes(data[:2]):x}:{int.from_bytes(data[2:]):x}"


def _ports(arg: int) -> tuple[int, int]:
    return arg >> 16, arg & 0xFFFF


def _lookup(address: Callable[[int], str], brackets: str) -> Text:
    def text(source: int, destination: int, ports: int) -> str:
        source_port, destination_port = _ports(ports)
        ends = (
            f"{brackets[:1]}{address(word)}{brackets[1:]}:{port}"
            for word, port in ((source, source_port), (destination, destination_port))
        )
        return f"connection lookup: {' -> '.join(ends)}"

    return text


def _lookup_rest(arg1: int, direction: int, _: int) -> str:
    protocol = _PROTOCOLS.get(arg1 >> 8, str(arg1 >> 8))
    related = ", by the packet that the error speaks of" if arg1 & _RELATED else ""
    return f"connection lookup: {protocol}, {_named(_DIRECTIONS, direction)}{related}"


def _verdict(state: int, service: int, _: int) -> str:
    return f"connection is {_named(_STATES, state)}, service {service}"


def _created(service: int, identity: int, _: int) -> str:
    return f"connection created: source identity {identity}, service {service}"


def _local_delivery(endpoint: int, identity: int, _: int) -> str:
    return f"delivered to endpoint {endpoint} from identity {identity}"


def _denied(source: int, destination: int, _: int) -> str:
    return f"policy denies the packet from identity {source} to {destination}"


def _solicitation(first: int, last: int, _: int) -> str:
    return f"neighbour solicitation for {first >> 16:x}:{first & 0xFFFF:x}..{last & 0xFFFF:x}"


def _error(place: int, error: int, _: int) -> str:
    return f"error at {source_file(place >> 16)}:{place & 0xFFFF}: {os.strerror(error)}"


def _to_stack(judged_before: int, _arg2: int, _arg3: int) -> str:
    return f"to the stack{', an answer that policy does not judge' if judged_before else ''}"


_TEXTS: Final[dict[int, Text]] = {
    DebugEventType.DBG_LOCAL_DELIVERY: _local_delivery,
    DebugEventType.DBG_POLICY_DENIED: _denied,
    DebugEventType.DBG_ICMP6_NS: _solicitation,
    DebugEventType.DBG_CT_VERDICT: _verdict,
    DebugEventType.DBG_ERROR_RET: _error,
    DebugEventType.DBG_TO_STACK: _to_stack,
    DebugEventType.DBG_CT_LOOKUP4_1: _lookup(_ipv4, ""),
    DebugEventType.DBG_CT_LOOKUP4_2: _lookup_rest,
    DebugEventType.DBG_CT_CREATED4: _created,
    DebugEventType.DBG_CT_LOOKUP6_1: _lookup(_ipv6_end, "[]"),
    DebugEventType.DBG_CT_LOOKUP6_2: _lookup_rest,
    DebugEventType.DBG_CT_CREATED6: _created,
}
