"""A plain box as containers leave it, for programs that only look: nothing on it is ours.

    a ─ veth ─┐
              ├─ br0 ─ box ─ veth up0 ─ outside
    b ─ veth ─┘

All names carry the process id, and everything is removed again, also after a failure.
"""

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from observer.kernel import syscall
from observer.kernel.datapath import Attach, Datapath, DatapathSettings, LeadsTo
from observer.kernel.netns import inside
from observer.kernel.rings import PerfRings, RingSettings
from tests.kernel.bed import WAIT_S
from tests.kernel.events import Event, read_event
from tests.kernel.frames import Address
from tests.kernel.namespaces import ip, mac_of, namespace, netns_path, packet_socket, set_sysctl

PACKET_AUXDATA = 8
SOL_PACKET = 263
IPV6_GROUP = b"\x33\x33"
ETH_P_ALL = 3


@dataclass(slots=True, kw_only=True)
class Machine:
    """A namespace with one interface, eth0; the box has the other end."""

    name: str
    netns: str
    ipv4: IPv4Address
    ipv6: IPv6Address
    device: str
    """The box's end."""
    ifindex: int
    mac: bytes
    wire: socket.socket
    """Packet socket on eth0, with the tags of VLANs."""

    def address(self, version: int) -> Address:
        return self.ipv4 if version == 4 else self.ipv6

    def silent(self, version: int) -> Address:
        """An address that leads here but is nobody's: no stack answers."""
        return self.address(version) + 200

    def socket(self, family: int, kind: int) -> socket.socket:
        with inside(netns_path(self.netns)):
            return socket.socket(family, kind)

    def received(self, count: int) -> list[tuple[bytes, int]]:
        """Wait for this many frames that came in: bytes and tag, 0 none. Fewer is a failure.

        IPv6 multicasts do not count: stacks have something to say at any time.
        """
        found: list[tuple[bytes, int]] = []
        self.wire.settimeout(WAIT_S)
        while len(found) < count:
            data, extra, _, sender = self.wire.recvmsg(65536, 256)
            if sender[2] != socket.PACKET_OUTGOING and not data.startswith(IPV6_GROUP):
                found.append((data, _tag(extra)))
        return found

    def forget(self) -> None:
        """Drop what has been received so far."""
        self.wire.setblocking(False)
        while True:
            try:
                self.wire.recv(65536)
            except BlockingIOError:
                return

    def counters(self) -> dict[str, int]:
        """What the kernel counted at eth0: rx_packets, tx_bytes, ..."""
        with inside(netns_path(self.netns)):
            lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
        words = next(x for x in lines if x.strip().startswith("eth0:")).split(":")[1].split()
        numbers = [int(word) for word in words]
        return {
            "rx_bytes": numbers[0],
            "rx_packets": numbers[1],
            "tx_bytes": numbers[8],
            "tx_packets": numbers[9],
        }


def _tag(extra: list[tuple[int, int, bytes]]) -> int:
    """Read the tag from struct tpacket_auxdata, with its protocol: 0 if there was none."""
    for _, _, data in extra:
        status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", data)
        if status & 0x10:  # TP_STATUS_VLAN_VALID
            return int(tpid << 16 | tci)
    return 0


@dataclass(slots=True, kw_only=True)
class Box:
    """The box, its machines, and perhaps programs on it."""

    netns: str
    a: Machine
    b: Machine
    outside: Machine
    host: dict[int, Address]
    """The box's own addresses on the bridge, by version."""
    host_mac: bytes
    seen: list[Event] = field(default_factory=list)

    def ifindex(self, device: str) -> int:
        with inside(netns_path(self.netns)):
            return socket.if_nametoindex(device)


@dataclass(slots=True, kw_only=True)
class Watch:
    """Programs that look, and their events."""

    box: Box
    datapath: Datapath
    rings: PerfRings

    def on(self, *devices: str) -> None:
        """Look at exactly these interfaces."""
        for ifindex in self.datapath.attached():
            self.datapath.unobserve(ifindex)
        for device in devices:
            self.datapath.observe(self.box.ifindex(device), LEADS_TO[device])

    def take(self) -> list[Event]:
        """Events that are there now, in time order."""
        found: list[Event] = []
        while (batch := self.rings.take()) is not None:
            found += [read_event(row.tobytes()) for row in batch.samples]
        return found

    def names(self, count: int) -> list[str]:
        """Wait for this many events; more or fewer is a failure."""
        found: list[Event] = []

        def are_there() -> bool:
            found.extend(self.take())
            return len(found) >= count

        settle(are_there, found)
        found += self.take()
        assert len(found) == count, [event.name for event in found]
        return [event.name for event in found]

    def reset(self) -> None:
        """As after start, looking at nothing."""
        self.on()
        self.clear()
        self.datapath.configure(DatapathSettings())

    def clear(self) -> None:
        """Forget connections and events."""
        for key in self.datapath._table("connections").read():
            syscall.delete(self.datapath._maps["connections"], key)
        self.take()

    def all_events(self) -> list[Event]:
        """Events of everything so far: what connections owe is swept out first."""
        found = self.take()
        self.datapath.configure(
            DatapathSettings(tcp_idle_timeout_ns=0, closed_timeout_ns=0, other_idle_timeout_ns=0)
        )
        while self.datapath._table("connections").read():
            self.datapath.sweep(4096)
        return found + self.take()


UP: dict[int, Address] = {4: IPv4Address("10.8.0.1"), 6: IPv6Address("fd00:8::1")}
"""The box's addresses towards the outside."""
LEADS_TO = {
    "va": LeadsTo.ENDPOINT,
    "vb": LeadsTo.ENDPOINT,
    "br0": LeadsTo.HOST,
    "up0": LeadsTo.NETWORK,
}


def settle(done: Callable[[], bool], about: object = None) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline, f"did not settle: {about}"
        time.sleep(0.001)


def _machine(box: str, name: str, v4: str, v6: str, stack: ExitStack) -> Machine:
    netns = stack.enter_context(namespace(f"{box}-{name}"))
    device = "up0" if name == "o" else f"v{name}"
    set_sysctl(netns, "net/ipv6/conf/default/accept_dad", "0")
    set_sysctl(netns, "net/ipv6/conf/default/router_solicitations", "0")
    ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", netns, netns=box)
    for link, where in ((device, box), ("eth0", netns)):
        ip("link", "set", link, "up", netns=where)
    for address in (f"{v4}/24", f"{v6}/64"):
        ip("addr", "add", address, "dev", "eth0", netns=netns)
    wire = stack.enter_context(packet_socket(netns, "eth0"))
    wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    with inside(netns_path(box)):
        ifindex = socket.if_nametoindex(device)
    return Machine(
        name=name,
        netns=netns,
        ipv4=IPv4Address(v4),
        ipv6=IPv6Address(v6),
        device=device,
        ifindex=ifindex,
        mac=mac_of(netns, "eth0"),
        wire=wire,
    )


@contextmanager
def make_box() -> Iterator[Box]:
    """Build the box: addresses and neighbours are settled, so that it is quiet."""
    with ExitStack() as stack:
        box = stack.enter_context(namespace(f"lvt{os.getpid()}x"))
        for name in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
            set_sysctl(box, name, "1")
        set_sysctl(box, "net/ipv6/conf/default/accept_dad", "0")
        for family in ("ip", "ip6", "arp"):  # a bridge's own filters refuse broken packets
            if Path("/proc/sys/net/bridge").exists():
                set_sysctl(box, f"net/bridge/bridge-nf-call-{family}tables", "0")
        ip("link", "add", "br0", "type", "bridge", "mcast_snooping", "0", netns=box)
        stack.callback(ip, "link", "del", "br0", netns=box)
        a = _machine(box, "a", "10.9.0.2", "fd00:9::2", stack)
        b = _machine(box, "b", "10.9.0.3", "fd00:9::3", stack)
        outside = _machine(box, "o", "10.8.0.9", "fd00:8::9", stack)
        for machine in (a, b):
            ip("link", "set", machine.device, "master", "br0", netns=box)
        ip("link", "set", "br0", "up", netns=box)
        host: dict[int, Address] = {4: IPv4Address("10.9.0.1"), 6: IPv6Address("fd00:9::1")}
        for device, address in (
            ("br0", "10.9.0.1/24"),
            ("br0", "fd00:9::1/64"),
            ("up0", "10.8.0.1/24"),
            ("up0", "fd00:8::1/64"),
        ):
            ip("addr", "add", address, "dev", device, netns=box)
        found = Box(netns=box, a=a, b=b, outside=outside, host=host, host_mac=mac_of(box, "br0"))
        _acquaint(found)
        yield found


def _acquaint(box: Box) -> None:
    """Let everybody know everybody's MAC, and the way."""
    up_mac = mac_of(box.netns, "up0")
    for version in (4, 6):
        near = ((box.a, box.b), (box.b, box.a))
        known = [(me.netns, "eth0", other.address(version), other.mac) for me, other in near]
        known += [(me.netns, "eth0", box.host[version], box.host_mac) for me in (box.a, box.b)]
        known += [(box.netns, "br0", me.address(version), me.mac) for me in (box.a, box.b)]
        far = (box.outside.address(version), box.outside.silent(version))
        up: Address = UP[version]
        known += [(box.outside.netns, "eth0", up, up_mac)]
        known += [(box.netns, "up0", address, box.outside.mac) for address in far]
        for netns, device, address, mac in known:
            ip("neigh", "replace", str(address), "lladdr", mac.hex(":"), "dev", device,
               netns=netns)  # fmt: skip
        for machine, gateway in ((box.a, box.host[version]), (box.b, box.host[version]),
                                 (box.outside, up)):  # fmt: skip
            ip("route", "add", "default", "via", str(gateway), "dev", "eth0",
               netns=machine.netns)  # fmt: skip


@contextmanager
def watching(box: Box, *, name: str = "", attach: Attach = Attach.AUTO) -> Iterator[Watch]:
    """Load the programs, and remove them at the end."""
    with ExitStack() as stack:
        datapath = Datapath.load(
            node=f"{box.netns}{name}",
            netns=netns_path(box.netns),
            conntrack_entries=1024,
            attach=attach,
            is_observing=True,
        )
        stack.callback(datapath.remove)
        rings = PerfRings(
            install=datapath.install_ring,
            settings=RingSettings(size_bytes=1 << 20),
            # ahead of the kernel's clock: whatever is there is due
            clock=lambda: time.monotonic_ns() + 1_000_000_000,
        )
        stack.callback(rings.close)
        yield Watch(box=box, datapath=datapath, rings=rings)
