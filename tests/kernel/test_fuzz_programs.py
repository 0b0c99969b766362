"""The programs against a slow reading of the same packets, for thousands of conversations.

For each frame the model says which events must come, with their reasons, verdicts, rules and
endpoints, how the program must end, which counter must move and what it may change. At the end a
table tells how often each family, protocol and outcome was seen; the run fails if one that must
occur did not.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product

import pytest
from hypothesis import HealthCheck, given, seed, settings

from observer.kernel import syscall
from observer.kernel.datapath import DatapathSettings
from policy.entries import Direction, PolicyEntry
from tests.kernel.bed import HOST, HOST6, SILENT_HOST, SILENT_HOST6, Bed, Pod, rule
from tests.kernel.conversations import (
    ALLOWED,
    DENIED,
    ONE_SIDED,
    Party,
    Step,
    conversations,
)  # fmt: skip
from tests.kernel.frames import ICMP, ICMPV6, IGMP, SCTP, SYN, TCP, UDP, Address, Frame, checksum
from tests.kernel.model import REDIRECT, Model, Outcome, Place, told
from tests.kernel.plain_talk import plain_talks
from tests.kernel.reading import Refused, read

pytestmark = pytest.mark.kernel

EXAMPLES = 1500
COUNTERS = ("dropped", "to_endpoint", "to_stack", "link_control", "neighbour_answered")
NAMES = {TCP: "TCP", UDP: "UDP", SCTP: "SCTP", ICMP: "ICMP", ICMPV6: "ICMPv6", IGMP: "IGMP"}
PORTED = (TCP, UDP, SCTP)
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

Cell = tuple[str, str, str]


def required() -> Iterator[Cell]:
    """What must occur."""
    passing = ["to-endpoint new", "to-endpoint reply", "to-stack new"]
    ported = ["to-endpoint established", "to-stack reply", "drop 181"]
    refused = [f"drop {reason}" for reason in (132, 133, 134, 135, 175)]
    for family in ("IPv4", "IPv6"):
        for protocol in PORTED:
            for outcome in (*passing, *ported, *refused):
                yield family, NAMES[protocol], outcome
        icmp = NAMES[ICMP if family == "IPv4" else ICMPV6]
        for outcome in (*passing, "to-endpoint related", *refused):
            yield family, icmp, outcome
        yield family, "IGMP", "drop 137"
        yield family, "other", "drop 137"
    for outcome in ("link_control", "neighbour_answered", "drop 176"):
        yield "IPv6", "ICMPv6", outcome
    yield "IPv4", "IGMP", "link_control"
    yield "IPv4", "ICMPv6", "drop 137"
    yield "IPv6", "ICMP", "drop 137"
    yield "IPv6", "other", "drop 156"
    for outcome in ("link_control", "neighbour_answered"):
        yield "ARP", "", outcome
    for outcome in ("drop 139", "drop 166", "link_control"):
        yield "other", "", outcome
    yield "tagged", "", "drop 139"


@pytest.fixture
def policed(shared_bed: Bed) -> Iterator[Bed]:
    """The bed with rules that never change, every packet told."""
    bed = shared_bed
    bed.reset()
    bed.datapath.configure(DatapathSettings(per_packet=True))
    for pod in (bed.a, bed.b):
        bed.rules(pod, *(each for entries in rules(bed, pod).values() for each in entries))
        bed.enforce(pod, ingress=True, egress=pod is bed.a)
    bed.take()
    yield bed
    bed.reset()


def rules(bed: Bed, pod: Pod) -> dict[Direction, list[PolicyEntry]]:
    """What pod a may send and both may get; all else is denied, and what b sends is not judged."""
    ingress = [rule(Direction.INGRESS, identity=bed.a.identity, protocol=SCTP, cookie=20)]
    ingress += [rule(Direction.INGRESS, protocol=p, port=ALLOWED, cookie=p) for p in (TCP, UDP)]
    ingress += [
        rule(Direction.INGRESS, identity=peer.identity, protocol=p, cookie=50 + p)
        for peer in (bed.a, bed.b)
        for p in (ICMP, ICMPV6)
    ]
    if pod is bed.b:
        return {Direction.INGRESS: ingress}
    egress = [
        rule(Direction.EGRESS, protocol=p, port=port, deny=port == DENIED, cookie=100 + port)
        for p in PORTED
        for port in (ALLOWED, DENIED, ONE_SIDED)
    ]
    egress += [rule(Direction.EGRESS, protocol=p, cookie=200 + p) for p in (ICMP, ICMPV6)]
    return {Direction.EGRESS: egress, Direction.INGRESS: ingress}


def place(bed: Bed, pod: Pod) -> Place:
    return Place(
        endpoint_id=pod.endpoint_id,
        identity=pod.identity,
        addresses=(pod.ipv4, pod.ipv6),
        rules=rules(bed, pod),
    )


class Check:
    """Runs conversations on the bed and beside it in the model."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.pods = {"a": bed.a, "b": bed.b}
        self.places = {name: place(bed, pod) for name, pod in self.pods.items()}
        self.cells: Counter[Cell] = Counter()
        self.too_short = 0
        self.identities: dict[Address, int] = {
            each: pod.identity for pod in self.pods.values() for each in (pod.ipv4, pod.ipv6)
        }
        for host in (HOST, HOST6, SILENT_HOST, SILENT_HOST6):
            self.identities[host] = 1

    def conversation(self, steps: list[Step]) -> None:
        model = Model(tuple(self.places.values()), self.identities)
        self.bed.clear_connections()
        try:
            for step in steps:
                self._step(model, step)
        finally:
            self._forget(model)

    def _step(self, model: Model, step: Step) -> None:
        pod, before = self.pods[step.pod], self.bed.datapath.counters()
        try:
            result = self.bed.run(step.program, pod, step.frame)
        except OSError:  # the kernel runs no frame that ends within its IP header
            assert len(step.frame) < 14 + (40 if step.frame[12:14] == b"\x86\xdd" else 20)
            self.too_short += 1
            return
        expected: Outcome = getattr(model, step.program)(self.places[step.pod], step.frame)
        after = self.bed.datapath.counters()
        found = [told(event) for event in self.bed.take()]
        moved = {name for name in COUNTERS if after[name] != before[name]}
        assert (found, result.verdict, moved) == (
            list(expected.events),
            expected.action,
            {expected.counter},
        )
        self._compare_frames(step.frame, result.data, expected)
        self.cells[cell_of(step.frame, expected)] += 1

    def _compare_frames(self, before: bytes, after: bytes, expected: Outcome) -> None:
        if expected.counter == "neighbour_answered":
            assert after[:6] == before[6:12]
            return
        if expected.action != REDIRECT:
            assert after == before
            return
        to = next(
            pod for pod in self.pods.values() if expected.label.endswith(f"{pod.endpoint_id}")
        )
        at = 21 if before[12:14] == b"\x86\xdd" else 22
        wanted = bytearray(to.mac + to.host_mac + before[12:])
        wanted[at] -= 1
        if at == 22:
            header = slice(14, 14 + (before[14] & 15) * 4)
            assert (checksum(before[header]) == 0) <= (checksum(after[header]) == 0)
            wanted[24:26] = after[24:26]
        assert after == wanted

    def _forget(self, model: Model) -> None:
        """Take the ports of first fragments out of the programs' memory."""
        for source, destination, number, protocol in model.parts():
            ends = [
                each.packed if each.version == 6 else bytes(10) + b"\xff\xff" + each.packed
                for each in (source, destination)
            ]
            size = 4 if source.version == 6 else 2
            key = b"".join(ends) + number.to_bytes(size, "big").ljust(4, b"\0")
            key += struct.pack("=B3x", protocol)
            syscall.delete(self.bed.datapath._maps["fragments"], key)


def cell_of(frame: bytes, outcome: Outcome) -> Cell:
    kind = frame[12:14]
    family = {b"\x08\x00": "IPv4", b"\x86\xdd": "IPv6", b"\x08\x06": "ARP", b"\x81\x00": "tagged"}
    name = family.get(kind, "other")
    protocol = ""
    if name in ("IPv4", "IPv6"):
        try:
            number = read(frame).protocol
        except Refused:
            number = frame[23 if name == "IPv4" else 20]
        protocol = NAMES.get(number, "other")
    return name, protocol, outcome.label.partition(" of ")[0]


def table(cells: Counter[Cell]) -> str:
    lines = [f"{count:6} {' '.join(cell)}" for cell, count in sorted(cells.items())]
    return "\n".join([f"{sum(cells.values())} frames", *lines])


def missing(cells: Iterable[Cell]) -> list[Cell]:
    return sorted(set(required()) - set(cells))


def party(pod: Pod) -> Party:
    return Party(pod.name, pod.ipv4, pod.ipv6, pod.mac, pod.host_mac)


@pytest.mark.timeout(300)
def test_programs_do_what_a_slow_reading_says(policed: Bed) -> None:
    check = Check(policed)
    a, b = party(policed.a), party(policed.b)
    for steps in plain_talks(a, b):
        check.conversation(steps)

    @seed(0)
    @SETTINGS
    @given(conversations(a, b))
    def run(steps: list[Step]) -> None:
        check.conversation(steps)

    run()
    print(table(check.cells))
    assert missing(check.cells) == []


@pytest.mark.parametrize("version", [4, 6])
def test_a_tag_changes_nothing_but_what_is_told_of_it(policed: Bed, version: int) -> None:
    """Sent for real: the kernel takes the tag off before the program sees the frame."""
    check = Check(policed)
    pod = policed.a
    peers = (policed.b.address(version), SILENT_HOST if version == 4 else SILENT_HOST6)
    ports = (ALLOWED, DENIED, ONE_SIDED, ONE_SIDED + 1)
    for tag, (peer, protocol, port) in enumerate(product(peers, PORTED, ports), start=1):
        policed.clear_connections()
        frame = Frame(
            source=pod.address(version),
            destination=peer,
            protocol=protocol,
            source_port=4000,
            destination_port=port,
            flags=SYN,
            source_mac=pod.mac,
            destination_mac=pod.host_mac,
        )
        model = Model(tuple(check.places.values()), check.identities)
        expected = model.from_endpoint(check.places["a"], frame.encode())
        pod.send(frame.but(vlan=tag))
        events = policed.events(len(expected.events))
        assert [told(event) for event in events] == list(expected.events)
        assert {event.vlan for event in events} == {tag}
