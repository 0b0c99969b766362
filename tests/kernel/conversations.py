"""Hypothesis strategies: conversations of frames, valid, cut, damaged and out of place.

A conversation is a list of steps: which program gets the frame, for which pod, and the frame. The
later steps follow from the first: the same again, its answer, an error about it, its second part.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from hypothesis import strategies as st

from tests.kernel.bed import HOST, HOST6, OUTSIDE, OUTSIDE6
from tests.kernel.frames import (
    ACK,
    FIN,
    ICMP,
    ICMPV6,
    IGMP,
    RST,
    SCTP,
    SYN,
    TCP,
    UDP,
    Address,
    Frame,
    arp,
    solicitation,
)  # fmt: skip

ALLOWED, DENIED, ONE_SIDED, UNNAMED = 80, 81, 82, 83
"""Destination ports: of a rule that allows, that denies, of the sender's rules only, of none."""
PORTS: Final = (*[ALLOWED] * 6, DENIED, ONE_SIDED, UNNAMED, 0, 65_535)
FLAGS: Final = (SYN, SYN, SYN, SYN | ACK, ACK, ACK, FIN | ACK, RST, RST | ACK, 0, 0xFF)
HOPS: Final = (64, 64, 64, 255, 255, 2, 1, 0)
FRAGMENTS: Final = ((7, 0, True), (7, 8, True), (7, 8, False), (9, 1480, False), (7, 0, False))
TYPES: Final = {
    ICMP: (8, 8, 0, 3, 5, 9, 11, 12, 13, 14, 255),
    ICMPV6: (128, 128, 129, 1, 2, 3, 4, 130, 131, 132, 133, 134, 135, 136, 137, 139, 140, 143, 200),
}
PROTOCOLS: Final = {
    4: (*(TCP, UDP, SCTP) * 4, *[ICMP] * 4, IGMP, ICMPV6, 47, 255),
    6: (*(TCP, UDP, SCTP) * 4, *[ICMPV6] * 6, IGMP, ICMP, 59, 135),
}
EXTENSIONS: Final = (
    (0, b"\0\x01\x04\0\0\0\0"), (60, b"\x01" + bytes(14)), (43, b"\0" + bytes(6)),
    (51, b"\x04" + bytes(22)), (44, b"\0\0\0\0\0\0\x07"), (60, b"\xff" + bytes(6)),
)  # fmt: skip
OTHER_ADDRESSES: Final[dict[int, tuple[Address, ...]]] = {
    4: (HOST, IPv4Address("224.0.0.22"), IPv4Address("255.255.255.255"), IPv4Address("0.0.0.0")),
    6: (HOST6, IPv6Address("ff02::16"), IPv6Address("fe80::1"), IPv6Address("::"),
        IPv6Address("::ffff:10.244.1.2")),
}  # fmt: skip
ENOUGH_BYTES: Final = 34
OUT: Final[dict[int, Address]] = {4: OUTSIDE, 6: OUTSIDE6}


class Party(NamedTuple):
    """A pod, as far as frames are concerned."""

    name: str
    ipv4: IPv4Address
    ipv6: IPv6Address
    mac: bytes
    host_mac: bytes

    def address(self, version: int) -> Address:
        return self.ipv4 if version == 4 else self.ipv6


class Step(NamedTuple):
    """What happens: a program, the pod it runs for, and the frame it gets."""

    program: str
    pod: str
    frame: bytes


@st.composite
def frames(draw: st.DrawFn, a: Party, b: Party) -> Frame:
    """A frame that pod a might send, or somebody in its name."""
    version = draw(st.sampled_from((4, 6)))
    own, peer, out = a.address(version), b.address(version), OUT[version]
    others = (own, peer, out, *OTHER_ADDRESSES[version])
    protocol = draw(st.sampled_from(PROTOCOLS[version]))
    extension, options = 0, b""
    if draw(st.integers(0, 5)) == 0:
        padding = b"\1" * 4 * draw(st.integers(1, 10))
        extension, options = draw(st.sampled_from(EXTENSIONS)) if version == 6 else (0, padding)
    ports = st.sampled_from(PORTS)
    return Frame(
        source=own if draw(st.integers(0, 9)) else draw(st.sampled_from(others)),
        destination=draw(st.sampled_from((peer, peer, peer, out, out, *others))),
        protocol=protocol,
        source_port=draw(st.sampled_from((4000, 4000, *PORTS))),
        destination_port=draw(ports),
        flags=draw(st.sampled_from(FLAGS)),
        icmp_type=draw(st.sampled_from(TYPES.get(protocol, (0,)))),
        icmp_code=draw(st.integers(0, 1)),
        icmp_id=draw(st.integers(0, 3)),
        payload=draw(st.binary(max_size=32)),
        ttl=draw(st.sampled_from(HOPS)),
        extension=extension,
        options=options,
        fragment=draw(st.sampled_from(FRAGMENTS)) if draw(st.integers(0, 5)) == 0 else None,
        vlan=draw(st.integers(0, 4095)) if draw(st.integers(0, 19)) == 0 else None,
        l4=draw(st.binary(max_size=24)) if draw(st.integers(0, 19)) == 0 else None,
    )


@st.composite
def damaged(draw: st.DrawFn, frame: bytes) -> bytes:
    """The frame with bytes changed behind its addresses, cut, or with more behind it."""
    found = bytearray(frame)
    match draw(st.integers(0, 3)):
        case 0:
            for _ in range(draw(st.integers(1, 3))):
                found[draw(st.integers(12, len(found) - 1))] = draw(st.integers(0, 255))
        case 1 if len(found) > ENOUGH_BYTES:
            # the length that IP tells, shorter and longer than what is there
            at = 18 if found[12] == 0x86 else 16
            size = max(0, len(found) - 14 + draw(st.integers(-30, 4)))
            found[at : at + 2] = draw(st.sampled_from((size, size, 0))).to_bytes(2, "big")
        case _:
            pass
    size = draw(st.integers(14, len(found) + 20))
    return bytes(found[:size]).ljust(size if draw(st.booleans()) else 0, b"\0")


@st.composite
def follow_ups(draw: st.DrawFn, a: Party, b: Party, first: Frame) -> list[Step]:
    """What may come after a frame that pod a has sent."""
    version = first.source.version
    answerer = "b" if first.destination == b.address(version) else ""

    def answer(frame: Frame) -> Step:
        if answerer:
            return Step("from_endpoint", "b", frame.encode())
        return Step("to_endpoint", "a", frame.encode())

    match draw(st.integers(0, 6)):
        case 0:
            return [Step("from_endpoint", "a", first.encode())]
        case 1 | 2:
            flags = draw(st.sampled_from(FLAGS))
            again = first.but(flags=draw(st.sampled_from(FLAGS)))
            return [answer(first.reply(flags=flags)), Step("from_endpoint", "a", again.encode())]
        case 3:
            protocol, kind = (ICMP, 3) if version == 4 else (ICMPV6, 1)
            about = first.but(fragment=None, options=b"").encode()[14:]
            if draw(st.integers(0, 3)) == 0:
                about = bytes((draw(st.integers(0, 255)),)) + about[1:]
            error = first.reply(
                protocol=protocol, icmp_type=kind, payload=about, l4=None, fragment=None, vlan=None
            )
            if answerer and draw(st.booleans()):
                error = error.but(source=b.address(version))
            return [answer(error)]
        case 4:
            part = (first.fragment or (7, 0, True))[0]
            later = first.but(l4=b"x" * 24, fragment=(part, 16, draw(st.booleans())))
            start = first.but(fragment=(part, 0, True))
            return [Step("from_endpoint", "a", each.encode()) for each in (start, later)]
        case 5:
            return [Step("from_endpoint", "a", draw(damaged(first.encode()))) for _ in range(2)]
        case _:
            return [answer(draw(frames(b, a)).but(vlan=None))]


@st.composite
def link_talk(draw: st.DrawFn, a: Party, b: Party) -> bytes:
    """ARP and neighbour solicitations, also damaged."""
    if draw(st.booleans()):
        sender = draw(st.sampled_from((str(a.ipv4), "0.0.0.0")))  # ARP's "unknown"
        target = draw(st.sampled_from((str(a.ipv4), str(b.ipv4), "169.254.1.1")))
        operation = draw(st.sampled_from((1, 1, 2)))
        found = arp(operation, sender=sender, sender_mac=a.mac, target=target)
    else:
        source = draw(st.sampled_from((str(a.ipv6), "::", "fe80::2", "::1")))
        target = draw(st.sampled_from((str(a.ipv6), str(b.ipv6), "fe80::1")))
        option = draw(st.booleans())
        found = solicitation(source=source, target=target, mac=a.mac, option=option).encode()
    return draw(damaged(found)) if draw(st.integers(0, 3)) == 0 else found


@st.composite
def conversations(draw: st.DrawFn, a: Party, b: Party) -> list[Step]:
    """One to four steps."""
    match draw(st.integers(0, 9)):
        case 0:
            program = draw(st.sampled_from(("from_endpoint", "from_endpoint", "to_endpoint")))
            return [Step(program, "a", draw(link_talk(a, b)))]
        case 1:
            kind = draw(st.sampled_from((b"\x08\x00", b"\x86\xdd", b"\x88\xcc", b"\x00\x2e")))
            frame = a.host_mac + a.mac + kind + draw(st.binary(max_size=80))
            return [Step(draw(st.sampled_from(("from_endpoint", "to_endpoint"))), "a", frame)]
        case 2 | 3:
            first = draw(frames(b, a)).but(destination_mac=a.mac, source_mac=a.host_mac)
            if draw(st.booleans()):
                first = first.but(source=OUT[first.source.version])
            steps = [Step("to_endpoint", "a", first.encode())]
            if draw(st.booleans()):
                steps.append(Step("from_endpoint", "a", first.reply().encode()))
            return steps
        case _:
            first = draw(frames(a, b))
            steps = [Step("from_endpoint", "a", first.encode())]
            return steps + (draw(follow_ups(a, b, first)) if draw(st.integers(0, 3)) else [])
