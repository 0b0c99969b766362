"""Listening sockets, and what dialling says when there is nobody."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING

import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from api.lane.address import TcpAddress, UnixAddress, parse_address
from api.lane.client import Channel
from api.lane.listen import answers, bound_address, listening_socket
from api.lane.status import Code, RpcError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.api.lane.conftest import Bed, Serve


@pytest.mark.parametrize("text", ["127.0.0.1:0", "[::1]:0", "localhost:0"])
async def test_tcp(serve: Serve, bed: Bed, text: str) -> None:
    _, address = await serve(text)
    assert not address.endswith(":0")
    channel = Channel(f"dns:///{address}")
    assert await channel.unary("/test.Lane/Echo", BytesValue(), BytesValue) == BytesValue()
    assert bed.calls[0].peer.startswith(address.rpartition(":")[0])
    await channel.close()


def test_all_addresses_are_one_dual_stack_socket() -> None:
    with listening_socket(parse_address(":0")) as sock:
        bound = bound_address(sock)
        assert isinstance(bound, TcpAddress)
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, bound.port), timeout=5).close()


def test_a_port_in_use_is_named() -> None:
    with listening_socket(parse_address("127.0.0.1:0")) as sock:
        address = str(bound_address(sock))
        with pytest.raises(OSError, match=f"listen on {address}: Address already in use") as caught:
            listening_socket(parse_address(address))
    assert caught.value.errno == errno.EADDRINUSE


def test_an_unknown_host_is_named() -> None:
    with pytest.raises(OSError, match=r"listen on no\.such\.host\.invalid:1: "):
        listening_socket(parse_address("no.such.host.invalid:1"))


def test_a_stale_socket_file_is_replaced_and_has_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "lane.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    with listening_socket(UnixAddress(path=path)) as sock:
        assert bound_address(sock) == UnixAddress(path=path)
        assert path.stat().st_mode & 0o777 == 0o660


@pytest.mark.parametrize("name", ["file", "no/folder/x.sock", "x" * 120])
def test_paths_that_cannot_be_bound(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("not a socket")
    with pytest.raises(OSError, match="listen on unix://"):
        listening_socket(UnixAddress(path=tmp_path / name))
    assert (tmp_path / "file").read_text() == "not a socket"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


async def failure(target: str, **options: float) -> RpcError:
    channel = Channel(target, connect_timeout_s=options.get("connect_timeout_s"))
    with pytest.raises(RpcError) as caught:
        await channel.unary("/a.B/C", BytesValue(), BytesValue, timeout_s=options.get("timeout_s"))
    await channel.close()
    return caught.value


async def test_dial_errors_in_gos_words(tmp_path: Path) -> None:
    port = free_port()
    dialing = "transport: Error while dialing: dial"
    for target, text in (
        (f"127.0.0.1:{port}", f"{dialing} tcp 127.0.0.1:{port}: connect: connection refused"),
        (f"[::1]:{port}", f"{dialing} tcp [::1]:{port}: connect: connection refused"),
        (f"localhost:{port}", f"{dialing} tcp 127.0.0.1:{port}: connect: connection refused"),
        (
            f"unix://{tmp_path}/no.sock",
            f"{dialing} unix {tmp_path}/no.sock: connect: no such file or directory",
        ),
        ("no.such.host.invalid:1", f"{dialing} tcp: lookup no.such.host.invalid: no such host"),
    ):
        error = await failure(target)
        assert error.code is Code.UNAVAILABLE
        assert error.message == f'connection error: desc = "{text}"'


async def test_a_server_that_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mute.sock"

    async def listen_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    mute = await asyncio.start_unix_server(listen_only, path)
    error = await failure(f"unix://{path}", connect_timeout_s=0.05)
    assert f"dial unix {path}: i/o timeout" in error.message
    error = await failure(f"unix://{path}", timeout_s=0.05)
    assert (error.code, error.message) == (Code.DEADLINE_EXCEEDED, "context deadline exceeded")
    mute.close()
    await asyncio.wait_for(mute.wait_closed(), 5)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_a_server_that_is_no_lane(said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    error = await failure(f"127.0.0.1:{port}")
    assert error.code is Code.UNAVAILABLE
    assert "error reading server preface" in error.message
    server.close()
    await asyncio.wait_for(server.wait_closed(), 5)


def test_who_answers_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    assert not answers(path)
    with listening_socket(UnixAddress(path=path)):
        assert answers(path)
    assert not answers(path)
