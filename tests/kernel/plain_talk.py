"""Conversations tried in any case: every family and protocol, one thing wrong at most.

They make sure that each kind of outcome occurs; `conversations.py` looks for the unforeseen.
"""

from collections.abc import Iterator
from itertools import product

from tests.kernel.bed import HOST, HOST6
from tests.kernel.conversations import (
    ALLOWED,
    DENIED,
    ONE_SIDED,
    OTHER_ADDRESSES,
    OUT,
    UNNAMED,
    Party,
    Step,
)  # fmt: skip
from tests.kernel.frames import (
    ACK,
    ICMP,
    ICMPV6,
    IGMP,
    SCTP,
    SYN,
    TCP,
    UDP,
    Frame,
    arp,
    solicitation,
)  # fmt: skip

NEXT_HEADERS = (0, 43, 60)


def plain_talks(a: Party, b: Party) -> Iterator[list[Step]]:
    """Give them all."""
    for version, port in product((4, 6), (ALLOWED, DENIED, ONE_SIDED, UNNAMED)):
        for protocol in (TCP, UDP, SCTP, ICMP if version == 4 else ICMPV6):
            for destination in (b.address(version), OUT[version]):
                first = Frame(
                    source=a.address(version),
                    destination=destination,
                    protocol=protocol,
                    source_port=4000,
                    destination_port=port,
                    flags=SYN,
                    icmp_type={ICMP: 8, ICMPV6: 128}.get(protocol, 0),
                    icmp_id=port,
                )
                yield from _answered(a, b, first)
                yield from _broken(b, first)
    yield from _unknown(a, b)
    for frame in _link_talk(a, b):
        yield [Step("from_endpoint", "a", frame)]
        yield [Step("to_endpoint", "a", frame)]


def _answered(a: Party, b: Party, first: Frame) -> Iterator[list[Step]]:
    """A connection from the pod with its answer and an error, and one to the pod by the stack."""
    back = first.reply(flags=SYN | ACK)
    again = Step("from_endpoint", "a", first.but(flags=ACK).encode())
    to_b = first.destination in (b.ipv4, b.ipv6)

    def answer(frame: Frame) -> Step:
        return Step(*("from_endpoint", "b") if to_b else ("to_endpoint", "a"), frame.encode())

    version = first.source.version
    error = back.but(
        protocol=ICMP if version == 4 else ICMPV6,
        icmp_type=3 if version == 4 else 1,
        payload=first.encode()[14:],
    )
    yield [Step("from_endpoint", "a", first.encode()), answer(back), again, answer(error)]
    yield [answer(error)]
    for asking in (OUT[version], HOST if version == 4 else HOST6):
        asked = first.but(source=asking, destination=a.address(version))
        answered = asked.reply(flags=SYN | ACK)
        steps = (("to_endpoint", asked), ("from_endpoint", answered), ("to_endpoint", asked))
        yield [Step(program, "a", frame.encode()) for program, frame in steps]


def _broken(b: Party, first: Frame) -> Iterator[list[Step]]:
    """The same packet spoofed, cut, without its first part, and as no IP packet."""
    version, whole = first.source.version, first.encode()
    for frame in (
        first.but(source=b.address(version)).encode(),
        first.but(l4=first._l4()[:7]).encode(),
        first.but(l4=b"x" * 24, fragment=(3, 8, False)).encode(),
        first.but(vlan=7).encode(),
        whole[:14] + bytes((whole[14] ^ 0x80,)) + whole[15:],
    ):
        yield [Step("from_endpoint", "a", frame)]


def _unknown(a: Party, b: Party) -> Iterator[list[Step]]:
    """Protocols that no rule knows, and chains of headers that end in nothing."""
    for version, protocol in product((4, 6), (ICMP, IGMP, ICMPV6, 47, 255)):
        frame = Frame(source=a.address(version), destination=b.address(version), protocol=protocol)
        yield [Step("from_endpoint", "a", frame.encode())]
    for following in NEXT_HEADERS:
        chain = b"\x3c" + bytes(5)
        frame = Frame(source=a.ipv6, destination=b.ipv6, protocol=following, l4=chain)
        yield [Step("from_endpoint", "a", frame.encode())]


def _link_talk(a: Party, b: Party) -> Iterator[bytes]:
    group = OTHER_ADDRESSES[4][1]
    yield Frame(source=a.ipv4, destination=group, protocol=IGMP).encode()
    for kind, target in product((1, 2), (a.ipv4, b.ipv4)):
        yield arp(kind, sender=str(a.ipv4), sender_mac=a.mac, target=str(target))
    for address in (a.ipv6, b.ipv6):
        yield solicitation(source=str(a.ipv6), target=str(address), mac=a.mac).encode()
    for kind, hops in product(range(130, 138), (64, 255)):
        yield Frame(
            source=a.ipv6,
            destination=OTHER_ADDRESSES[6][1],
            protocol=ICMPV6,
            icmp_type=kind,
            ttl=hops,
        ).encode()
    for ethertype in (b"\x88\xcc", b"\x00\x2e"):
        yield a.host_mac + a.mac + ethertype + bytes(46)
