"""Observed interfaces pass on every byte, whatever it is; full maps and removal cost nothing."""

import socket
import struct
import subprocess
from pathlib import Path

import pytest

from observer.kernel.netns import inside
from tests.kernel.bridge import Box, Machine, Watch, watching
from tests.kernel.frames import (
    ICMP,
    ICMPV6,
    RST,
    SCTP,
    SYN,
    TCP,
    UDP,
    arp,
)
from tests.kernel.namespaces import netns_path
from tests.kernel.observing import EVERYWHERE, GRE, udp

pytestmark = pytest.mark.kernel


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
