"""Any bytes as a packet in each kind of event: parsed as the slow decoder does it.

Input: the packet. It stands in a trace as Ethernet, bare IPv4 and bare IPv6, inside of VXLAN and
Geneve, in a drop, in verdicts of both kinds and in a capture.
"""

from collections.abc import Iterator

from bench.odd_packets import ODD_KINDS, ethernet, ipv4, ipv6, trace
from observer.samples import CAPTURE_BYTES
from tests.fuzz.node import Node
from tests.fuzz.targets.samples import batch_of
from tests.observer.decode.batches import check_against_reference
from tests.observer.decode.events import drop, verdict

HEADER_BYTES = 88
MOST_BYTES = CAPTURE_BYTES
TCP = bytes.fromhex("a028 01bb 00000001 00000001 5012 0200 0000 0000")
TRACE_FLAGS = (0x00, 0x02, 0x03, 0x04, 0x08)
VERDICT_FLAGS = (0x01, 0x81, 0x86)


def check(data: bytes) -> None:
    packet = data[:MOST_BYTES]
    samples = [trace(packet, flags=flags) for flags in TRACE_FLAGS]
    samples += [verdict(packet, flags=flags) for flags in VERDICT_FLAGS]
    samples += [drop(packet), b"\x03\x05\0\0\0\0\0\0" + len(packet).to_bytes(4, "little")]
    samples[-1] = samples[-1].ljust(24, b"\0") + packet
    batch = batch_of(b"".join(sample.ljust(216, b"\0") for sample in samples))
    check_against_reference(batch)
    node = Node()
    node.feed(batch)
    node.answer()


def seeds() -> Iterator[tuple[str, bytes]]:
    for number, build in enumerate(ODD_KINDS):
        yield f"odd {number}", build()[HEADER_BYTES:]
    for proto in (1, 2, 6, 17, 58, 112, 132):
        yield f"ipv4 {proto}", ethernet(0x0800, ipv4(proto, TCP))
        yield f"ipv6 {proto}", ethernet(0x86DD, ipv6(proto, TCP))
    tagged = b"\0\x2a\x81\0\0\x07\x86\xdd"
    yield "two tags", ethernet(0x88A8, tagged + ipv6(6, TCP))
    yield "authentication", ethernet(0x86DD, ipv6(51, b"\x06\x04" + bytes(22) + TCP))
