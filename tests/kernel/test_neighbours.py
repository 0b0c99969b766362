"""What a pod asks on its link is answered by the program, and is no flow."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from tests.kernel.bed import HOST6, OUTSIDE6, Bed
from tests.kernel.frames import ICMPV6, IGMP, Frame, arp, checksum, pseudo_header, solicitation

pytestmark = pytest.mark.kernel

REDIRECT = 7
PASS = 0


def test_arp_for_any_other_address_is_answered(bed: Bed) -> None:
    a = bed.a
    a.send(arp(1, sender=str(a.ipv4), sender_mac=a.mac, target="169.254.1.1"))
    bed.settle(lambda: bool(bed.seen_frames(a)))
    [answer] = bed.frames
    assert answer[:12] == a.mac + a.host_mac
    expected = arp(2, sender="169.254.1.1", sender_mac=a.host_mac, target=str(a.ipv4))
    assert answer[14:32] == expected[14:32]
    assert answer[32:42] == a.mac + a.ipv4.packed
    assert bed.take() == []


@pytest.mark.parametrize(
    ("sender", "target"),
    [("0.0.0.0", "10.244.1.1"), ("10.244.1.1", "10.244.1.1")],
    ids=["probe", "announcement"],
)
def test_arp_about_its_own_address_is_not_answered(bed: Bed, sender: str, target: str) -> None:
    frame = arp(1, sender=sender, sender_mac=bed.a.mac, target=target)
    assert bed.run("from_endpoint", bed.a, frame).verdict == PASS
    assert bed.take() == []


@pytest.mark.parametrize("option", [True, False], ids=["multicast", "probe without its option"])
@pytest.mark.parametrize("source", ["fd00:244:1::1", "fe80::42"])
def test_a_solicitation_is_answered(bed: Bed, source: str, option: bool) -> None:
    a = bed.a
    a.send(solicitation(source=source, target="fe80::1", mac=a.mac, option=option).encode())
    bed.settle(lambda: bool(bed.seen_frames(a)))
    [answer] = bed.frames
    assert answer[:14] == a.mac + a.host_mac + b"\x86\xdd"
    assert (answer[20], answer[21], len(answer)) == (ICMPV6, 255, 86)
    target = IPv6Address("fe80::1")
    assert answer[22:38] == target.packed
    assert answer[38:54] == IPv6Address(source).packed
    message = answer[54:]
    assert (message[0], message[1], message[4]) == (136, 0, 0x60)
    assert message[8:24] == target.packed
    assert message[24:32] == b"\x02\x01" + a.host_mac
    assert checksum(pseudo_header(target, IPv6Address(source), ICMPV6, 32) + message) == 0
    assert bed.take() == []


@pytest.mark.parametrize(
    "frame",
    [
        solicitation(source="::", target="fd00:244:1::1", mac=b"\x02" * 6, option=False),
        solicitation(source="fe80::42", target="fd00:244:1::1", mac=b"\x02" * 6),
        Frame(
            source=IPv6Address("fe80::42"),
            destination=IPv6Address("ff02::2"),
            protocol=ICMPV6,
            icmp_type=133,
            ttl=255,
        ),
        Frame(
            source=IPv6Address("::"),
            destination=IPv6Address("ff02::16"),
            protocol=ICMPV6,
            icmp_type=143,
            payload=bytes(20),
            ttl=1,
            extension=0,
            options=b"\0\x05\x02\0\0\0\0",
        ),
        Frame(
            source=IPv6Address("fe80::42"),
            destination=IPv6Address("fe80::1"),
            protocol=ICMPV6,
            icmp_type=136,
            payload=bytes(16),
            ttl=255,
        ),
    ],
    ids=["duplicate address detection", "of itself", "router", "MLD from ::", "advertisement"],
)
def test_talk_of_the_link_passes_in_silence(bed: Bed, frame: Frame) -> None:
    before = bed.datapath.counters()["link_control"]
    assert bed.run("from_endpoint", bed.a, frame.encode()).verdict == PASS
    assert bed.run("to_endpoint", bed.a, frame.encode()).verdict == PASS
    assert bed.datapath.counters()["link_control"] == before + 2
    assert bed.take() == []


def test_igmp_passes_in_silence(bed: Bed) -> None:
    group = IPv4Address("224.0.0.22")
    frame = Frame(source=bed.a.ipv4, destination=group, protocol=IGMP, l4=bytes(8))
    assert bed.run("from_endpoint", bed.a, frame.encode()).verdict == PASS
    assert bed.take() == []
    bed.run("from_endpoint", bed.a, frame.but(destination=bed.b.ipv4).encode())
    assert bed.names(1) == ["drop 137"]


@pytest.mark.parametrize("kind", [134, 137], ids=["router advertisement", "redirect"])
def test_a_pod_is_no_router(bed: Bed, kind: int) -> None:
    frame = Frame(
        source=IPv6Address("fe80::42"),
        destination=IPv6Address("ff02::1"),
        protocol=ICMPV6,
        icmp_type=kind,
        payload=bytes(32),
        ttl=255,
    )
    bed.run("from_endpoint", bed.a, frame.encode())
    assert bed.names(1) == ["drop 176"]


@pytest.mark.parametrize("kind", [133, 135, 136, 143])
def test_talk_of_the_link_that_would_leave_it_is_judged(bed: Bed, kind: int) -> None:
    """Else a pod could carry data past its policy in neighbour advertisements."""
    bed.enforce(bed.a, egress=True)
    frame = Frame(
        source=bed.a.ipv6,
        destination=OUTSIDE6,
        protocol=ICMPV6,
        icmp_type=kind,
        payload=bytes(24),
        ttl=255,
    )
    bed.run("from_endpoint", bed.a, frame.encode())
    assert bed.names(2) == ["verdict egress -133", "drop 133"]


def test_talk_that_came_over_a_router_is_judged(bed: Bed) -> None:
    bed.enforce(bed.a, ingress=True)
    frame = Frame(
        source=OUTSIDE6,
        destination=bed.a.ipv6,
        protocol=ICMPV6,
        icmp_type=136,
        payload=bytes(24),
        ttl=254,
    )
    bed.run("to_endpoint", bed.a, frame.encode())
    assert bed.names(2) == ["verdict ingress -133", "drop 133"]
    bed.run("to_endpoint", bed.a, frame.but(source=HOST6, ttl=255).encode())
    assert bed.take() == []


def test_an_answer_to_the_host_passes(bed: Bed) -> None:
    bed.enforce(bed.a, egress=True)
    frame = Frame(
        source=bed.a.ipv6,
        destination=HOST6,
        protocol=ICMPV6,
        icmp_type=136,
        payload=bytes(16),
        ttl=255,
    )
    assert bed.run("from_endpoint", bed.a, frame.encode()).verdict == PASS
    assert bed.take() == []
