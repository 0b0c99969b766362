"""Two pods on one node, as network namespaces: behind a plain bridge, or behind our programs.

    client ─ veth ─ br0 ─ veth ─ server        client ─ veth ─ node ─ veth ─ server
          the path to compare with                     programs on both host ends

Both have IPv4 and IPv6, and neighbours that are known for good, so that only the traffic asked
for passes. Everything is removed on leaving, also after a failure.
"""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from bench.errors import NotMeasurableError
from observer.kernel.datapath import EndpointEntry
from observer.kernel.netns import inside

_NAMESPACES: Final = Path("/run/netns")
_SYSCTLS: Final = Path("/proc/sys/net")
_GATEWAYS: Final = ("169.254.1.1", "fe80::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPod:
    """A namespace with one interface, eth0, whose other end is the node's."""

    path: Path
    """Of the namespace."""
    ipv4: IPv4Address
    ipv6: IPv6Address
    number: int
    device: str
    """The node's end."""
    ifindex: int
    mac: bytes
    host_mac: bytes

    def address(self, version: int) -> str:
        """The address of IP version 4 or 6."""
        return str(self.ipv4 if version == 4 else self.ipv6)

    @property
    def identity(self) -> int:
        """The number by which policy knows it."""
        return 1000 + self.number

    def entry(self) -> EndpointEntry:
        """What the datapath has to know of it: policy holds in both directions."""
        return EndpointEntry(
            endpoint_id=self.number,
            identity=self.identity,
            ifindex=self.ifindex,
            ipv4=self.ipv4,
            ipv6=self.ipv6,
            mac=self.mac,
            host_mac=self.host_mac,
            enforce_ingress=True,
            enforce_egress=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Who talks to whom, and on which node."""

    node: str
    client: BenchPod
    server: BenchPod


@contextmanager
def bridged(name: str) -> Iterator[Pair]:
    """Two pods on a bridge in a namespace of that name, and nothing else.

    Raises:
        NotMeasurableError: not root, or the kernel lacks what it takes.
    """
    with _pods(name, prefixes=(24, 64)) as pair:
        _ip("link", "add", "br0", "type", "bridge", "mcast_snooping", "0", netns=name)
        for pod in (pair.client, pair.server):
            _ip("link", "set", pod.device, "master", "br0", netns=name)
        _ip("link", "set", "br0", "up", netns=name)
        for me, other in ((pair.client, pair.server), (pair.server, pair.client)):
            for version in (4, 6):
                _neighbour(me.path.name, "eth0", other.address(version), other.mac)
        yield pair


@contextmanager
def routed(name: str) -> Iterator[Pair]:
    """Two pods whose node has a route to each, as the server finds them on a Kubernetes node.

    Raises:
        NotMeasurableError: not root, or the kernel lacks what it takes.
    """
    with _pods(name, prefixes=(32, 128)) as pair:
        for family in ("ipv4", "ipv6"):
            _sysctl(name, f"{family}/conf/all/forwarding", "1")
        for pod in (pair.client, pair.server):
            for gateway in _GATEWAYS:
                _ip("route", "add", "default", "via", gateway, "dev", "eth0", "onlink",
                    netns=pod.path.name)  # fmt: skip
                _neighbour(pod.path.name, "eth0", gateway, pod.host_mac)
            for version in (4, 6):
                address = pod.address(version)
                _ip("route", "add", address, "dev", pod.device, netns=name)
                _neighbour(name, pod.device, address, pod.mac)
        yield pair


@contextmanager
def _pods(name: str, *, prefixes: tuple[int, int]) -> Iterator[Pair]:
    with ExitStack() as opened:
        opened.enter_context(_namespace(name))
        client, server = (_pod(name, number, prefixes, opened) for number in (1, 2))
        yield Pair(node=name, client=client, server=server)


def _pod(node: str, number: int, prefixes: tuple[int, int], opened: ExitStack) -> BenchPod:
    netns, device = f"{node}-{number}", f"pod{number}"
    opened.enter_context(_namespace(netns))
    ipv4, ipv6 = IPv4Address(f"10.9.0.{number + 1}"), IPv6Address(f"fd00:9::{number + 1}")
    _ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", netns, netns=node)
    _ip("addr", "add", f"{ipv4}/{prefixes[0]}", "dev", "eth0", netns=netns)
    _ip("addr", "add", f"{ipv6}/{prefixes[1]}", "dev", "eth0", "nodad", netns=netns)
    for link, where in ((device, node), ("eth0", netns)):
        _ip("link", "set", link, "up", netns=where)
    with inside(_NAMESPACES / node):
        ifindex = socket.if_nametoindex(device)
    return BenchPod(
        path=_NAMESPACES / netns,
        ipv4=ipv4,
        ipv6=ipv6,
        number=number,
        device=device,
        ifindex=ifindex,
        mac=_mac(netns, "eth0"),
        host_mac=_mac(node, device),
    )


@contextmanager
def _namespace(name: str) -> Iterator[None]:
    _ip("netns", "add", name)
    try:
        for default in ("accept_dad", "router_solicitations"):
            _sysctl(name, f"ipv6/conf/default/{default}", "0")
        yield
    finally:
        _ip("netns", "del", name)


def _neighbour(netns: str, device: str, address: str, mac: bytes) -> None:
    _ip("neigh", "replace", address, "lladdr", mac.hex(":"), "dev", device, netns=netns)


def _sysctl(netns: str, name: str, value: str) -> None:
    with inside(_NAMESPACES / netns):
        (_SYSCTLS / name).write_text(value)


def _mac(netns: str, device: str) -> bytes:
    with inside(_NAMESPACES / netns), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as probe:
        probe.bind((device, 0))
        return bytes(probe.getsockname()[4])


def _ip(*words: str, netns: str | None = None) -> None:
    where = ["-n", netns] if netns else []
    done = subprocess.run(  # noqa: S603 - words of this file
        ["ip", *where, *words],  # noqa: S607 - wherever the distribution has it
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotMeasurableError(f"ip {' '.join([*where, *words])}: {done.stderr.strip()}")
