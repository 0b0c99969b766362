"""`hubble-lab serve dns`: the cluster's DNS server, on UDP and TCP, IPv4 and IPv6.

Reads the state folder that `hubble-server` reads, and looks at it again with every query, so that
an answer is never older than the files. Messages it cannot read are dropped, as a server of the
real world does; a bad file is reported once and the last good zone stays.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import struct
from typing import TYPE_CHECKING, cast

import dns.exception
import dns.message

from lab.errors import LabError
from lab.objects import read_objects, yaml_files
from lab.zone import Zone, build_zone, to_udp

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

PORT = 53
TCP_IDLE_S = 10.0
CLIENT_LIMIT = 64
"""How many TCP clients are served at once; one more is closed at once."""


class LiveZone:
    """The zone of a state folder as it is now."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: object = None
        self._zone = build_zone(())

    def now(self) -> Zone:
        """Give the zone, read anew if a file has changed."""
        signature = self._signature()
        if signature != self._seen:
            self._seen = signature
            try:
                self._zone = build_zone(read_objects(self._folder))
            except LabError as error:
                logger.warning("read state failed, the last good one stays: %s", error)
        return self._zone

    def _signature(self) -> object:
        try:
            found = [(path.name, path.stat()) for path in yaml_files(self._folder)]
        except OSError:
            # A file went away between listing and looking: look again with the next query.
            return None
        return sorted((name, about.st_mtime_ns, about.st_size) for name, about in found)


class UdpServer(asyncio.DatagramProtocol):
    """Answers one datagram with one datagram."""

    def __init__(self, zone: LiveZone) -> None:
        self._zone = zone
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers go out by."""
        # Not isinstance: Python's own datagram transports are no DatagramTransport before 3.12.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        """Answer a query; anything else is dropped."""
        query = parse(data)
        if query is not None and self._transport is not None:
            self._transport.sendto(to_udp(self._zone.now().answer(query), query), addr)


class TcpServer:
    """Answers queries on a connection, one after another, each with its length before it."""

    def __init__(self, zone: LiveZone) -> None:
        self._zone = zone
        self._client_count = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it leaves, is silent for TCP_IDLE_S, or sends nonsense."""
        self._client_count += 1
        try:
            while self._client_count <= CLIENT_LIMIT:
                query = parse(await asyncio.wait_for(_read_framed(reader), TCP_IDLE_S))
                if query is None:
                    return
                wire = self._zone.now().answer(query).to_wire()
                writer.write(struct.pack("!H", len(wire)) + wire)
                await asyncio.wait_for(writer.drain(), TCP_IDLE_S)
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self._client_count -= 1
            writer.close()


def parse(wire: bytes) -> dns.message.Message | None:
    """Read a query; None for what is no DNS message, or itself a response."""
    try:
        message = dns.message.from_wire(wire)
    except (dns.exception.DNSException, ValueError):
        return None
    # Answering responses would let two servers talk to each other for ever.
    return None if message.flags & dns.flags.QR else message


async def serve(folder: Path, *, port: int = PORT) -> None:
    """Serve until SIGTERM or SIGINT. OSError if the port is taken."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    zone = LiveZone(folder)
    tcp = await asyncio.start_server(TcpServer(zone).serve, host=None, port=port)
    for family in {each.family for each in tcp.sockets}:
        udp = _udp_socket(socket.AddressFamily(family), port)
        await loop.create_datagram_endpoint(lambda: UdpServer(zone), sock=udp)
    await stop.wait()


def _udp_socket(family: socket.AddressFamily, port: int) -> socket.socket:
    udp = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        # The other socket has IPv4, so this one must not take it as well.
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    udp.bind(("", port))
    return udp


async def _read_framed(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack("!H", await reader.readexactly(2))
    return await reader.readexactly(length)
