"""Interfaces that are only observed: each packet told once, whoever speaks and wherever."""

import socket
import threading

import pytest

from observer.kernel.datapath import DatapathSettings
from observer.kernel.netns import inside
from tests.kernel.bridge import Box, Machine, Watch, settle
from tests.kernel.events import Event
from tests.kernel.frames import (
    ACK,
    ICMP,
    ICMPV6,
    SYN,
    TCP,
    Address,
)
from tests.kernel.namespaces import ip, netns_path
from tests.kernel.observing import EVERYWHERE, udp

pytestmark = pytest.mark.kernel
HOUR_NS = 3600 * 1_000_000_000


def family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def ask_and_answer(asking: socket.socket, answering: socket.socket, address: Address) -> None:
    """One datagram each way, between real stacks."""
    with asking, answering:
        for end in (asking, answering):
            end.settimeout(5)
        answering.bind((str(address), 0))
        asking.sendto(b"ask", answering.getsockname()[:2])
        _, sender = answering.recvfrom(64)
        answering.sendto(b"answer", sender)
        assert asking.recv(64) == b"answer"


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("devices", "told"),
    [
        (EVERYWHERE, ["from-endpoint new", "from-endpoint reply"]),
        (("va", "vb"), ["from-endpoint new", "from-endpoint reply"]),
        (("va",), ["from-endpoint new", "to-endpoint reply"]),
        (("vb",), ["to-endpoint new", "from-endpoint reply"]),
        (("br0", "up0"), []),
    ],
)
def test_neighbours_on_a_bridge(
    watch: Watch, devices: tuple[str, ...], told: list[str], version: int
) -> None:
    box = watch.box
    watch.on(*devices)
    asking = box.a.socket(family(version), socket.SOCK_DGRAM)
    answering = box.b.socket(family(version), socket.SOCK_DGRAM)
    ask_and_answer(asking, answering, box.b.address(version))
    assert watch.names(len(told)) == told


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("devices", "told"),
    [
        (EVERYWHERE, ["from-endpoint new", "from-network reply"]),
        (("va", "br0"), ["from-endpoint new", "from-host reply"]),
        (("va",), ["from-endpoint new", "to-endpoint reply"]),
        (("br0", "up0"), ["to-host new", "from-network reply"]),
        (("up0",), ["to-network new", "from-network reply"]),
    ],
)
def test_through_the_box(
    watch: Watch, devices: tuple[str, ...], told: list[str], version: int
) -> None:
    box = watch.box
    watch.on(*devices)
    asking = box.a.socket(family(version), socket.SOCK_DGRAM)
    answering = box.outside.socket(family(version), socket.SOCK_DGRAM)
    ask_and_answer(asking, answering, box.outside.address(version))
    assert watch.names(len(told)) == told


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("devices", "told"),
    [
        (EVERYWHERE, ["from-host new", "from-endpoint reply"]),
        (("va",), ["to-endpoint new", "from-endpoint reply"]),
        (("br0",), ["from-host new", "to-host reply"]),
    ],
)
def test_from_the_box_itself(
    watch: Watch, devices: tuple[str, ...], told: list[str], version: int
) -> None:
    box = watch.box
    watch.on(*devices)
    with inside(netns_path(box.netns)):
        asking = socket.socket(family(version), socket.SOCK_DGRAM)
    ask_and_answer(asking, box.a.socket(family(version), socket.SOCK_DGRAM), box.a.address(version))
    assert watch.names(len(told)) == told


def transfer(box: Box, version: int, size: int) -> None:
    """Send this much from a to b over TCP, and close both ends."""
    with box.b.socket(family(version), socket.SOCK_STREAM) as listener:
        listener.bind((str(box.b.address(version)), 0))
        listener.listen()
        listener.settimeout(10)
        client = box.a.socket(family(version), socket.SOCK_STREAM)
        client.settimeout(10)
        client.connect(listener.getsockname()[:2])
        server, _ = listener.accept()
    with client, server:
        server.settimeout(10)
        sender = threading.Thread(target=client.sendall, args=(bytes(size),))
        sender.start()
        left = size
        while left:
            left -= len(server.recv(1 << 16))
        sender.join()
        server.sendall(b"done")
        assert client.recv(4) == b"done"
        client.close()
        assert server.recv(1) == b""


def summed(events: list[Event], source: Machine, version: int) -> tuple[int, int]:
    """Packets and bytes that flows say this machine has sent."""
    at = slice(26, 30) if version == 4 else slice(22, 38)
    own = [e for e in events if e.packet[at] == source.address(version).packed]
    return sum(e.packets for e in own), sum(e.byte_count for e in own)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("devices", [EVERYWHERE, ("vb",)])
@pytest.mark.parametrize("per_packet", [False, True])
def test_flow_bytes_and_packets_are_those_of_the_interfaces(
    watch: Watch, devices: tuple[str, ...], version: int, per_packet: bool
) -> None:
    """GSO off, neighbours known: interfaces and flows count the same packets."""
    box = watch.box
    for machine in (box.a, box.b):
        ip("link", "set", "eth0", "gso_max_segs", "1", netns=machine.netns)
    try:
        watch.datapath.configure(DatapathSettings(per_packet=per_packet))
        watch.on(*devices)
        before = box.a.counters()
        link_before = watch.datapath.counters()["link_control"]
        transfer(box, version, 300_000)
        after = settled(box.a)
        assert watch.datapath.counters()["link_control"] == link_before
    finally:
        for machine in (box.a, box.b):
            ip("link", "set", "eth0", "gso_max_segs", "65535", netns=machine.netns)
    events = watch.all_events()
    sent, received = (summed(events, machine, version) for machine in (box.a, box.b))
    grown = {name: after[name] - before[name] for name in after}
    assert sent == (grown["tx_packets"], grown["tx_bytes"])
    assert received == (grown["rx_packets"], grown["rx_bytes"])
    assert sent[1] > 300_000


def settled(machine: Machine) -> dict[str, int]:
    """Counters once nothing is on its way any more: two looks with a round trip between."""
    last = machine.counters()
    while True:
        with machine.socket(socket.AF_UNIX, socket.SOCK_STREAM):
            now = machine.counters()
        if now == last:
            return now
        last = now


def test_the_handshake_is_timed(watch: Watch) -> None:
    watch.on(*EVERYWHERE)
    transfer(watch.box, 4, 10)
    events = watch.all_events()
    timed = {e.rtt_ns for e in events if e.rtt_ns}
    assert len(timed) == 1
    assert 1_000 < timed.pop() < 1_000_000_000


def test_samples_say_who_is_not_known_to_the_kernel(watch: Watch) -> None:
    watch.on("va")
    box = watch.box
    box.a.wire.send(udp(box.a, box.b).encode())
    box.b.received(1)
    [event] = watch.all_events()
    assert (event.source_identity, event.destination_identity, event.endpoint) == (0, 0, 0)
    assert event.ifindex == box.a.ifindex
    assert event.packet == udp(box.a, box.b).encode()


def test_what_a_quiet_connection_owes_is_told_with_its_place(watch: Watch) -> None:
    watch.datapath.configure(DatapathSettings(report_interval_ns=HOUR_NS))
    watch.on(*EVERYWHERE)
    box = watch.box
    box.b.forget()
    for _ in range(5):
        box.a.wire.send(udp(box.a, box.b).encode())
    box.b.received(5)
    first, rest = watch.all_events()
    assert (first.name, first.packets, first.swept) == ("from-endpoint new", 1, False)
    assert (rest.name, rest.packets, rest.swept) == ("from-endpoint established", 4, True)
    assert rest.ifindex == box.a.ifindex


@pytest.mark.parametrize("version", [4, 6])
def test_an_answer_seen_first_is_a_reply(watch: Watch, version: int) -> None:
    watch.on(*EVERYWHERE)
    box = watch.box
    box.b.forget()
    ask = udp(box.b, box.a, version)
    echo = {4: (ICMP, 0), 6: (ICMPV6, 129)}[version]
    for frame in (
        ask.reply(protocol=TCP, flags=SYN | ACK),
        ask.reply(protocol=echo[0], icmp_type=echo[1], icmp_id=7),
    ):
        box.a.wire.send(frame.encode())
    box.b.received(2)
    assert watch.names(2) == ["from-endpoint reply", "from-endpoint reply"]


@pytest.mark.parametrize("version", [4, 6])
def test_errors_are_related_and_told_once(watch: Watch, version: int) -> None:
    box = watch.box
    watch.on(*EVERYWHERE)
    with box.a.socket(family(version), socket.SOCK_DGRAM) as client:
        client.sendto(b"x", (str(box.b.address(version)), 9))
        # nobody listens there: b answers with port unreachable
        assert watch.names(2) == ["from-endpoint new", "from-endpoint related"]


def test_a_place_that_fell_silent_gives_way(watch: Watch) -> None:
    """The path stays, but the interface where packets counted is looked at no more."""
    watch.datapath.configure(DatapathSettings(per_packet=True))
    box = watch.box
    watch.on("va", "vb")
    frame = udp(box.a, box.b).encode()
    box.a.wire.send(frame)
    assert watch.names(1) == ["from-endpoint new"]
    watch.datapath.unobserve(box.a.ifindex)
    found: list[Event] = []

    def goes_on() -> bool:
        box.a.wire.send(frame)
        found.extend(watch.take())
        return bool(found)

    settle(goes_on)
    assert (found[0].name, found[0].ifindex) == ("to-endpoint established", box.b.ifindex)


def test_a_new_interface_before_the_old_one_counts_nothing_twice(watch: Watch) -> None:
    watch.datapath.configure(DatapathSettings(per_packet=True))
    box = watch.box
    frame = udp(box.a, box.b).encode()
    box.b.forget()
    watch.on("vb")
    for _ in range(10):
        box.a.wire.send(frame)
    box.b.received(10)
    watch.datapath.observe(box.a.ifindex, 0)  # type: ignore[arg-type]
    for _ in range(10):
        box.a.wire.send(frame)
    box.b.received(10)
    assert sum(event.packets for event in watch.all_events()) == 20
