"""Debug messages of real packets: the steps in order, and nothing at all while it is off."""

from ipaddress import IPv6Address
from itertools import pairwise

import pytest

from observer.kernel.datapath import DatapathSettings
from policy.entries import Direction
from tests.kernel.bed import Bed, rule
from tests.kernel.events import Event
from tests.kernel.frames import ICMP, ICMPV6, SYN, TCP, UDP, Frame, solicitation

pytestmark = pytest.mark.kernel

DELIVERY, DENIED, SOLICITATION, VERDICT, TO_STACK = 2, 5, 13, 15, 20
LOOKUP = {4: (48, 49), 6: (51, 52)}
CREATED = {4: 50, 6: 53}
NEW, REPLY, RELATED = 0, 2, 3


@pytest.fixture
def bed(shared_bed: Bed) -> Bed:
    shared_bed.reset()
    shared_bed.datapath.configure(DatapathSettings(debug=True))
    return shared_bed


def first_packet(bed: Bed, version: int) -> Frame:
    return Frame(
        source=bed.a.address(version),
        destination=bed.b.address(version),
        protocol=TCP,
        source_port=4000,
        destination_port=80,
        flags=SYN,
    )


def messages(events: list[Event]) -> list[tuple[int, int]]:
    """Type of each message and its endpoint."""
    return [(event.subtype, event.endpoint) for event in events if event.kind == "debug"]


@pytest.mark.parametrize("version", [4, 6])
def test_the_steps_of_a_connection(bed: Bed, version: int) -> None:
    first = first_packet(bed, version)
    bed.a.send(first)
    events = bed.events(6)
    a, b = bed.a.endpoint_id, bed.b.endpoint_id
    lookup = [(kind, a) for kind in LOOKUP[version]]
    assert messages(events) == [*lookup, (VERDICT, a), (CREATED[version], a), (DELIVERY, a)]
    assert events[-1].name == "to-endpoint new"
    ends, way, verdict, created, delivery, _ = events
    last = [
        int.from_bytes(each.packed[-4:], "little") for each in (first.source, first.destination)
    ]
    assert ends.arguments == (*last, 4000 << 16 | 80)
    assert way.arguments == (TCP << 8, 0, 0)
    assert verdict.arguments == (NEW, 0, 0)
    assert created.arguments == (0, bed.a.identity, 0)
    assert delivery.arguments == (b, bed.a.identity, 0)
    assert not any(ends.tail)
    assert len({event.mark for event in events}) == 1

    bed.b.send(first.reply(flags=0x12))
    events = bed.events(5)
    assert messages(events) == [
        *((kind, b) for kind in LOOKUP[version]),
        (VERDICT, b),
        (DELIVERY, b),
    ]
    assert events[2].arguments == (REPLY, 0, 0)


@pytest.mark.parametrize("version", [4, 6])
def test_a_denial(bed: Bed, version: int) -> None:
    bed.enforce(bed.b, ingress=True)
    bed.rules(bed.b, rule(Direction.INGRESS, identity=999))
    bed.a.send(first_packet(bed, version))
    events = bed.events(6)
    assert [event.name for event in events[3:]] == [
        "verdict ingress -133",
        f"debug {DENIED}",
        "drop 133",
    ]
    assert events[4].endpoint == bed.b.endpoint_id
    assert events[4].arguments == (bed.a.identity, bed.b.identity, 0)


@pytest.mark.parametrize("version", [4, 6])
def test_an_error_is_related(bed: Bed, version: int) -> None:
    first = first_packet(bed, version).but(protocol=UDP)
    bed.a.send(first)
    bed.events(6)
    protocol, kind = (ICMP, 3) if version == 4 else (ICMPV6, 1)
    bed.b.send(first.reply(protocol=protocol, icmp_type=kind, payload=first.encode()[14:]))
    events = bed.events(5)
    assert events[1].arguments == (protocol << 8 | 2, 0, 0)
    assert events[2].arguments == (RELATED, 0, 0)
    assert events[-1].name == "to-endpoint related"


def test_to_the_stack_and_from_it(bed: Bed) -> None:
    first = first_packet(bed, 4)
    bed.b.deliver(first)
    events = bed.events(6)
    assert messages(events)[-1] == (DELIVERY, bed.b.endpoint_id)
    assert events[1].arguments == (TCP << 8, 1, 0)
    bed.b.send(first.reply(flags=0x12))
    # the stack hands it on to pod a, whose endpoint sees it as well
    told = [event for event in bed.take() if event.kind == "debug"]
    to_stack = next(event for event in told if event.subtype == TO_STACK)
    assert (to_stack.endpoint, to_stack.arguments) == (bed.b.endpoint_id, (1, 0, 0))


def test_a_solicitation(bed: Bed) -> None:
    wanted = IPv6Address("fd00:244:1::77")
    bed.a.send(solicitation(source=str(bed.a.ipv6), target=str(wanted), mac=bed.a.mac).encode())
    [event] = bed.events(1)
    assert (event.subtype, event.endpoint) == (SOLICITATION, bed.a.endpoint_id)
    assert event.arguments == (0xFD000244, 0x77, 0)


def test_off_there_is_nothing_and_on_each_is_counted(bed: Bed) -> None:
    counts = [bed.datapath.counters()["produced_debug"]]
    for debug in (False, True, False):
        bed.clear_connections()
        bed.datapath.configure(DatapathSettings(debug=debug))
        bed.a.send(first_packet(bed, 4))
        found = bed.events(6 if debug else 1)
        assert len(messages(found)) == (5 if debug else 0)
        counts.append(bed.datapath.counters()["produced_debug"])
    assert [after - before for before, after in pairwise(counts)] == [0, 5, 0]
