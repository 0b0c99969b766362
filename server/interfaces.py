"""The node's interfaces: which of them leads to which pod, and word of changes.

In: the node's network namespace. Out: `Interfaces`, a picture of links, host routes, neighbours and
addresses, and a wait for the next change. A pod's host-side interface is the one that the route to
its address names; the MAC at the other end is asked of the peer link in the pod's namespace, or
else taken from the neighbour table. Next: server.endpoints.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, NamedTuple

from server import netlink
from server.incarnations import Incarnations

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from server.cluster.objects import Address

IFINFO = struct.Struct("=BxHiII")
"""ifinfomsg: family, device type, index, flags, change."""
IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINK, IFLA_EXT_MASK = 1, 3, 5, 29
IFLA_LINKINFO, IFLA_INFO_KIND = 18, 1
IFLA_LINK_NETNSID, IFLA_TARGET_NETNSID = 37, 46
SKIP_STATISTICS = 1 << 3

IFADDR = struct.Struct("=BBBBi")
"""ifaddrmsg: family, prefix length, flags, scope, index."""
IFA_ADDRESS, IFA_LOCAL = 1, 2

RTMSG = struct.Struct("=BBBBBBBBI")
"""rtmsg: family, destination bits, source bits, tos, table, protocol, scope, type, flags."""
RTA_DST, RTA_OIF = 1, 4
RTN_UNICAST = 1
HOST_BITS = {socket.AF_INET: 32, socket.AF_INET6: 128}

NDMSG = struct.Struct("=BxxxiHBB")
"""ndmsg: family, index, state, flags, type."""
NDA_DST, NDA_LLADDR = 1, 2
NUD_USABLE = 0x02 | 0x04 | 0x08 | 0x10 | 0x80
"""Reachable, stale, delay, probe, permanent."""

MAC_BYTES = 6
ARPHRD_ETHER, ARPHRD_LOOPBACK = 1, 772


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network device."""

    index: int
    name: str
    mac: bytes
    peer_mac: bytes | None
    """Of the other end of a veth pair; None if there is none or we may not see it."""
    kind: str = ""
    """As `ip link add type` names it; empty for hardware and loopback."""
    device_type: int = ARPHRD_ETHER
    incarnation: int = 0
    """Another number when a device of this index was deleted, and this one is another."""

    @property
    def has_ethernet(self) -> bool:
        """Whether its frames begin with an Ethernet header."""
        return self.device_type in (ARPHRD_ETHER, ARPHRD_LOOPBACK)

    @property
    def is_loopback(self) -> bool:
        """Whether it leads nowhere but back."""
        return self.device_type == ARPHRD_LOOPBACK


@dataclass(frozen=True, slots=True, kw_only=True)
class Interfaces:
    """What was there at one time."""

    links: Mapping[int, Link]
    """By index."""
    routes: Mapping[Address, int]
    """Address → index of the interface that a route to just this address names."""
    neighbours: Mapping[tuple[int, Address], bytes]
    """Interface and address → MAC."""
    addresses: frozenset[Address]
    """The node's own, without loopback."""


class Peer(NamedTuple):
    """The other end of a veth pair."""

    link: int
    """Its index in its namespace."""
    namespace: int | None
    """How our namespace numbers that one; None: it is our own."""


class NodeInterfaces:
    """Reads the interfaces of one network namespace and tells when they change."""

    def __init__(self, netns: Path | None) -> None:
        """Open the sockets; KernelError names a namespace that cannot be entered."""
        self._requests = netlink.Requests(netns)
        try:
            self._notices = netlink.open_socket(netns, groups=netlink.CHANGES)
        except OSError:
            self._requests.close()
            raise
        self._notices.setblocking(False)
        self._is_neighbour_needed = False
        self._incarnations = Incarnations()

    def close(self) -> None:
        """Close the sockets; nobody may be waiting."""
        self._requests.close()
        self._notices.close()

    async def read(self) -> Interfaces:
        """Take a picture; about 10 ms for 250 pods, in a thread.

        Raises:
            OSError: The kernel refused.
        """
        # what is told from here on may be about what the picture shows: the next one will say so
        picture = await asyncio.to_thread(self._read, self._incarnations.copy())
        self._incarnations.forget(but=picture.links)
        return picture

    async def changed(self) -> None:
        """Wait until something may have changed since the last call; can be cancelled.

        Neighbours come and go all the time: they count only if a MAC could not be found otherwise.
        """
        loop = asyncio.get_running_loop()
        while True:
            readable = asyncio.Event()
            loop.add_reader(self._notices, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(self._notices)
            if self._drain():
                return

    def _drain(self) -> bool:
        """Read all notices that wait; tell whether one of them matters."""
        matters = False
        while True:
            try:
                data = self._notices.recv(netlink.RECEIVE_BYTES)
            except BlockingIOError:
                return matters
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                matters = True  # so many changes that notices were lost
                self._incarnations.missed()
                continue
            for message, _, _ in netlink.parse(data):
                self._note(message)
                is_neighbour = message.kind in (netlink.RTM_NEWNEIGH, netlink.RTM_DELNEIGH)
                matters |= self._is_neighbour_needed or not is_neighbour

    def _note(self, message: netlink.Message) -> None:
        """Note a deletion; one of family AF_BRIDGE only says that a bridge has let go."""
        if message.kind == netlink.RTM_DELLINK and len(message.body) >= IFINFO.size:
            family, _, index, _, _ = IFINFO.unpack_from(message.body)
            if family == socket.AF_UNSPEC:
                self._incarnations.deleted(index)

    def _read(self, incarnations: Incarnations) -> Interfaces:
        links = {
            index: replace(link, incarnation=incarnations.of(index))
            for index, link in self._links().items()
        }
        routes: dict[Address, int] = {}
        for family in HOST_BITS:
            routes |= self._routes(family)
        used = set(routes.values())
        self._is_neighbour_needed = any(
            link.peer_mac is None for link in links.values() if link.index in used
        )
        return Interfaces(
            links=links,
            routes=routes,
            neighbours=self._neighbours() if self._is_neighbour_needed else {},
            addresses=self._addresses(),
        )

    def _links(self) -> dict[int, Link]:
        body = IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        body += netlink.attribute(IFLA_EXT_MASK, SKIP_STATISTICS)
        found: dict[int, Link] = {}
        peers: dict[int, Peer] = {}
        for message in self._requests.dump(netlink.RTM_GETLINK, body):
            link, peer = read_link(message.body)
            found[link.index] = link
            if peer is not None:
                peers[link.index] = peer
        return {
            index: replace(link, peer_mac=self._peer_mac(peers[index], found))
            if index in peers
            else link
            for index, link in found.items()
        }

    def _peer_mac(self, peer: Peer, links: Mapping[int, Link]) -> bytes | None:
        """Ask for the MAC at the other end; None if it is gone or its namespace closed to us."""
        if peer.namespace is None:
            return links[peer.link].mac if peer.link in links else None
        body = IFINFO.pack(socket.AF_UNSPEC, 0, peer.link, 0, 0)
        body += netlink.attribute(IFLA_TARGET_NETNSID, peer.namespace)
        body += netlink.attribute(IFLA_EXT_MASK, SKIP_STATISTICS)
        try:
            link, _ = read_link(self._requests.get(netlink.RTM_GETLINK, body).body)
        except OSError:
            return None
        return link.mac if len(link.mac) == MAC_BYTES else None

    def _routes(self, family: int) -> dict[Address, int]:
        """Find the routes to single addresses."""
        body = RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        found: dict[Address, int] = {}
        for message in self._requests.dump(netlink.RTM_GETROUTE, body):
            _, bits, _, _, _, _, _, kind, _ = RTMSG.unpack_from(message.body)
            if bits != HOST_BITS[socket.AddressFamily(family)] or kind != RTN_UNICAST:
                continue
            route = netlink.attributes(message.body, RTMSG.size)
            if RTA_DST in route and RTA_OIF in route:
                found[ip_address(route[RTA_DST])] = number(route[RTA_OIF])
        return found

    def _neighbours(self) -> dict[tuple[int, Address], bytes]:
        found: dict[tuple[int, Address], bytes] = {}
        body = NDMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        for message in self._requests.dump(netlink.RTM_GETNEIGH, body):
            family, index, state, _, _ = NDMSG.unpack_from(message.body)
            entry = netlink.attributes(message.body, NDMSG.size)
            if family not in HOST_BITS or not state & NUD_USABLE or NDA_DST not in entry:
                continue
            if len(entry.get(NDA_LLADDR, b"")) == MAC_BYTES:
                found[index, ip_address(entry[NDA_DST])] = entry[NDA_LLADDR]
        return found

    def _addresses(self) -> frozenset[Address]:
        found: set[Address] = set()
        body = IFADDR.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        for message in self._requests.dump(netlink.RTM_GETADDR, body):
            entry = netlink.attributes(message.body, IFADDR.size)
            packed = entry.get(IFA_LOCAL) or entry.get(IFA_ADDRESS)
            address = ip_address(packed) if packed else None
            if isinstance(address, IPv4Address | IPv6Address) and not address.is_loopback:
                found.add(address)
        return frozenset(found)


def read_link(body: bytes) -> tuple[Link, Peer | None]:
    """Read a link from its message, and where its other end is (its MAC is not known yet)."""
    _, device_type, index, _, _ = IFINFO.unpack_from(body)
    found = netlink.attributes(body, IFINFO.size)
    info = netlink.attributes(found.get(IFLA_LINKINFO, b""), 0)
    link = Link(
        index=index,
        name=found.get(IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace"),
        mac=found.get(IFLA_ADDRESS, b""),
        peer_mac=None,
        kind=info.get(IFLA_INFO_KIND, b"").rstrip(b"\0").decode(errors="replace"),
        device_type=device_type,
    )
    peer_index = number(found.get(IFLA_LINK, b""))
    if not peer_index:
        return link, None
    # the numbers of namespaces differ: our 2 may well be paired with their 2
    namespace = found.get(IFLA_LINK_NETNSID)
    return link, Peer(peer_index, None if namespace is None else number(namespace))


def number(value: bytes) -> int:
    """Read a number of 32 bits in the machine's byte order; 0 where it is missing."""
    return int(struct.unpack("=i", value)[0]) if len(value) == 4 else 0
