"""TLS from files: who is trusted, reload, and files that cannot be used."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
from typing import TYPE_CHECKING

import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from api.lane.client import Channel
from api.lane.guard import Refusal
from api.lane.limits import Limits
from api.lane.status import RpcError
from api.lane.tls import ClientTls, ServerTls, TlsError
from tests.api.lane.certificates import Authority, openssl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.api.lane.conftest import Bed, Serve

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
NAME = "node1.default.hubble-grpc.cilium.io"
USER = "hubble-relay"
# In TLS 1.3 a client is ready before the server has seen its certificate.
TURNED_AWAY = "error reading server preface: "


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make two authorities with a server and a client each: ca, server, client; ca2, ..."""
    folder = tmp_path_factory.mktemp("tls")
    for suffix in ("", "2"):
        authority = Authority(folder, f"ca{suffix}")
        authority.sign(f"server{suffix}", NAME)
        authority.sign(f"client{suffix}", f"{USER}{suffix}")
    openssl(folder, "ec -in server.key -aes256 -passout pass:x -out locked.key")
    (folder / "empty").write_text("")
    (folder / "junk").write_text("-----BEGIN CERTIFICATE-----\nxxxx\n-----END CERTIFICATE-----\n")
    return folder


@pytest.fixture
def files(made: Path, tmp_path: Path) -> Path:
    """Copy what was made, for tests that change it."""
    folder = tmp_path / "tls"
    shutil.copytree(made, folder)
    return folder


def server_tls(files: Path, *, clients: str | None = None) -> ServerTls:
    return ServerTls(
        certificate=files / "server.crt",
        key=files / "server.key",
        client_authorities=() if clients is None else (files / clients,),
    )


def client_tls(files: Path, *, trusts: str = "ca.crt", shows: str | None = None) -> ClientTls:
    return ClientTls(
        authorities=(files / trusts,),
        certificate=None if shows is None else files / f"{shows}.crt",
        key=None if shows is None else files / f"{shows}.key",
    )


async def ask(address: str, tls: ClientTls, *, name: str | None = NAME) -> None:
    """Make a call on a connection of its own."""
    channel = Channel(address, ssl=tls, server_name=name)
    sent = BytesValue(value=b"secret")
    try:
        assert await channel.unary("/test.Lane/Echo", sent, BytesValue, timeout_s=10) == sent
    finally:
        await channel.close()


def replace(files: Path, old: str, new: str) -> None:
    """Put another pair in the place of one, as Kubernetes does: by a rename."""
    for suffix in ("crt", "key"):
        fresh = files / "fresh"
        shutil.copy(files / f"{new}.{suffix}", fresh)
        fresh.rename(files / f"{old}.{suffix}")


async def test_a_server_shows_its_certificate(serve: Serve, bed: Bed, made: Path) -> None:
    _, address = await serve(ssl=server_tls(made))
    await ask(address, client_tls(made))
    assert bed.calls[0].peer_certificate is None
    with pytest.raises(RpcError, match="CERTIFICATE_VERIFY_FAILED"):
        await ask(address, client_tls(made, trusts="ca2.crt"))
    with pytest.raises(RpcError, match="CERTIFICATE_VERIFY_FAILED"):
        await ask(address, client_tls(made), name="node2")
    with pytest.raises(RpcError, match="CERTIFICATE_VERIFY_FAILED"):
        await ask(address, client_tls(made), name=None)
    with pytest.raises(RpcError, match="CERTIFICATE_VERIFY_FAILED"):
        # The system's authorities do not know ours.
        await ask(address, ClientTls())
    await ask(address, ClientTls(verify=False), name=None)


async def test_why_a_certificate_is_not_trusted(serve: Serve, made: Path) -> None:
    _, address = await serve(ssl=server_tls(made))
    with pytest.raises(RpcError, match="FAILED: unable to get local issuer certificate"):
        await ask(address, client_tls(made, trusts="ca2.crt"))
    with pytest.raises(RpcError, match=r"FAILED: Hostname mismatch, .* not valid for 'node2'"):
        await ask(address, client_tls(made), name="node2")


async def test_a_client_that_hangs_up_in_the_handshake_is_told_as_that(
    serve: Serve, made: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, address = await serve(ssl=server_tls(made))
    host, _, port = address.rpartition(":")
    with caplog.at_level(logging.INFO, "api.lane.server"):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(10):
            while not server.counters.refused:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.001)
    assert caplog.records[-1].getMessage().endswith("detail=client hung up in the handshake")


async def test_mutual_tls(serve: Serve, bed: Bed, made: Path) -> None:
    server, address = await serve(ssl=server_tls(made, clients="ca.crt"))
    await ask(address, client_tls(made, shows="client"))
    certificate = bed.calls[0].peer_certificate
    assert certificate is not None
    assert certificate["subject"] == ((("commonName", USER),),)
    with pytest.raises(RpcError, match=TURNED_AWAY):
        await ask(address, client_tls(made))
    with pytest.raises(RpcError, match=TURNED_AWAY):
        await ask(address, client_tls(made, shows="client2"))
    assert len(bed.calls) == 1
    assert server.statistics().refused == {Refusal.TLS_HANDSHAKE: 2}


async def test_tls_1_2_is_refused(serve: Serve, made: Path) -> None:
    server, address = await serve(ssl=server_tls(made))
    old = ssl.create_default_context(cafile=str(made / "ca.crt"))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    channel = Channel(address, ssl=old, server_name=NAME)
    with pytest.raises(RpcError, match="authentication handshake failed: "):
        await channel.unary("/test.Lane/Echo", BytesValue(), BytesValue)
    await channel.close()
    assert server.statistics().refused == {Refusal.TLS_HANDSHAKE: 1}


async def test_new_files_count_from_the_next_connection_on(
    serve: Serve, bed: Bed, files: Path
) -> None:
    server, address = await serve(ssl=server_tls(files))
    old = Channel(address, ssl=client_tls(files), server_name=NAME)
    await old.unary("/test.Lane/Echo", BytesValue(), BytesValue)
    replace(files, "server", "server2")
    with pytest.raises(RpcError, match="CERTIFICATE_VERIFY_FAILED"):
        await ask(address, client_tls(files))
    await ask(address, client_tls(files, trusts="ca2.crt"))
    # The connection that was open stays.
    await old.unary("/test.Lane/Echo", BytesValue(), BytesValue)
    assert server.statistics().connections_total == 2
    await old.close()


async def test_new_authorities_replace_the_old_ones(serve: Serve, files: Path) -> None:
    _, address = await serve(ssl=server_tls(files, clients="ca.crt"))
    first, second = client_tls(files, shows="client"), client_tls(files, shows="client2")
    trusts_both = ClientTls(authorities=(files / "ca.crt", files / "ca2.crt"))
    assert len(trusts_both.context().get_ca_certs()) == 2
    await ask(address, first)
    keep = (files / "ca.crt").read_bytes()
    (files / "ca.crt").write_bytes((files / "ca2.crt").read_bytes())
    # Our own client trusts the same file; it must not look at it anew for this.
    trusting = ClientTls(verify=False, certificate=files / "client2.crt", key=files / "client2.key")
    await ask(address, trusting)
    with pytest.raises(RpcError, match=TURNED_AWAY):
        await ask(
            address,
            ClientTls(verify=False, certificate=files / "client.crt", key=files / "client.key"),
        )
    (files / "ca.crt").write_bytes(keep)
    await ask(address, first)
    with pytest.raises(RpcError, match=TURNED_AWAY):
        await ask(address, second)


async def test_a_client_shows_its_new_certificate(serve: Serve, bed: Bed, files: Path) -> None:
    (files / "both.crt").write_bytes(
        (files / "ca.crt").read_bytes() + (files / "ca2.crt").read_bytes()
    )
    _, address = await serve(ssl=server_tls(files, clients="both.crt"))
    tls = client_tls(files, shows="client")
    await ask(address, tls)
    replace(files, "client", "client2")
    await ask(address, tls)
    subjects = [dict(call.peer_certificate or {})["subject"] for call in bed.calls]
    assert subjects == [((("commonName", USER),),), ((("commonName", f"{USER}2"),),)]


@pytest.mark.parametrize("broken", ["half", "gone", "other key"])
async def test_broken_files_leave_the_old_ones_in_use(
    serve: Serve, files: Path, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    _, address = await serve(ssl=server_tls(files))
    certificate = files / "server.crt"
    good = certificate.read_bytes()
    match broken:
        case "half":
            certificate.write_bytes(good[: len(good) // 2])
        case "gone":
            certificate.unlink()
        case _:
            certificate.write_bytes((files / "server2.crt").read_bytes())
    with caplog.at_level(logging.ERROR, "api.lane.tls"):
        await ask(address, client_tls(files))
        await ask(address, client_tls(files))
    (record,) = caplog.records
    assert "keep the TLS files in use: load TLS" in record.getMessage()
    assert str(files / ("server.key" if broken == "other key" else "server.crt")) in (
        record.getMessage()
    )
    replace(files, "server", "server2")
    await ask(address, client_tls(files, trusts="ca2.crt"))


@pytest.mark.parametrize(
    ("certificate", "key", "clients", "text"),
    [
        ("none.crt", "server.key", None, "load TLS certificate {0}/none.crt: No such file"),
        ("server.crt", "none.key", None, "load TLS key {0}/none.key: No such file"),
        ("junk", "server.key", None, "load TLS certificate {0}/junk: no PEM certificate"),
        ("empty", "server.key", None, "load TLS certificate {0}/empty: no PEM certificate"),
        ("server.crt", "junk", None, "load TLS key {0}/junk: no PEM private key"),
        ("server.crt", "empty", None, "load TLS key {0}/empty: no PEM private key"),
        ("server.crt", "server2.key", None, "load TLS key {0}/server2.key: not the key of {0}/"),
        ("server.crt", "locked.key", None, "load TLS key {0}/locked.key: it is encrypted"),
        ("server.crt", "server.key", "none", "load TLS authorities {0}/none: No such file"),
        ("server.crt", "server.key", "junk", "load TLS authorities {0}/junk: no PEM certificate"),
        ("server.crt", "server.key", "empty", "load TLS authorities {0}/empty: no PEM certificate"),
        ("server.crt", "server.key", "server.key", "load TLS authorities {0}/server.key: no PEM"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    made: Path, certificate: str, key: str, clients: str | None, text: str
) -> None:
    with pytest.raises(TlsError) as caught:
        ServerTls(
            certificate=made / certificate,
            key=made / key,
            client_authorities=() if clients is None else (made / clients,),
        )
    assert str(caught.value).startswith(text.format(made))


def test_half_a_pair_is_refused(made: Path) -> None:
    with pytest.raises(TlsError, match=r"certificate .*client\.crt needs a key, none is given"):
        ClientTls(certificate=made / "client.crt")
    with pytest.raises(TlsError, match=r"key .*client\.key needs a certificate, none is given"):
        ClientTls(key=made / "client.key")


async def test_who_never_shakes_hands_is_let_go(serve: Serve, made: Path) -> None:
    limits = Limits(handshake_s=0.1, close_s=0.2)
    server, address = await serve(ssl=server_tls(made), limits=limits)
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await asyncio.wait_for(asyncio.gather(reader.read(), return_exceptions=True), 10)
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    while not server.statistics().refused:  # noqa: ASYNC110 - counted a moment later
        await asyncio.sleep(0.001)
    assert server.statistics().refused == {Refusal.TLS_HANDSHAKE: 1}
    await ask(address, client_tls(made))


async def test_handshakes_in_progress_count_and_end_with_the_server(
    serve: Serve, made: Path
) -> None:
    limits = Limits(max_connections=2, close_s=0.2)
    server, address = await serve(ssl=server_tls(made), limits=limits)
    host, _, port = address.rpartition(":")
    silent = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
    assert await asyncio.wait_for(silent[2][0].read(), 10) == b""
    assert server.statistics().refused == {Refusal.CONNECTION_LIMIT: 1}
    await server.stop(0)
    for reader, writer in silent:
        await asyncio.wait_for(asyncio.gather(reader.read(), return_exceptions=True), 10)
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_the_unix_socket_stays_in_the_clear(serve: Serve, made: Path, tmp_path: Path) -> None:
    server, address = await serve(ssl=server_tls(made))
    plain = await server.listen(f"unix://{tmp_path}/lane.sock")
    channel = Channel(plain)
    await channel.unary("/test.Lane/Echo", BytesValue(), BytesValue)
    await channel.close()
    await ask(address, client_tls(made))
    assert server.statistics().connections_total == 2
