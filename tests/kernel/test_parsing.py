"""Odd packets: options, extension headers, fragments, tags; and whatever is none."""

import random
from ipaddress import ip_address

import pytest

from policy.entries import Direction
from tests.kernel.bed import OUTSIDE, Bed, rule
from tests.kernel.events import Event
from tests.kernel.frames import ACK, ICMP, ICMPV6, SYN, TCP, UDP, Frame

pytestmark = pytest.mark.kernel

DROPPED = 2
REDIRECT = 7
PASS = 0


def udp(bed: Bed, version: int = 4) -> Frame:
    return Frame(
        source=bed.a.address(version),
        destination=bed.b.address(version),
        protocol=UDP,
        source_port=4000,
        destination_port=53,
        payload=b"question" * 4,
    )


def dropped(bed: Bed, frame: bytes) -> Event:
    """Let the pod send it: the one event must be a drop that lost nothing of what it told."""
    before = bed.datapath.counters()
    bed.a.send(frame)
    [event] = bed.events(1)
    assert event.kind == "drop"
    assert (event.packets, event.byte_count, event.length) == (1, len(frame), len(frame))
    assert event.packet == frame[:128]
    assert not any(event.tail)
    assert event.file > 0
    assert event.line > 0
    assert bed.datapath.counters()["dropped"] == before["dropped"] + 1
    return event


def test_ipv4_options(bed: Bed) -> None:
    bed.a.send(udp(bed).but(options=b"\x01" * 8))
    bed.a.send(udp(bed))  # ports were found behind them: the same connection
    assert bed.names(1) == ["to-endpoint new"]
    bed.settle(lambda: bed.connections()[0]["packets"] == 2)


@pytest.mark.parametrize(
    ("extension", "options"),
    [
        (0, b"\0\x01\x04\0\0\0\0"),
        (60, b"\x01" + bytes(14)),
        (43, b"\0" + bytes(6)),
        (51, b"\x04" + bytes(22)),
    ],
    ids=["hop by hop", "destination", "routing", "authentication"],
)
def test_ipv6_extension_header(bed: Bed, extension: int, options: bytes) -> None:
    bed.a.send(udp(bed, 6).but(extension=extension, options=options))
    bed.a.send(udp(bed, 6))
    assert bed.names(1) == ["to-endpoint new"]
    bed.settle(lambda: bed.connections()[0]["packets"] == 2)


@pytest.mark.parametrize("count", [8, 9])
def test_the_chain_of_extension_headers_is_bounded(bed: Bed, count: int) -> None:
    chain = b"\x3c\0\x01\x04\0\0\0\0" * (count - 1) + b"\x11\0\x01\x04\0\0\0\0"
    inner = udp(bed, 6)
    frame = inner.but(protocol=60, l4=chain + inner._l4())
    if count == 8:
        bed.a.send(frame)
        assert bed.names(1) == ["to-endpoint new"]
    else:
        assert dropped(bed, frame.but(source_mac=bed.a.mac).encode()).subtype == 156


@pytest.mark.parametrize("version", [4, 6])
def test_fragments_follow_the_first(bed: Bed, version: int) -> None:
    whole = udp(bed, version).but(payload=b"x" * 64)
    l4 = whole._l4()
    bed.a.send(whole.but(l4=l4[:32], fragment=(99, 0, True)))
    bed.a.send(whole.but(l4=l4[32:64], fragment=(99, 32, True)))
    bed.a.send(whole.but(l4=l4[64:], fragment=(99, 64, False)))
    assert bed.names(1) == ["to-endpoint new"]
    bed.settle(lambda: bed.connections()[0]["packets"] == 3)
    assert len(bed.connections()) == 1
    assert len(bed.b.received()) == 3


@pytest.mark.parametrize("version", [4, 6])
def test_a_fragment_without_its_first(bed: Bed, version: int) -> None:
    whole = udp(bed, version)
    frame = whole.but(l4=whole._l4()[8:], fragment=(1234, 8, False)).encode()
    assert dropped(bed, frame).subtype == 175


def test_a_tagged_frame_tells_its_tag(bed: Bed) -> None:
    bed.a.send(udp(bed).but(vlan=42))
    event = bed.events(1)[0]
    assert (event.name, event.vlan) == ("to-endpoint new", 42)


@pytest.mark.parametrize(
    ("mangle", "reason"),
    [
        (lambda f: f[:14] + b"\x55" + f[15:], 134),
        (lambda f: f[:14] + b"\x44" + f[15:], 134),
        (lambda f: f[:16] + b"\x0f\xff" + f[18:], 134),
        (lambda f: f[:30], 134),
        (lambda f: f[:16] + b"\x00\x19" + f[18:39], 135),
        (lambda f: f[:23] + b"\xff" + f[24:], 137),
        (lambda f: f[:23] + b"\x3a" + f[24:], 137),
        (lambda f: f[:12] + b"\x88\xcc" + f[14:], 139),
        (lambda f: f[:12] + b"\x00\x2e" + b"\x42\x42\x03" + bytes(43), 166),
    ],
    ids=[
        "version",
        "header length",
        "longer than the frame",
        "short",
        "ports cut",
        "protocol",
        "ICMPv6 in IPv4",
        "ethertype",
        "802.3",
    ],
)
def test_malformed(bed: Bed, mangle: object, reason: int) -> None:
    assert callable(mangle)
    assert dropped(bed, mangle(udp(bed).encode())).subtype == reason


def test_tcp_with_a_header_that_is_too_short(bed: Bed) -> None:
    head = Frame(source=bed.a.ipv4, destination=bed.b.ipv4, protocol=TCP, flags=SYN)._l4()
    frame = udp(bed).but(protocol=TCP, l4=head[:12] + b"\x40" + head[13:]).encode()
    assert dropped(bed, frame).subtype == 135


@pytest.mark.parametrize("version", [4, 6])
def test_every_truncation_is_told_once(bed: Bed, version: int) -> None:
    frames = [
        Frame(
            source=bed.a.address(version),
            destination=bed.b.address(version),
            protocol=protocol,
            icmp_type=8 if version == 4 else 128,
            flags=ACK,
            payload=b"data",
        ).encode()
        for protocol in (TCP, UDP, ICMP if version == 4 else ICMPV6)
    ]
    for frame in frames:
        for size in range(15, len(frame)):
            event = dropped(bed, frame[:size])
            assert event.subtype in (134, 135, 139)


def test_random_frames_never_go_unaccounted(bed: Bed) -> None:
    """Each is dropped with an event, or passed with one, or is talk of the link."""
    random_ = random.Random(7)
    for _ in range(1500):
        frame = bytearray(udp(bed, random_.choice([4, 6])).but(payload=b"r" * 64).encode())
        for _ in range(random_.randint(1, 6)):
            frame[random_.randrange(12, len(frame))] = random_.randrange(256)
        data = bytes(frame[: random_.randint(54, len(frame))])  # the least that may be run
        before = bed.datapath.counters()
        verdict = bed.run(random_.choice(["from_endpoint", "to_endpoint"]), bed.a, data).verdict
        after = bed.datapath.counters()
        moved = {
            name
            for name in ("dropped", "to_endpoint", "to_stack", "link_control", "neighbour_answered")
            if after[name] != before[name]
        }
        assert len(moved) == 1, moved
        assert (verdict == DROPPED) == (moved == {"dropped"})
        bed.take()


def inner_error(bed: Bed, inner: Frame) -> Frame:
    """Port unreachable from outside, about a packet that the pod sent."""
    return Frame(
        source=ip_address(OUTSIDE),
        destination=bed.a.ipv4,
        protocol=ICMP,
        icmp_type=3,
        payload=inner.encode()[14:42],
    )


def test_an_error_about_a_connection_is_related(bed: Bed) -> None:
    bed.enforce(bed.a, ingress=True)
    sent = udp(bed).but(destination=OUTSIDE)
    bed.a.send(sent)
    bed.a.deliver(inner_error(bed, sent))
    assert bed.names(2) == ["to-stack new", "to-endpoint related"]


def test_an_error_about_nothing_is_judged(bed: Bed) -> None:
    bed.enforce(bed.a, ingress=True)
    bed.a.deliver(inner_error(bed, udp(bed).but(destination=OUTSIDE, source_port=1)))
    assert bed.names(2) == ["verdict ingress -133", "drop 133"]


def test_an_error_to_somebody_else_is_judged(bed: Bed) -> None:
    """Else a pod with one connection could carry data to anywhere in errors about it."""
    bed.enforce(bed.a, egress=True)
    bed.rules(bed.a, rule(Direction.EGRESS, identity=bed.b.identity))
    bed.b.send(udp(bed).reply())
    bed.events(1)
    error = inner_error(bed, udp(bed).reply()).but(source=bed.a.ipv4)
    bed.a.send(error.but(destination=bed.b.ipv4))
    assert bed.names(1) == ["to-endpoint related"]
    bed.a.send(error.but(destination=OUTSIDE))
    assert bed.names(2) == ["verdict egress -133", "drop 133"]


@pytest.mark.parametrize("end", ["source", "destination"])
def test_ipv4_addresses_in_ipv6_are_refused(bed: Bed, end: str) -> None:
    mapped = ip_address(f"::ffff:{bed.b.ipv4}")
    bed.a.send(udp(bed, 6).but(**{end: mapped}))
    assert bed.names(1) == ["drop 134"]


def test_two_pings_with_one_id_are_two_connections(bed: Bed) -> None:
    ping = Frame(source=bed.a.ipv4, destination=bed.b.ipv4, protocol=ICMP, icmp_type=8, icmp_id=5)
    bed.a.send(ping)
    bed.b.send(ping.but(source=bed.b.ipv4, destination=bed.a.ipv4))
    assert bed.names(2) == ["to-endpoint new", "to-endpoint new"]
    bed.b.send(ping.reply())
    assert bed.names(1) == ["to-endpoint reply"]
