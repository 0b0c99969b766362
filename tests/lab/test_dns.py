from __future__ import annotations

import asyncio
import logging
import struct
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.name
import pytest

from lab.dns import CLIENT_LIMIT, LiveZone, TcpServer, UdpServer, parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WEB = dns.name.from_text("web.shop.svc.cluster.local")
QUERY = dns.message.make_query(WEB, "A").to_wire()
SERVICE = "kind: Service\nmetadata: {name: web, namespace: shop}\n"


def tcp_framed(wire: bytes) -> bytes:
    return struct.pack("!H", len(wire)) + wire


@pytest.fixture
async def tcp_port(two_nodes_file: Path) -> AsyncIterator[int]:
    zone = LiveZone(two_nodes_file.parent)
    server = await asyncio.start_server(TcpServer(zone).serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


class Client(asyncio.DatagramProtocol):
    """Keeps the datagrams that come in."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.received.put_nowait(data)


async def test_udp_answers_queries_and_drops_the_rest(two_nodes_file: Path) -> None:
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(
        lambda: UdpServer(LiveZone(two_nodes_file.parent)), local_addr=("127.0.0.1", 0)
    )
    transport, client = await loop.create_datagram_endpoint(
        Client, remote_addr=server.get_extra_info("sockname")
    )

    # Neither of the first three may be answered: a datagram is answered in order, or never.
    transport.sendto(b"")
    transport.sendto(b"\xff" * 30)
    transport.sendto(dns.message.make_response(dns.message.from_wire(QUERY)).to_wire())
    transport.sendto(QUERY)
    answer = dns.message.from_wire(await client.received.get())

    assert client.received.empty()
    assert [str(record) for record in answer.answer[0]] == ["10.244.1.10"]
    transport.close()
    server.close()


async def test_tcp_answers_several_queries_on_one_connection(tcp_port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", tcp_port)
    writer.write(tcp_framed(QUERY) * 2)

    for _ in range(2):
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        answer = dns.message.from_wire(await reader.readexactly(length))
        assert [str(record) for record in answer.answer[0]] == ["10.244.1.10"]
    writer.close()
    await writer.wait_closed()


async def test_tcp_closes_on_nonsense(tcp_port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", tcp_port)
    writer.write(tcp_framed(b"\xff" * 30))

    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_tcp_closes_on_one_client_too_many(tcp_port: int) -> None:
    clients = [await asyncio.open_connection("127.0.0.1", tcp_port) for _ in range(CLIENT_LIMIT)]

    late_reader, late_writer = await asyncio.open_connection("127.0.0.1", tcp_port)
    assert await late_reader.read() == b""

    reader, writer = clients[0]
    writer.write(tcp_framed(QUERY))
    assert len(await reader.readexactly(2)) == 2
    for _, each in [*clients, (late_reader, late_writer)]:
        each.close()
        await each.wait_closed()


def test_follows_its_folder(tmp_path: Path) -> None:
    zone = LiveZone(tmp_path)
    assert WEB not in zone.now().addresses

    (tmp_path / "a.yaml").write_text(SERVICE)
    assert WEB in zone.now().addresses

    (tmp_path / "a.yaml").unlink()
    assert WEB not in zone.now().addresses


def test_keeps_the_last_good_zone_and_complains_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    zone = LiveZone(tmp_path)
    (tmp_path / "a.yaml").write_text(SERVICE)
    zone.now()

    with caplog.at_level(logging.WARNING):
        (tmp_path / "b.yaml").write_text("kind: [")
        assert WEB in zone.now().addresses
        assert WEB in zone.now().addresses

    assert len(caplog.records) == 1
    assert "b.yaml: not YAML" in caplog.text


@pytest.mark.parametrize("length", range(len(QUERY)))
def test_a_cut_query_is_no_query(length: int) -> None:
    assert parse(QUERY[:length]) is None
