"""A client whose certificate is refused learns why: ours, grpcio and any other."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from api.lane.alert import alert_text
from api.lane.client import Channel
from api.lane.guard import Refusal
from api.lane.limits import Limits
from api.lane.status import RpcError
from api.lane.tls import ClientTls, ServerTls
from tests.api.lane.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

    from tests.api.lane.conftest import Serve

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
NAME = "lane"
SHOWN = {None: "certificate required", "client2": "unknown ca"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make two authorities; the server trusts the first: ca, server, client; ca2, client2."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    authority.sign("server", NAME)
    authority.sign("client", "client")
    Authority(folder, "ca2").sign("client2", "client2")
    return folder


def server_tls(made: Path) -> ServerTls:
    return ServerTls(
        certificate=made / "server.crt",
        key=made / "server.key",
        client_authorities=(made / "ca.crt",),
    )


@pytest.mark.parametrize(("shows", "words"), SHOWN.items(), ids=["none", "of a stranger"])
async def test_our_client_says_why(serve: Serve, made: Path, shows: str | None, words: str) -> None:
    server, address = await serve(ssl=server_tls(made))
    tls = ClientTls(
        authorities=(made / "ca.crt",),
        certificate=None if shows is None else made / f"{shows}.crt",
        key=None if shows is None else made / f"{shows}.key",
    )
    channel = Channel(address, ssl=tls, server_name=NAME)
    with pytest.raises(RpcError, match=f"remote error: tls: {words}"):
        await channel.unary("/test.Lane/Echo", BytesValue(), BytesValue, timeout_s=10)
    await channel.close()
    assert server.statistics().refused == {Refusal.TLS_HANDSHAKE: 1}


@pytest.mark.parametrize(("shows", "words"), SHOWN.items(), ids=["none", "of a stranger"])
async def test_grpcio_logs_why(
    serve: Serve, made: Path, shows: str | None, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its error says no more than that data could not be decrypted; its log has the alert."""
    _, address = await serve(ssl=server_tls(made))
    credentials = grpc.ssl_channel_credentials(
        (made / "ca.crt").read_bytes(),
        None if shows is None else (made / f"{shows}.key").read_bytes(),
        None if shows is None else (made / f"{shows}.crt").read_bytes(),
    )
    options = (("grpc.ssl_target_name_override", NAME),)

    def ask() -> None:
        with (
            grpc.secure_channel(address, credentials, options) as channel,
            pytest.raises(grpc.RpcError),
        ):
            channel.unary_unary("/test.Lane/Echo", None, None)(b"", timeout=10)

    await asyncio.to_thread(ask)
    assert f"ALERT_{words.replace(' ', '_').upper()}" in capfd.readouterr().err


async def test_a_raw_client_reads_the_alert_and_then_the_end(serve: Serve, made: Path) -> None:
    _, address = await serve(ssl=server_tls(made))
    context = ClientTls(authorities=(made / "ca.crt",)).context()
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(
        host, int(port), ssl=context, server_hostname=NAME
    )
    # More than the server will read: the alert must come all the same.
    writer.write(bytes(1 << 20))
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
        await asyncio.wait_for(reader.read(), 10)
    writer.close()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await writer.wait_closed()


async def test_who_stays_after_the_alert_is_cut(serve: Serve, made: Path) -> None:
    server, address = await serve(ssl=server_tls(made), limits=Limits(close_s=0.05))
    context = ClientTls(authorities=(made / "ca.crt",)).context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            incoming.write(await asyncio.wait_for(reader.read(1 << 16), 10))
        else:
            break
    writer.write(outgoing.read())
    # The alert and the end come, and the server does not wait for ours.
    assert await asyncio.wait_for(reader.read(), 10)
    await asyncio.wait_for(until_refused(server.counters.refused), 10)
    writer.close()
    await writer.wait_closed()


async def until_refused(refused: dict[Refusal, int]) -> None:
    """Wait until the server has done with a client."""
    while not refused:  # noqa: ASYNC110 - no event
        await asyncio.sleep(0)
    assert refused == {Refusal.TLS_HANDSHAKE: 1}


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "remote error: tls: certificate required"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "remote error: tls: bad certificate"),
        ("CERTIFICATE_VERIFY_FAILED", ""),
        (None, ""),
    ],
)
def test_words(reason: str | None, text: str) -> None:
    error = ssl.SSLError(1, "x")
    error.reason = reason  # type: ignore[assignment]  # OpenSSL leaves it out at times
    assert alert_text(error) == text


def test_other_errors_are_no_alerts() -> None:
    assert alert_text(ConnectionResetError("gone")) == alert_text(None) == ""
