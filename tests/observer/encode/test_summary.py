"""Summaries, case by case."""

import pytest

from observer.encode.summary import summary


@pytest.mark.parametrize(
    ("l4_kind", "icmp", "text"),
    [
        (3, (8, 0), "ICMPv4 EchoRequest"),
        (3, (0, 0), "ICMPv4 EchoReply"),
        (3, (8, 1), "ICMPv4 EchoRequest(Code: 1)"),
        (3, (3, 3), "ICMPv4 DestinationUnreachable(Port)"),
        (3, (3, 16), "ICMPv4 DestinationUnreachable(Code: 16)"),
        (3, (9, 0), "ICMPv4 9(0)"),
        (3, (200, 4), "ICMPv4 200(4)"),
        (4, (128, 0), "ICMPv6 EchoRequest"),
        (4, (135, 0), "ICMPv6 NeighborSolicitation"),
        (4, (136, 0), "ICMPv6 NeighborAdvertisement"),
        (4, (1, 4), "ICMPv6 DestinationUnreachable(PortUnreachable)"),
        (4, (143, 0), "ICMPv6 143(0)"),
        (6, (1, 0), "VRRP VRRPv2 Advertisement"),
        (7, (0x16, 0), "IGMP IGMPv2 Membership Report"),
    ],
)
def test_types_and_codes(l4_kind: int, icmp: tuple[int, int], text: str) -> None:
    found = summary(
        kind=4, l4_kind=l4_kind, ip_version=1, tcp_flags=0, icmp_type=icmp[0], icmp_code=icmp[1]
    )
    assert found == text


@pytest.mark.parametrize(
    ("kind", "l4_kind", "ip_version", "flags", "text"),
    [
        (4, 1, 1, 0x002, "TCP Flags: SYN"),
        (4, 1, 1, 0x012, "TCP Flags: SYN, ACK"),
        (4, 1, 1, 0x1FF, "TCP Flags: SYN, ACK, RST, FIN, PSH, URG, ECE, CWR, NS"),
        (4, 1, 1, 0, "TCP Flags: "),
        (4, 2, 2, 0, "UDP"),
        (4, 5, 2, 0, "SCTP"),
        (1, 0, 1, 0, "IPv4"),
        (1, 0, 2, 0, "IPv6"),
        (1, 0, 0, 0, "Ethernet"),
        (7, 1, 1, 0, "TCP"),
        (7, 2, 1, 0, "UDP"),
        (7, 0, 1, 0, "Unknown"),
    ],
)
def test_protocols(kind: int, l4_kind: int, ip_version: int, flags: int, text: str) -> None:
    found = summary(
        kind=kind,
        l4_kind=l4_kind,
        ip_version=ip_version,
        tcp_flags=flags,
        icmp_type=0,
        icmp_code=0,
    )
    assert found == text
