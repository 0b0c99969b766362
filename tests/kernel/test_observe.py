"""Interfaces that are only observed: each packet told once, none touched, whatever it is."""

import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from observer.kernel.datapath import Attach, DatapathSettings
from observer.kernel.netns import inside
from tests.kernel.bed import ip, netns_path, remove_leftovers
from tests.kernel.bridge import Box, Machine, Watch, make_box, settle, watching
from tests.kernel.events import Event
from tests.kernel.frames import (
    ACK,
    ICMP,
    ICMPV6,
    RST,
    SCTP,
    SYN,
    TCP,
    UDP,
    Address,
    Frame,
    arp,
)

pytestmark = pytest.mark.kernel

EVERYWHERE = ("va", "vb", "br0", "up0")
HOUR_NS = 3600 * 1_000_000_000
GRE = 47


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    remove_leftovers()
    with make_box() as box:
        yield box


@pytest.fixture(scope="module")
def loaded(box: Box) -> Iterator[Watch]:
    with watching(box) as watch:
        yield watch


@pytest.fixture
def watch(loaded: Watch) -> Watch:
    loaded.reset()
    return loaded


@pytest.fixture(scope="module")
def loaded_by_clsact(box: Box) -> Iterator[Watch]:
    with watching(box, name="c", attach=Attach.CLSACT) as watch:
        yield watch


@pytest.fixture(params=["tcx", "clsact"])
def either_watch(request: pytest.FixtureRequest) -> Iterator[Watch]:
    """As `watch`, attached in both ways."""
    name = {"tcx": "loaded", "clsact": "loaded_by_clsact"}[request.param]
    found: Watch = request.getfixturevalue(name)
    found.reset()
    yield found
    found.reset()


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


def udp(source: Machine, destination: Machine, version: int = 4) -> Frame:
    """A frame that nobody answers."""
    return Frame(
        source=source.address(version),
        destination=destination.silent(version),
        protocol=UDP,
        source_port=4000,
        destination_port=53,
        payload=b"x" * 20,
        source_mac=source.mac,
        destination_mac=destination.mac,
    )


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


def odd_frames(box: Box, to: Machine, mac: bytes, version: int) -> list[bytes]:
    """All sorts of things from a: well-formed, broken, tagged, in fragments, of no IP at all."""
    plain = udp(box.a, to, version).but(destination_mac=mac)
    tcp = plain.but(protocol=TCP, flags=SYN)
    whole = plain.encode()
    ip_at = 14
    frames = [
        plain,
        plain.but(payload=b"y" * 1400),
        tcp,
        tcp.but(flags=RST),
        tcp.but(l4=struct.pack("!HHIIBBHHH", 1, 2, 3, 4, 0x10, SYN, 5, 6, 7)),
        plain.but(protocol=SCTP),
        plain.but(protocol=GRE, l4=b"\0\0\x08\0" + bytes(20)),
        plain.but(protocol=GRE, l4=b""),
        plain.but(ttl=1 if to is box.b else 2),
        plain.but(fragment=(9, 0, True), payload=b"z" * 16),
        plain.but(fragment=(9, 24, False), l4=b"z" * 24),
        plain.but(fragment=(10, 24, False), l4=b"z" * 24),
        plain.but(protocol=UDP, l4=b"\1\2\3"),
        plain.but(source_port=5, vlan=12) if to is box.b else plain.but(source_port=5),
    ]
    if version == 4:
        frames += [
            plain.but(options=b"\x94\x04\0\0"),
            plain.but(protocol=ICMP, icmp_type=8, icmp_id=3),
        ]
    else:
        frames += [
            plain.but(extension=60, options=b"\0" + bytes(6)),
            plain.but(protocol=ICMPV6, icmp_type=128, icmp_id=3),
        ]
    encoded = [frame.encode() for frame in frames]
    if to is box.b:  # no router would pass these on
        encoded += [
            whole[:ip_at] + bytes([0xF5]) + whole[ip_at + 1 :],
            whole[:ip_at] + bytes([whole[ip_at] & 0xF0]) + whole[ip_at + 1 :],
            whole[:-10],
            whole[:20],
            mac + box.a.mac + b"\x88\xb5" + bytes(60),
            mac + box.a.mac + b"\0\x10" + bytes(46),
            mac + box.a.mac + b"\x81\0\0\7\x81\0\0\x08" + whole[12:],
            arp(1, sender="10.9.0.2", sender_mac=box.a.mac, target="10.9.0.77"),
            b"\xff" * 6 + whole[6:],
        ]
    return encoded


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("to", ["b", "outside"])
def test_what_arrives_is_byte_for_byte_the_same(either_watch: Watch, to: str, version: int) -> None:
    watch, box = either_watch, either_watch.box
    receiver = box.b if to == "b" else box.outside
    mac = box.b.mac if to == "b" else box.host_mac
    script = odd_frames(box, receiver, mac, version)

    def play() -> list[tuple[bytes, int]]:
        receiver.forget()
        for frame in script:
            box.a.wire.send(frame)
        return receiver.received(len(script))

    without = play()
    watch.on(*EVERYWHERE)
    before = watch.datapath.counters()
    assert play() == without
    after = watch.datapath.counters()
    assert after["dropped"] == before["dropped"]
    told = sum(event.packets for event in watch.all_events())
    assert told >= 12
    if to == "b":  # nobody on the way writes into them
        assert {frame[-20:] for frame, _ in without} == {frame[-20:] for frame in script}


def test_frames_of_no_ip_are_counted_not_told(watch: Watch) -> None:
    watch.on("va")
    box = watch.box
    box.b.forget()
    before = watch.datapath.counters()
    for frame in (
        box.b.mac + box.a.mac + b"\x88\xb5" + bytes(60),
        udp(box.a, box.b).encode()[:20],
        arp(2, sender="10.9.0.2", sender_mac=box.a.mac, target="10.9.0.3"),
    ):
        box.a.wire.send(frame)
    box.b.received(3)
    after = watch.datapath.counters()
    assert after["unreadable"] == before["unreadable"] + 2
    assert after["link_control"] == before["link_control"] + 1
    assert watch.all_events() == []


def test_packets_without_ports_go_by_address_and_protocol(watch: Watch) -> None:
    watch.on(*EVERYWHERE)
    box = watch.box
    box.b.forget()
    tunnel = udp(box.a, box.b).but(protocol=GRE, l4=bytes(24))
    lost_first = udp(box.a, box.b).but(fragment=(77, 64, False), l4=bytes(24))
    for frame in (tunnel, tunnel, lost_first):
        box.a.wire.send(frame.encode())
    box.b.received(3)
    events = watch.all_events()
    assert sum(event.packets for event in events) == 3
    assert {event.packet[23] for event in events} == {GRE, UDP}


def test_a_filter_behind_ours_still_runs(either_watch: Watch) -> None:
    """The same programs again, as a filter of somebody else's: they count on their own."""
    watch, box = either_watch, either_watch.box
    with watching(box, name="z") as behind:
        for hook, program in (("ingress", "from_endpoint"), ("egress", "to_endpoint")):
            add_filter(box, "va", hook, pinned(box, "z", program))
        try:
            watch.on("va")
            box.b.forget()
            for frame in odd_frames(box, box.b, box.b.mac, 4)[:5]:
                box.a.wire.send(frame)
            box.b.received(5)
            box.a.forget()
            box.b.wire.send(udp(box.b, box.a).encode())
            box.a.received(1)
            ours, theirs = watch.datapath.counters(), behind.datapath.counters()
        finally:
            remove_filters(box, "va")
    for name in ("to_stack", "to_endpoint", "unreadable"):
        assert ours[name] >= theirs[name] > 0


def pinned(box: Box, name: str, program: str) -> Path:
    [found] = Path("/sys/fs/bpf/leavitt", f"{box.netns}{name}").glob(f"*/progs/{program}")
    return found


def add_filter(box: Box, device: str, hook: str, program: Path) -> None:
    with inside(netns_path(box.netns)):
        subprocess.run(["tc", "qdisc", "replace", "dev", device, "clsact"], check=True)
        subprocess.run(
            ["tc", "filter", "add", "dev", device, hook, "prio", "9", "bpf", "da", "pinned",
             program], check=True,
        )  # fmt: skip


def remove_filters(box: Box, device: str) -> None:
    with inside(netns_path(box.netns)):
        subprocess.run(["tc", "qdisc", "del", "dev", device, "clsact"], check=True)


def test_a_full_map_loses_events_but_no_packet(watch: Watch) -> None:
    watch.on("va", "vb")
    box = watch.box
    box.b.wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    box.b.forget()
    before = watch.datapath.counters()["untracked"]
    for port in range(1, 1200):
        box.a.wire.send(udp(box.a, box.b).but(source_port=port).encode())
    box.b.received(1199)
    assert watch.datapath.counters()["untracked"] > before
    told = watch.all_events()
    assert 1000 <= sum(event.packets for event in told) < 1199
    assert {event.name for event in told} == {"from-endpoint new"}


def test_removed_programs_leave_nothing(box: Box) -> None:
    with watching(box, name="y") as watch:
        watch.on(*EVERYWHERE)
        folder = Path("/sys/fs/bpf/leavitt", f"{box.netns}y")
        assert folder.exists()
    assert not folder.exists()
    box.b.forget()
    box.a.wire.send(udp(box.a, box.b).encode())
    box.b.received(1)
