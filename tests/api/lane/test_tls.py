"""TLS: both sides' certificates, and h2 by ALPN or nothing."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from api.lane.client import Channel
from api.lane.guard import Refusal
from api.lane.status import RpcError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.api.lane.conftest import Bed, Serve

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
NAME = "node1.default.hubble-grpc.cilium.io"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a self-signed certificate with its key in one file: its own CA."""
    folder = tmp_path_factory.mktemp("tls")
    command = (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-subj /CN={NAME} -addext subjectAltName=DNS:{NAME} -keyout key.pem -out cert.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())
    return both


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def client_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate))
    context.load_cert_chain(certificate)
    return context


async def test_mutual_tls(
    serve: Serve, bed: Bed, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    server_tls.verify_mode = ssl.CERT_REQUIRED
    _, address = await serve(ssl=server_tls)
    channel = Channel(address, ssl=client_tls, server_name=NAME)
    sent = BytesValue(value=bytes(1_000_000))
    assert await channel.unary("/test.Lane/Echo", sent, BytesValue) == sent
    seen = bed.calls[0].peer_certificate
    assert seen is not None
    assert seen["subject"] == ((("commonName", NAME),),)
    async with channel.server_stream("/test.Lane/Count", b"20000") as answer:
        assert sum([len(batch) async for batch in answer.batches()]) == 20_000
    await channel.close()


async def test_without_a_client_certificate_there_is_none(
    serve: Serve, bed: Bed, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    _, address = await serve(ssl=server_tls)
    channel = Channel(address, ssl=client_tls, server_name=NAME)
    await channel.unary("/test.Lane/Echo", BytesValue(), BytesValue)
    assert bed.calls[0].peer_certificate is None
    await channel.close()


async def test_a_wrong_name_is_refused(
    serve: Serve, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    _, address = await serve(ssl=server_tls)
    channel = Channel(address, ssl=client_tls, server_name="node2")
    with pytest.raises(RpcError, match="transport: authentication handshake failed: "):
        await channel.unary("/test.Lane/Echo", BytesValue(), BytesValue)
    await channel.close()


async def test_a_client_without_alpn_is_refused(
    serve: Serve, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    server, address = await serve(ssl=server_tls)
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(
        host, int(port), ssl=client_tls, server_hostname=NAME
    )
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert server.statistics().refused == {Refusal.ALPN: 1}


async def test_a_server_without_alpn_is_refused(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(wait, "127.0.0.1", 0, ssl=server_tls)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    channel = Channel(address, ssl=client_tls, server_name=NAME)
    with pytest.raises(RpcError, match="missing selected ALPN property"):
        await channel.unary("/test.Lane/Echo", BytesValue(), BytesValue)
    await channel.close()
    server.close()
    await asyncio.wait_for(server.wait_closed(), 5)


async def test_plain_and_tls_do_not_meet(
    serve: Serve, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    _, secret = await serve(ssl=server_tls)
    _, plain = await serve()
    for address, context in ((secret, None), (plain, client_tls)):
        channel = Channel(address, ssl=context, server_name=NAME)
        with pytest.raises(RpcError, match="Unavailable desc = connection error"):
            await channel.unary("/test.Lane/Echo", BytesValue(), BytesValue)
        await channel.close()
