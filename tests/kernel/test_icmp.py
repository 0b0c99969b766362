"""ICMP and ICMPv6: what belongs together, and which errors pass by the packet they speak of."""

import pytest

from observer.kernel.datapath import DatapathSettings
from policy.entries import Direction
from tests.kernel.bed import OUTSIDE, OUTSIDE6, Bed, rule
from tests.kernel.frames import ICMP, ICMPV6, SYN, TCP, UDP, Frame

pytestmark = pytest.mark.kernel

ERRORS = [(4, 3), (4, 11), (4, 12), (6, 1), (6, 2), (6, 3), (6, 4)]
QUESTIONS = [(4, 8), (4, 13), (4, 15), (4, 17), (4, 42), (6, 128), (6, 139), (6, 160)]
FIRST_ANSWERS = {8: 0}
SPEECHES = [(4, 5), (4, 9), (4, 255), (6, 137), (6, 200)]
"""Types that neither ask nor answer nor speak of another packet."""


@pytest.fixture
def bed(shared_bed: Bed) -> Bed:
    shared_bed.reset()
    return shared_bed


def message(bed: Bed, version: int, kind: int, **changes: object) -> Frame:
    """A message from pod a to pod b."""
    return Frame(
        source=bed.a.address(version),
        destination=bed.b.address(version),
        protocol=ICMP if version == 4 else ICMPV6,
        icmp_type=kind,
    ).but(**changes)


def error_about(frame: Frame, kind: int) -> Frame:
    """The error that the receiver of a frame sends back."""
    protocol = ICMP if frame.source.version == 4 else ICMPV6
    return frame.reply(protocol=protocol, icmp_type=kind, payload=frame.encode()[14:], l4=None)


def closed(bed: Bed) -> None:
    """Pod a gets nothing that it did not ask for, and what it may send is no matter."""
    bed.enforce(bed.a, ingress=True)


@pytest.mark.parametrize(("version", "kind"), QUESTIONS)
def test_answers_belong_to_the_question(bed: Bed, version: int, kind: int) -> None:
    closed(bed)
    ask = message(bed, version, kind, icmp_id=7)
    bed.a.send(ask)
    assert bed.names(1) == ["to-endpoint new"]
    answer = FIRST_ANSWERS.get(kind, kind + 1)
    bed.b.send(ask.reply(icmp_type=answer))
    assert bed.names(1) == ["to-endpoint reply"]
    assert len(bed.connections()) == 1
    # another id answers nothing that was asked
    bed.b.send(ask.reply(icmp_type=answer, icmp_id=8))
    assert bed.names(2) == ["verdict ingress -133", "drop 133"]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("number", [0, 7])
def test_who_was_asked_may_not_ask_back(bed: Bed, version: int, number: int) -> None:
    closed(bed)
    ask = message(bed, version, 8 if version == 4 else 128, icmp_id=number)
    bed.a.send(ask)
    bed.events(1)
    back = ask.reply(icmp_type=ask.icmp_type)
    bed.b.send(back)
    assert bed.names(2) == ["verdict ingress -133", "drop 133"]


@pytest.mark.parametrize(("version", "kind"), SPEECHES)
def test_what_asks_nothing_has_no_reply(bed: Bed, version: int, kind: int) -> None:
    """Each type and code of each sender is for itself: nothing passes since another did."""
    closed(bed)
    said = message(bed, version, kind)
    bed.a.send(said)
    bed.a.send(said.but(icmp_code=1))
    assert bed.names(2) == ["to-endpoint new", "to-endpoint new"]
    assert len(bed.connections()) == 2
    bed.a.send(said)
    bed.settle(lambda: sum(each["packets"] for each in bed.connections()) == 3)
    assert bed.take() == []
    bed.b.send(said.reply(icmp_type=kind))
    assert bed.names(2) == ["verdict ingress -133", "drop 133"]


@pytest.mark.parametrize("version", [4, 6])
def test_a_question_opens_nothing_for_other_types(bed: Bed, version: int) -> None:
    closed(bed)
    ask = message(bed, version, 8 if version == 4 else 128)
    bed.a.send(ask)
    bed.events(1)
    for kind in (5, 9, 14) if version == 4 else (137, 140, 200):
        bed.b.send(ask.reply(icmp_type=kind))
        assert bed.names(2) == ["verdict ingress -133", "drop 133"]


@pytest.mark.parametrize(("version", "kind"), ERRORS)
@pytest.mark.parametrize("inner", ["tcp", "udp", "echo"])
def test_errors_pass_by_the_packet_they_speak_of(
    bed: Bed, version: int, kind: int, inner: str
) -> None:
    closed(bed)
    ports = {"source_port": 4000, "destination_port": 80, "payload": b"x" * 8}
    first = {
        "tcp": message(bed, version, 0, protocol=TCP, flags=SYN, **ports),
        "udp": message(bed, version, 0, protocol=UDP, **ports),
        "echo": message(bed, version, 8 if version == 4 else 128, icmp_id=9),
    }[inner]
    bed.a.send(first)
    bed.events(1)
    error = error_about(first, kind)
    bed.b.send(error)
    [event] = bed.events(1)
    assert event.name == "to-endpoint related"
    assert (event.endpoint, event.packets) == (bed.a.endpoint_id, 1)
    assert (event.source_identity, event.destination_identity) == (bed.b.identity, bed.a.identity)
    assert event.byte_count == len(error.encode())
    # it is no answer: what the connection has sent and got is as before
    assert [each["packets"] for each in bed.connections()] == [1]


@pytest.mark.parametrize(("version", "kind"), ERRORS)
def test_errors_about_nothing_are_judged(bed: Bed, version: int, kind: int) -> None:
    closed(bed)
    first = message(bed, version, 0, protocol=UDP, source_port=4000, destination_port=80)
    bed.b.send(error_about(first, kind))
    assert bed.names(2) == ["verdict ingress -133", "drop 133"]
    assert bed.connections() == []


@pytest.mark.parametrize("version", [4, 6])
def test_errors_about_others_packets_are_judged(bed: Bed, version: int) -> None:
    """What goes to another than the sender of the packet could carry anything."""
    closed(bed)
    outside = OUTSIDE if version == 4 else OUTSIDE6
    first = message(bed, version, 0, protocol=UDP, source_port=4000, destination_port=80)
    bed.a.send(first)
    bed.events(1)
    about_reply = error_about(first.reply(), 3 if version == 4 else 1)
    for error in (
        about_reply.but(source=bed.b.address(version), destination=bed.a.address(version)),
        error_about(first.but(source=outside), 3 if version == 4 else 1).but(
            destination=bed.a.address(version)
        ),
    ):
        bed.b.send(error)
        assert bed.names(2) == ["verdict ingress -133", "drop 133"]


@pytest.mark.parametrize("version", [4, 6])
def test_errors_about_a_refused_connection_are_judged(bed: Bed, version: int) -> None:
    closed(bed)
    bed.enforce(bed.b, ingress=True)
    bed.rules(bed.b, rule(Direction.INGRESS, cookie=3))
    first = message(bed, version, 0, protocol=UDP, source_port=4000, destination_port=80)
    bed.a.send(first)
    bed.events(2)
    bed.rules(bed.b)
    bed.a.send(first)
    assert bed.names(2) == ["verdict ingress -133", "drop 133"]
    bed.b.send(error_about(first, 3 if version == 4 else 1))
    assert bed.names(2) == ["verdict ingress -133", "drop 133"]


@pytest.mark.parametrize("version", [4, 6])
def test_an_error_about_what_the_stack_sent_goes_back_there(bed: Bed, version: int) -> None:
    """Pod b's answer to a packet that came through the stack, though pod a is on this node."""
    first = message(bed, version, 0, protocol=UDP, source_port=4000, destination_port=80)
    bed.b.deliver(first)
    assert bed.names(1) == ["to-endpoint new"]
    bed.datapath.configure(DatapathSettings(per_packet=True))
    error = error_about(first, 3 if version == 4 else 1)
    bed.b.send(error)
    # the stack delivers it to pod a, where it is the same error
    assert bed.names(2) == ["to-stack related", "to-endpoint related"]
