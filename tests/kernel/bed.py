"""A node with two pods and a neighbour outside, as network namespaces, and a datapath on it.

    pod a ─ veth ─┐
                  ├─ node ─ veth ─ outside
    pod b ─ veth ─┘

Everything carries the process id in its name and is removed again, also after a failure.
"""

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import numpy as np

from observer.kernel import layout, syscall
from observer.kernel.datapath import Attach, Datapath, DatapathSettings, EndpointEntry
from observer.kernel.netns import inside
from observer.kernel.rings import PerfRings, RingSettings
from policy.entries import Direction, PolicyEntry
from tests.kernel.events import Event, read_event
from tests.kernel.frames import Address, Frame
from tests.kernel.namespaces import ip, mac_of, namespace, netns_path, packet_socket, set_sysctl

HOST = IPv4Address("172.30.0.1")
HOST6 = IPv6Address("fd00:30::1")
# an address of the host behind which nobody answers
SILENT_HOST = IPv4Address("172.30.0.2")
SILENT_HOST6 = IPv6Address("fd00:30::2")
OUTSIDE = IPv4Address("172.30.9.9")
OUTSIDE6 = IPv6Address("fd00:30:9::9")
WORLD = 2
WAIT_S = 5.0


@dataclass(slots=True, kw_only=True)
class Pod:
    """A namespace with one interface, and the raw sockets of both its ends."""

    name: str
    netns: str
    ipv4: IPv4Address
    ipv6: IPv6Address
    endpoint_id: int
    identity: int
    ifindex: int
    device: str
    mac: bytes
    host_mac: bytes
    inner: socket.socket
    """Packet socket inside the pod: sends as the pod does, receives what reaches it."""
    outer: socket.socket
    """Packet socket on the host side: sends as the stack does."""

    def address(self, version: int) -> Address:
        return self.ipv4 if version == 4 else self.ipv6

    def entry(self, *, ingress: bool = False, egress: bool = False) -> EndpointEntry:
        return EndpointEntry(
            endpoint_id=self.endpoint_id,
            identity=self.identity,
            ifindex=self.ifindex,
            ipv4=self.ipv4,
            ipv6=self.ipv6,
            mac=self.mac,
            host_mac=self.host_mac,
            enforce_ingress=ingress,
            enforce_egress=egress,
        )

    def send(self, frame: Frame | bytes) -> None:
        """Let the pod send this frame, from its MAC to its gateway's."""
        if isinstance(frame, Frame):
            frame = frame.but(source_mac=self.mac, destination_mac=self.host_mac).encode()
        self.inner.send(frame)

    def deliver(self, frame: Frame) -> None:
        """Let the node's stack send this frame to the pod."""
        data = frame.but(source_mac=self.host_mac, destination_mac=self.mac).encode()
        with suppress(OSError):  # ENOBUFS is what the sender sees of a drop at this hook
            self.outer.send(data)

    def received(self) -> list[bytes]:
        """Frames that have reached the pod and were not sent by it."""
        found: list[bytes] = []
        while True:
            try:
                data, (_, _, kind, _, _) = self.inner.recvfrom(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return found
            except OSError:  # ENETDOWN, told once after the interface was down
                continue
            if kind != socket.PACKET_OUTGOING:
                found.append(data)

    def socket(self, family: int, kind: int) -> socket.socket:
        with inside(netns_path(self.netns)):
            return socket.socket(family, kind)


@dataclass(slots=True, kw_only=True)
class Bed:
    """What a test needs: pods, the datapath, and its events."""

    datapath: Datapath
    node: str
    a: Pod
    b: Pod
    rings: PerfRings
    seen: list[Event] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)

    def enforce(self, pod: Pod, *, ingress: bool = False, egress: bool = False) -> None:
        self.datapath.upsert_endpoint(pod.entry(ingress=ingress, egress=egress))

    def rules(self, pod: Pod, *entries: PolicyEntry) -> None:
        self.datapath.replace_policy(pod.endpoint_id, entries)

    def take(self) -> list[Event]:
        """Events that are there now, in time order."""
        while (batch := self.rings.take()) is not None:
            self.seen += [read_event(row.tobytes()) for row in batch.samples]
        found, self.seen = self.seen, []
        return found

    def events(self, count: int) -> list[Event]:
        """Wait for this many events; more or fewer is a failure."""
        found = self.take()
        deadline = time.monotonic() + WAIT_S
        while len(found) < count and time.monotonic() < deadline:
            time.sleep(0.001)  # softirqs may run on the other CPU
            found += self.take()
        found += self.take()
        assert len(found) == count, [event.name for event in found]
        return found

    def names(self, count: int) -> list[str]:
        return [event.name for event in self.events(count)]

    def seen_frames(self, pod: Pod) -> list[bytes]:
        """Add what has reached the pod to `frames`."""
        self.frames += pod.received()
        return self.frames

    def settle(self, done: Callable[[], bool]) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + WAIT_S
        while not done():
            assert time.monotonic() < deadline, "did not settle"
            time.sleep(0.001)

    def run(
        self, program: str, pod: Pod, frame: bytes, *, segments: int = 0, repeat: int = 1
    ) -> syscall.RunResult:
        """Run a program on a frame as if it came from or went to that pod's interface."""
        context = bytearray(192)  # struct __sk_buff
        struct.pack_into("=I", context, 40, pod.ifindex)
        struct.pack_into("=I", context, 164, segments)
        with inside(netns_path(self.node)):
            return syscall.run_program(
                self.datapath._programs[program],
                frame,
                context=bytes(context),
                repeat=repeat,
                room_bytes=2048,
            )

    def reset(self) -> None:
        """As after start: no connections, no policy, nothing enforced, default settings."""
        self.clear_connections()
        self.datapath.configure(DatapathSettings())
        for pod in (self.a, self.b):
            self.rules(pod)
            self.enforce(pod)
            pod.received()
        self.take()
        self.frames.clear()

    def clear_connections(self) -> None:
        fd = self.datapath._maps["connections"]
        for key in self.datapath._table("connections").read():
            syscall.delete(fd, key)

    def connections(self) -> list[dict[str, int]]:
        """Counts of all connections, by side: low first."""
        rows = [
            np.frombuffer(value, layout.CONNECTION)[0]
            for value in self.datapath._table("connections").read().values()
        ]
        return [
            {
                name: int(row["side"][name].sum())
                for name in ("packets", "bytes", "reported_packets", "reported_bytes")
            }
            for row in rows
        ]


def rule(
    direction: Direction,
    *,
    identity: int = 0,
    protocol: int = 0,
    port: int = 0,
    bits: int | None = None,
    deny: bool = False,
    audit: bool = False,
    cookie: int = 0,
) -> PolicyEntry:
    return PolicyEntry(
        direction=direction,
        identity=identity,
        protocol=protocol,
        port=port,
        port_prefix_bits=(16 if port else 0) if bits is None else bits,
        deny=deny,
        audit=audit,
        cookie=cookie,
    )


def _give_addresses(netns: str, v4: str, v6: str) -> None:
    ip("addr", "add", f"{v4}/32", "dev", "eth0", netns=netns)
    ip("addr", "add", f"{v6}/128", "dev", "eth0", "nodad", netns=netns)
    for gateway in ("169.254.1.1", "fe80::1"):
        ip("route", "add", "default", "via", gateway, "dev", "eth0", "onlink", netns=netns)


def make_pod(node: str, number: int, stack: ExitStack, *, mute: bool) -> Pod:
    name = "ab"[number - 1]
    netns = stack.enter_context(namespace(f"{node}-{name}"))
    device = f"lkt{name}"
    v4, v6 = f"10.244.1.{number}", f"fd00:244:1::{number}"
    if mute:
        set_sysctl(netns, "net/ipv6/conf/default/disable_ipv6", "1")
    ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", netns, netns=node)
    stack.callback(ip, "link", "del", device, netns=node)
    for link, where in ((device, node), ("eth0", netns)):
        ip("link", "set", link, "up", netns=where)
    if not mute:
        _give_addresses(netns, v4, v6)
    mac, host_mac = mac_of(netns, "eth0"), mac_of(node, device)
    for address in (v4, v6):
        ip("route", "add", address, "dev", device, netns=node)
        ip("neigh", "add", address, "lladdr", mac.hex(":"), "dev", device, netns=node)
    with inside(netns_path(node)):
        ifindex = socket.if_nametoindex(device)
    return Pod(
        name=name,
        netns=netns,
        ipv4=IPv4Address(v4),
        ipv6=IPv6Address(v6),
        endpoint_id=100 + number,
        identity=1000 + number,
        ifindex=ifindex,
        device=device,
        mac=mac,
        host_mac=host_mac,
        inner=stack.enter_context(packet_socket(netns, "eth0")),
        outer=stack.enter_context(packet_socket(node, device)),
    )


def _make_outside(node: str, stack: ExitStack, *, mute: bool) -> None:
    netns = stack.enter_context(namespace(f"{node}-o"))
    if mute:
        set_sysctl(netns, "net/ipv6/conf/default/disable_ipv6", "1")
    ip("link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", netns, netns=node)
    stack.callback(ip, "link", "del", "up0", netns=node)
    for link, where in (("up0", node), ("eth0", netns)):
        ip("link", "set", link, "up", netns=where)
    for silent in (SILENT_HOST, SILENT_HOST6):
        ip("route", "add", "blackhole", str(silent), netns=node)
    for address, source in ((OUTSIDE, HOST), (OUTSIDE6, HOST6)):
        ip("addr", "add", str(source), "dev", "lo", netns=node)
        if mute:
            ip("route", "add", "blackhole", str(address), netns=node)
        else:
            ip("route", "add", str(address), "dev", "up0", "src", str(source), netns=node)
            extra = ["nodad"] if address.version == 6 else []
            ip("addr", "add", str(address), "dev", "eth0", *extra, netns=netns)
            ip("route", "add", "default", "via", str(source), "dev", "eth0", "onlink", netns=netns)
            for neighbour, where, device, mac in (
                (source, netns, "eth0", mac_of(node, "up0")),
                (address, node, "up0", mac_of(netns, "eth0")),
            ):
                ip(
                    "neigh",
                    "add",
                    str(neighbour),
                    "lladdr",
                    mac.hex(":"),
                    "dev",
                    device,
                    netns=where,
                )


@contextmanager
def make_bed(
    *,
    mute: bool = True,
    conntrack_entries: int = 4096,
    ring_bytes: int = 1 << 20,
    attach: Attach = Attach.AUTO,
    suffix: str = "",
) -> Iterator[Bed]:
    """Build it all. Mute pods have no addresses of their own: only packet sockets speak."""
    with ExitStack() as stack:
        node = stack.enter_context(namespace(f"lkt{os.getpid()}{'' if mute else 't'}{suffix}"))
        for name in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
            set_sysctl(node, name, "1")
        set_sysctl(node, "net/ipv6/conf/default/accept_dad", "0")
        _make_outside(node, stack, mute=mute)
        a, b = (make_pod(node, number, stack, mute=mute) for number in (1, 2))
        datapath = Datapath.load(
            node=node,
            netns=netns_path(node),
            conntrack_entries=conntrack_entries,
            attach=attach,
        )
        stack.callback(datapath.remove)
        rings = PerfRings(
            install=datapath.install_ring,
            settings=RingSettings(size_bytes=ring_bytes),
            # ahead of the kernel's clock: whatever is there is due
            clock=lambda: time.monotonic_ns() + 1_000_000_000,
        )
        stack.callback(rings.close)
        identities: dict[IPv4Network | IPv6Network, int] = {
            ip_network(address): 1 for address in (HOST, HOST6, SILENT_HOST, SILENT_HOST6)
        }
        for pod in (a, b):
            identities |= {ip_network(pod.ipv4): pod.identity, ip_network(pod.ipv6): pod.identity}
            datapath.upsert_endpoint(pod.entry())
            datapath.attach(pod.ifindex)
        datapath.upsert_identities(identities)
        bed = Bed(datapath=datapath, node=node, a=a, b=b, rings=rings)
        try:
            yield bed
        finally:
            bed.datapath.remove()  # a test may have had another one take over
