"""Summaries: one line about a packet, as Hubble writes it in Flow.Summary.

The spelling of ICMP types and codes is that of gopacket, which Hubble prints; a type that is not
listed is printed as `type(code)`, a code that is not listed as `Type(Code: n)`.
"""

from typing import Final

from api.proto.flow.flow_pb2 import IPVersion
from observer.table.columns import EventKind, L4Kind

TCP_FLAG_NAMES: Final = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS")
"""By bit of the column `tcp_flags`."""

_SUMMARY_ORDER: Final = ("SYN", "ACK", "RST", "FIN", "PSH", "URG", "ECE", "CWR", "NS")

Codes = tuple[str, ...]

_ICMPV4: Final[dict[int, tuple[str, Codes]]] = {
    0: ("EchoReply", ()),
    3: (
        "DestinationUnreachable",
        (
            "Net",
            "Host",
            "Protocol",
            "Port",
            "FragmentationNeeded",
            "SourceRoutingFailed",
            "NetUnknown",
            "HostUnknown",
            "SourceIsolated",
            "NetAdminProhibited",
            "HostAdminProhibited",
            "NetTOS",
            "HostTOS",
            "CommAdminProhibited",
            "HostPrecedence",
            "PrecedenceCutoff",
        ),
    ),
    4: ("SourceQuench", ()),
    5: ("Redirect", ("Net", "Host", "TOS+Net", "TOS+Host")),
    8: ("EchoRequest", ()),
    10: ("RouterSolicitation", ()),
    11: ("TimeExceeded", ("TTLExceeded", "FragmentReassemblyTimeExceeded")),
    12: ("ParameterProblem", ("PointerIndicatesError", "MissingOption", "BadLength")),
    13: ("TimestampRequest", ()),
    14: ("TimestampReply", ()),
    15: ("InfoRequest", ()),
    16: ("InfoReply", ()),
    17: ("AddressMaskRequest", ()),
    18: ("AddressMaskReply", ()),
}

_ICMPV6: Final[dict[int, tuple[str, Codes]]] = {
    1: (
        "DestinationUnreachable",
        (
            "NoRouteToDst",
            "AdminProhibited",
            "BeyondScopeOfSrc",
            "AddressUnreachable",
            "PortUnreachable",
            "SrcAddressFailedPolicy",
            "RejectRouteToDst",
        ),
    ),
    2: ("PacketTooBig", ()),
    3: ("TimeExceeded", ("HopLimitExceeded", "FragmentReassemblyTimeExceeded")),
    4: (
        "ParameterProblem",
        ("ErroneousHeaderField", "UnrecognizedNextHeader", "UnrecognizedIPv6Option"),
    ),
    128: ("EchoRequest", ()),
    129: ("EchoReply", ()),
    133: ("RouterSolicitation", ()),
    134: ("RouterAdvertisement", ()),
    135: ("NeighborSolicitation", ()),
    136: ("NeighborAdvertisement", ()),
    137: ("Redirect", ()),
}

_IGMP: Final = {
    0x11: "IGMP Membership Query",
    0x12: "IGMPv1 Membership Report",
    0x16: "IGMPv2 Membership Report",
    0x17: "Leave Group",
    0x22: "IGMPv3 Membership Report",
}

_NETWORKS: Final[dict[int, str]] = {IPVersion.IPv4: "IPv4", IPVersion.IPv6: "IPv6"}

_VRRP: Final = {1: "VRRPv2 Advertisement"}


def summary(
    *, kind: int, l4_kind: int, ip_version: int, tcp_flags: int, icmp_type: int, icmp_code: int
) -> str:
    """Return the summary of a row; types and codes count for ICMP, VRRP and IGMP only."""
    if kind == EventKind.TRACE_SOCK:
        return {L4Kind.TCP: "TCP", L4Kind.UDP: "UDP"}.get(L4Kind(l4_kind), "Unknown")
    match l4_kind:
        case L4Kind.TCP:
            return "TCP Flags: " + ", ".join(_flag_names(tcp_flags))
        case L4Kind.UDP:
            return "UDP"
        case L4Kind.SCTP:
            return "SCTP"
        case L4Kind.ICMPV4:
            return "ICMPv4 " + _type_code(_ICMPV4, icmp_type, icmp_code)
        case L4Kind.ICMPV6:
            return "ICMPv6 " + _type_code(_ICMPV6, icmp_type, icmp_code)
        case L4Kind.VRRP:
            return "VRRP " + _VRRP.get(icmp_type, "")
        case L4Kind.IGMP:
            return "IGMP " + _IGMP.get(icmp_type, "")
        case _:
            return _NETWORKS.get(ip_version, "Ethernet")


def _flag_names(tcp_flags: int) -> list[str]:
    names = {name for bit, name in enumerate(TCP_FLAG_NAMES) if tcp_flags >> bit & 1}
    return [name for name in _SUMMARY_ORDER if name in names]


def _type_code(table: dict[int, tuple[str, Codes]], icmp_type: int, code: int) -> str:
    if icmp_type not in table:
        return f"{icmp_type}({code})"
    name, codes = table[icmp_type]
    if codes:
        return f"{name}({codes[code]})" if code < len(codes) else f"{name}(Code: {code})"
    return f"{name}(Code: {code})" if code else name
