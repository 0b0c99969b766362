"""Real sockets between real stacks: neighbours are found, sums agree, quiet pods are quiet."""

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from observer.kernel.datapath import DatapathSettings
from observer.kernel.netns import inside
from policy.entries import Direction
from tests.kernel.bed import HOST, HOST6, OUTSIDE, OUTSIDE6, Bed, make_bed, rule
from tests.kernel.events import Event
from tests.kernel.namespaces import ip, netns_path

pytestmark = pytest.mark.kernel

TCP_INFO_SEGMENTS = 136  # struct tcp_info: tcpi_segs_out, tcpi_segs_in
LINK_TYPES = frozenset({*range(130, 138), 143})


@pytest.fixture(scope="module")
def talking_bed() -> Iterator[Bed]:
    with make_bed(mute=False) as bed:
        yield bed


@pytest.fixture
def talking(talking_bed: Bed) -> Bed:
    talking_bed.reset()
    return talking_bed


def family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def exchange(bed: Bed, version: int, *, size: int = 0) -> tuple[socket.socket, socket.socket]:
    """Connect pod a to pod b and send `size` bytes; both ends, still open."""
    with bed.b.socket(family(version), socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(bed.b.address(version)), 0))
        listener.listen()
        listener.settimeout(10)
        client = bed.a.socket(family(version), socket.SOCK_STREAM)
        client.settimeout(10)
        client.connect(listener.getsockname()[:2])
        server, _ = listener.accept()
    server.settimeout(10)
    sender = threading.Thread(target=client.sendall, args=(bytes(size),))
    sender.start()
    left = size
    while left:
        left -= len(server.recv(1 << 16))
    sender.join()
    server.sendall(b"done")
    assert client.recv(4) == b"done"
    return client, server


def all_events(bed: Bed) -> list[Event]:
    """Events of everything so far: what connections owe is swept out first."""
    found = bed.take()
    bed.datapath.configure(DatapathSettings(tcp_idle_timeout_ns=0, closed_timeout_ns=0))
    while bed.connections():
        bed.datapath.sweep(4096)
    return found + bed.take()


@pytest.mark.parametrize("version", [4, 6])
def test_tcp_between_pods(talking: Bed, version: int) -> None:
    bed = talking
    bed.enforce(bed.b, ingress=True)
    bed.rules(bed.b, rule(Direction.INGRESS, identity=bed.a.identity, cookie=1))
    for end in exchange(bed, version):
        end.close()
    events = [event for event in all_events(bed) if not event.swept]
    assert [event.name for event in events[:3]] == [
        "verdict ingress allowed",
        "to-endpoint new",
        "to-endpoint reply",
    ]
    assert not [event for event in events if event.kind == "drop"]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("peer", ["host", "outside"])
def test_udp_with_the_host_and_the_outside(talking: Bed, version: int, peer: str) -> None:
    bed = talking
    known = {"host": (HOST, HOST6), "outside": (OUTSIDE, OUTSIDE6)}
    address = known[peer][version == 6]
    where = bed.node if peer == "host" else f"{bed.node}-o"
    with inside(netns_path(where)):
        server = socket.socket(family(version), socket.SOCK_DGRAM)
    with server, bed.a.socket(family(version), socket.SOCK_DGRAM) as client:
        server.bind((str(address), 0))
        for end in (server, client):
            end.settimeout(5)
        client.sendto(b"ask", server.getsockname()[:2])
        _, sender = server.recvfrom(64)
        server.sendto(b"answer", sender)
        assert client.recv(64) == b"answer"
    assert bed.names(2) == ["to-stack new", "to-endpoint reply"]


@pytest.mark.parametrize("version", [4, 6])
def test_flow_bytes_and_packets_are_those_of_the_interface(talking: Bed, version: int) -> None:
    """GSO off: what the pod's interface counts is what flows sum up to, link talk aside."""
    bed = talking
    ends = [(pod.netns, "eth0") for pod in (bed.a, bed.b)]
    for netns, device in ends:
        ip("link", "set", device, "gso_max_segs", "1", netns=netns)
    try:
        # Neighbours are known now. These stay open: what ends them late would be counted below.
        greeted = exchange(bed, version)
        bed.clear_connections()
        bed.take()
        bed.a.received()
        bed.a.inner.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        before = counted(bed)
        client, server = exchange(bed, version, size=300_000)
        after = counted(bed)
        events = [e for e in all_events(bed) if e.kind == "trace"]
        link_packets, link_bytes = link_talk(bed)
        for end in (*greeted, client, server):
            end.close()
    finally:
        for netns, device in ends:
            ip("link", "set", device, "gso_max_segs", "65535", netns=netns)
    sent = [e for e in events if e.source_identity == bed.a.identity]
    assert sum(e.packets for e in sent) == after[0] - before[0] - link_packets
    assert sum(e.byte_count for e in sent) == after[1] - before[1] - link_bytes
    assert sum(e.byte_count for e in sent) > 300_000


def counted(bed: Bed) -> tuple[int, int]:
    """Packets and bytes that pod a's interface has sent, as its kernel counts."""
    with inside(netns_path(bed.a.netns)):
        lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
    words = next(line for line in lines if line.strip().startswith("eth0:")).split(":")[1].split()
    return int(words[9]), int(words[8])


def link_talk(bed: Bed) -> tuple[int, int]:
    """Packets and bytes of ARP and neighbour discovery that pod a sent."""
    packets = size = 0
    while True:
        try:
            data, (_, _, kind, _, _) = bed.a.inner.recvfrom(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return packets, size
        is_link = data[12:14] == b"\x08\x06" or (
            data[12:14] == b"\x86\xdd" and data[20] == 58 and data[54] in LINK_TYPES
        )
        if kind == socket.PACKET_OUTGOING and is_link:
            packets += 1
            size += len(data)


@pytest.mark.parametrize("version", [4, 6])
def test_with_gso_flow_packets_are_segments(talking: Bed, version: int) -> None:
    bed = talking
    client, server = exchange(bed, version, size=3_000_000)
    events = [e for e in all_events(bed) if e.kind == "trace"]
    info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    segments_out, segments_in = struct.unpack_from("=II", info, TCP_INFO_SEGMENTS)
    client.close()
    server.close()
    out = [e for e in events if e.source_identity == bed.a.identity]
    back = [e for e in events if e.source_identity == bed.b.identity]
    assert sum(e.packets for e in out) == segments_out
    assert sum(e.packets for e in back) == segments_in
    header = 14 + (20 if version == 4 else 40) + 32
    assert sum(e.byte_count for e in out) >= 3_000_000 + header * (segments_out - 2)
    assert any(e.length > 1514 for e in out) or segments_out > 2000


def test_a_pod_that_comes_up_and_stays_quiet_gives_no_event(talking: Bed) -> None:
    """Duplicate address detection, MLD and router solicitations included."""
    bed = talking
    before = bed.datapath.counters()
    ip("link", "set", "eth0", "down", netns=bed.a.netns)
    ip("link", "set", "eth0", "up", netns=bed.a.netns)
    ip("addr", "add", "fd00:244:1::99/128", "dev", "eth0", netns=bed.a.netns)
    # detection of two addresses, two listener reports and a router solicitation at least
    bed.settle(lambda: bed.datapath.counters()["link_control"] >= before["link_control"] + 5)
    assert bed.take() == []
    ip("addr", "del", "fd00:244:1::99/128", "dev", "eth0", netns=bed.a.netns)
    ip("addr", "replace", f"{bed.a.ipv6}/128", "dev", "eth0", "nodad", netns=bed.a.netns)
    for gateway in ("169.254.1.1", "fe80::1"):
        ip(
            "route",
            "replace",
            "default",
            "via",
            gateway,
            "dev",
            "eth0",
            "onlink",
            netns=bed.a.netns,
        )


def test_ping_with_a_wrong_source_is_dropped_and_the_stack_goes_on(talking: Bed) -> None:
    bed = talking
    ip("addr", "add", "10.9.9.9/32", "dev", "lo", netns=bed.a.netns)
    try:
        with bed.a.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind(("10.9.9.9", 0))
            client.sendto(b"x", (str(bed.b.ipv4), 9))
        assert bed.names(1) == ["drop 132"]
    finally:
        ip("addr", "del", "10.9.9.9/32", "dev", "lo", netns=bed.a.netns)
