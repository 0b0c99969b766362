"""One packet, and the exact list of events that it gives."""

import pytest

from policy.entries import Direction
from tests.kernel.bed import OUTSIDE, OUTSIDE6, SILENT_HOST, SILENT_HOST6, WORLD, Bed, rule
from tests.kernel.frames import ACK, FIN, ICMP, ICMPV6, RST, SCTP, SYN, TCP, UDP, Address, Frame

pytestmark = pytest.mark.kernel


@pytest.fixture(params=["shared_bed", "clsact_bed"], ids=["tcx", "clsact"])
def bed(request: pytest.FixtureRequest) -> Bed:
    """What is told must not depend on how the programs are attached."""
    found: Bed = request.getfixturevalue(request.param)
    found.reset()
    return found


BOTH = pytest.mark.parametrize("version", [4, 6])


def outside(version: int) -> Address:
    return OUTSIDE if version == 4 else OUTSIDE6


def host(version: int) -> Address:
    return SILENT_HOST if version == 4 else SILENT_HOST6


def packet(bed: Bed, version: int, protocol: str) -> Frame:
    """The first packet from pod a to pod b."""
    base = Frame(
        source=bed.a.address(version),
        destination=bed.b.address(version),
        protocol=TCP,
        source_port=4000,
        destination_port=80,
    )
    match protocol:
        case "tcp":
            return base.but(flags=SYN)
        case "udp":
            return base.but(protocol=UDP, destination_port=53, payload=b"q" * 40)
        case "sctp":
            return base.but(protocol=SCTP, destination_port=99, payload=b"s" * 20)
        case _:
            number, kind = (ICMP, 8) if version == 4 else (ICMPV6, 128)
            return base.but(protocol=number, icmp_type=kind, icmp_id=77, payload=b"p" * 56)


@BOTH
@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp", "icmp"])
def test_pod_to_pod(bed: Bed, version: int, protocol: str) -> None:
    first = packet(bed, version, protocol)
    bed.a.send(first)
    [event] = bed.events(1)
    assert event.name == "to-endpoint new"
    assert (event.endpoint, event.destination_endpoint) == (bed.b.endpoint_id, bed.b.endpoint_id)
    assert (event.source_identity, event.destination_identity) == (bed.a.identity, bed.b.identity)
    assert event.ifindex == bed.b.ifindex
    assert event.ipv6 == (version == 6)
    sent = len(first.encode())
    assert (event.packets, event.byte_count, event.length) == (1, sent, sent)
    assert not any(event.tail)
    assert event.packet[:14] == bed.b.mac + bed.b.host_mac + first.encode()[12:14]

    bed.b.send(first.reply(flags=SYN | ACK if protocol == "tcp" else 0))
    answer = bed.events(1)[0]
    assert answer.name == "to-endpoint reply"
    assert answer.endpoint == bed.a.endpoint_id
    assert (answer.source_identity, answer.destination_identity) == (bed.b.identity, bed.a.identity)

    bed.a.send(first.but(flags=ACK if protocol == "tcp" else 0))
    bed.b.send(first.reply(flags=ACK if protocol == "tcp" else 0))
    bed.settle(lambda: bed.connections() == [] or bed.connections()[0]["packets"] == 4)
    assert bed.take() == []
    assert len(bed.connections()) == 1


@BOTH
def test_the_frame_arrives_with_one_hop_less(bed: Bed, version: int) -> None:
    first = packet(bed, version, "udp")
    bed.a.send(first)
    bed.events(1)
    [arrived] = bed.b.received()
    expected = first.but(ttl=63, source_mac=bed.b.host_mac, destination_mac=bed.b.mac)
    assert arrived == expected.encode()


@BOTH
@pytest.mark.parametrize("protocol", ["tcp", "udp", "icmp"])
def test_pod_to_outside_and_back(bed: Bed, version: int, protocol: str) -> None:
    first = packet(bed, version, protocol).but(destination=outside(version))
    bed.a.send(first)
    event = bed.events(1)[0]
    assert event.name == "to-stack new"
    assert (event.endpoint, event.destination_endpoint) == (bed.a.endpoint_id, 0)
    assert (event.source_identity, event.destination_identity) == (bed.a.identity, WORLD)

    bed.a.deliver(first.reply(flags=SYN | ACK if protocol == "tcp" else 0))
    answer = bed.events(1)[0]
    assert answer.name == "to-endpoint reply"
    assert (answer.endpoint, answer.destination_endpoint) == (bed.a.endpoint_id, bed.a.endpoint_id)
    assert (answer.source_identity, answer.destination_identity) == (WORLD, bed.a.identity)


@BOTH
def test_used_up_hops_are_answered_by_the_stack(bed: Bed, version: int) -> None:
    bed.enforce(bed.a, ingress=True)  # the answer passes since it speaks of a connection
    bed.a.send(packet(bed, version, "udp").but(ttl=1))
    first, answer = bed.events(2)
    assert first.name == "to-stack new"
    assert answer.name == "to-endpoint related"
    assert (answer.endpoint, answer.source_identity) == (bed.a.endpoint_id, 1)
    assert (answer.packets, answer.byte_count) == (1, answer.length)


@BOTH
@pytest.mark.parametrize("protocol", ["tcp", "udp", "icmp"])
def test_stack_to_pod_and_back(bed: Bed, version: int, protocol: str) -> None:
    first = packet(bed, version, protocol).but(source=host(version))
    bed.b.deliver(first)
    event = bed.events(1)[0]
    assert event.name == "to-endpoint new"
    assert (event.endpoint, event.source_identity) == (bed.b.endpoint_id, 1)
    bed.b.send(first.reply(flags=SYN | ACK if protocol == "tcp" else 0))
    answer = bed.events(1)[0]
    assert answer.name == "to-stack reply"
    assert (answer.endpoint, answer.destination_endpoint) == (bed.b.endpoint_id, 0)
    assert (answer.source_identity, answer.destination_identity) == (bed.b.identity, 1)


@BOTH
def test_denied_at_ingress(bed: Bed, version: int) -> None:
    bed.enforce(bed.b, ingress=True)
    first = packet(bed, version, "tcp")
    bed.a.send(first)
    verdict, drop = bed.events(2)
    assert verdict.name == "verdict ingress -133"
    assert (verdict.endpoint, verdict.remote, verdict.port) == (
        bed.b.endpoint_id,
        bed.a.identity,
        80,
    )
    assert (verdict.match, verdict.protocol) == (0, TCP)
    assert drop.name == "drop 133"
    assert (drop.endpoint, drop.destination_endpoint) == (bed.b.endpoint_id, bed.b.endpoint_id)
    assert (drop.source_identity, drop.destination_identity) == (bed.a.identity, bed.b.identity)
    assert (drop.packets, drop.byte_count) == (1, len(first.encode()))
    assert drop.file == 202
    assert drop.line > 0
    assert bed.b.received() == []
    assert bed.connections() == []


@BOTH
def test_denied_at_egress(bed: Bed, version: int) -> None:
    bed.enforce(bed.a, egress=True)
    bed.rules(bed.a, rule(Direction.EGRESS, identity=bed.b.identity, deny=True, cookie=9))
    bed.a.send(packet(bed, version, "udp"))
    verdict, drop = bed.events(2)
    assert verdict.name == "verdict egress -181"
    assert (verdict.endpoint, verdict.remote, verdict.cookie) == (
        bed.a.endpoint_id,
        bed.b.identity,
        9,
    )
    assert verdict.match == 1
    assert drop.name == "drop 181"
    assert (drop.endpoint, drop.destination_endpoint, drop.rule_cookie) == (bed.a.endpoint_id, 0, 9)


@BOTH
def test_allowed_in_both_directions(bed: Bed, version: int) -> None:
    bed.enforce(bed.a, egress=True)
    bed.enforce(bed.b, ingress=True)
    bed.rules(bed.a, rule(Direction.EGRESS, cookie=3))
    bed.rules(
        bed.b, rule(Direction.INGRESS, identity=bed.a.identity, protocol=TCP, port=80, cookie=4)
    )
    first = packet(bed, version, "tcp")
    bed.a.send(first)
    out, into, trace = bed.events(3)
    assert (out.name, out.endpoint, out.match, out.cookie) == (
        "verdict egress allowed",
        bed.a.endpoint_id,
        4,
        3,
    )
    assert (into.name, into.endpoint, into.match, into.cookie) == (
        "verdict ingress allowed",
        bed.b.endpoint_id,
        2,
        4,
    )
    assert trace.name == "to-endpoint new"
    # replies and further packets are not judged again
    bed.b.send(first.reply(flags=SYN | ACK))
    assert bed.names(1) == ["to-endpoint reply"]
    bed.a.send(first.but(flags=ACK))
    bed.a.send(first.but(flags=ACK | FIN))
    assert bed.names(1) == ["to-endpoint established"]


@BOTH
def test_the_host_always_reaches_its_pods(bed: Bed, version: int) -> None:
    bed.enforce(bed.b, ingress=True)
    bed.b.deliver(packet(bed, version, "udp").but(source=host(version)))
    assert [event.name for event in bed.take()[:2]] == [
        "verdict ingress allowed",
        "to-endpoint new",
    ]


@BOTH
def test_denied_from_the_stack(bed: Bed, version: int) -> None:
    bed.enforce(bed.b, ingress=True)
    bed.b.deliver(packet(bed, version, "udp").but(source=outside(version)))
    assert bed.names(2) == ["verdict ingress -133", "drop 133"]


@BOTH
def test_foreign_source_address(bed: Bed, version: int) -> None:
    bed.a.send(packet(bed, version, "udp").but(source=outside(version)))
    event = bed.events(1)[0]
    assert (event.name, event.endpoint, event.source_identity) == (
        "drop 132",
        bed.a.endpoint_id,
        bed.a.identity,
    )


@BOTH
def test_a_change_of_policy_ends_the_original_direction(bed: Bed, version: int) -> None:
    bed.enforce(bed.b, ingress=True)
    bed.rules(bed.b, rule(Direction.INGRESS, identity=bed.a.identity, cookie=4))
    first = packet(bed, version, "tcp")
    bed.a.send(first)
    bed.b.send(first.reply(flags=SYN | ACK))
    bed.events(3)
    bed.rules(bed.b, rule(Direction.INGRESS, identity=999, cookie=4))
    bed.b.send(first.reply(flags=ACK))  # a reply passes while the entry lives
    bed.settle(lambda: bed.connections()[0]["packets"] == 3)
    bed.a.send(first.but(flags=ACK))
    assert bed.names(2) == ["verdict ingress -133", "drop 133"]
    # from now on the replies are packets of their own
    bed.enforce(bed.a, ingress=True)
    bed.b.send(first.reply(flags=ACK))
    assert bed.names(2) == ["verdict ingress -133", "drop 133"]


def test_a_change_that_still_allows_is_silent(bed: Bed) -> None:
    bed.enforce(bed.b, ingress=True)
    bed.rules(bed.b, rule(Direction.INGRESS, identity=bed.a.identity, cookie=4))
    first = packet(bed, 4, "tcp")
    bed.a.send(first)
    bed.events(2)
    bed.rules(bed.b, rule(Direction.INGRESS, cookie=5))
    bed.a.send(first.but(flags=ACK))
    bed.settle(lambda: bed.connections()[0]["packets"] == 2)
    assert bed.take() == []


def test_a_port_used_again_is_a_new_connection(bed: Bed) -> None:
    first = packet(bed, 4, "tcp")
    for flags in (SYN, ACK, RST):
        bed.a.send(first.but(flags=flags))
    assert bed.names(2) == ["to-endpoint new", "to-endpoint established"]
    bed.a.send(first)
    event = bed.events(1)[0]
    assert (event.name, event.packets) == ("to-endpoint new", 1)
    assert len(bed.connections()) == 1
