"""The node's lane: TLS on the TCP address, none on the unix socket, and what it says of itself."""

import asyncio
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from api.lane.client import Channel
from api.lane.health import Health
from api.lane.server import Server
from api.lane.tls import ClientTls
from api.proto.health.health_pb2 import HealthCheckRequest, HealthCheckResponse
from api.proto.reflection.v1 import reflection_pb2
from bench.workload import SyntheticNode
from server.errors import ServerError
from server.listening import listen
from server.node import Node, build_node
from server.settings import Settings
from tests.api.lane.certificates import Authority

HUBBLE = Path(sys.executable).with_name("hubble")
NAME = "n1.c1.hubble-grpc.cilium.io"
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    authority.sign("server", NAME)
    authority.sign("client", "someone")
    return folder


@pytest.fixture
def node() -> Node:
    return build_node(Settings(node_name="n1", cluster_name="c1", event_buffer_capacity=1023))


Start = Callable[..., Awaitable[tuple[Server, str]]]


@pytest.fixture
async def start(node: Node, tmp_path: Path) -> AsyncIterator[Start]:
    """Listen with these settings; gives the lane and its TCP address."""
    lanes: list[Server] = []

    async def listening(**changes: Path | tuple[Path, ...]) -> tuple[Server, str]:
        settings = Settings(
            listen_address=f"127.0.0.1:{free_port()}",
            socket_path=tmp_path / "run" / "hubble.sock",
            **changes,  # type: ignore[arg-type]  # names of TLS settings
        )
        health = Health()
        lane = await listen(settings, node, health)
        lanes.append(lane)
        health.set("hubble.server.Observer", True)
        assert settings.listen_address is not None
        return lane, settings.listen_address

    yield listening
    for lane in lanes:
        await lane.stop(0)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


async def hubble(*words: str | Path) -> tuple[int, str, str]:
    """Run our command line as a process."""
    process = await asyncio.create_subprocess_exec(
        HUBBLE,
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"HOME": "/nonexistent", "PATH": "/usr/bin"},
    )
    out, err = await asyncio.wait_for(process.communicate(), 40)
    return process.returncode or 0, out.decode(), err.decode()


async def test_tls(start: Start, files: Path, tmp_path: Path) -> None:
    _, address = await start(tls_cert_file=files / "server.crt", tls_key_file=files / "server.key")
    trust = ("--tls-ca-cert-files", files / "ca.crt", "--tls-server-name", NAME)
    status, out, err = await hubble("status", "--server", f"tls://{address}", *trust)
    assert (status, err) == (0, "")
    assert f"Healthcheck (via {address}): Ok" in out
    status, out, _ = await hubble("status", "--tls", "--server", address, *trust[2:])
    assert (status, out) == (1, "")
    status, _, err = await hubble("status", "--server", address)
    assert status == 1
    assert "error reading server preface" in err
    status, out, _ = await hubble("status", "--server", f"unix://{tmp_path}/run/hubble.sock")
    assert (status, "Ok" in out) == (0, True)


async def test_mutual_tls(start: Start, files: Path) -> None:
    _, address = await start(
        tls_cert_file=files / "server.crt",
        tls_key_file=files / "server.key",
        tls_client_ca_files=(files / "ca.crt",),
    )
    trust = ("--tls", "--tls-ca-cert-files", files / "ca.crt", "--tls-server-name", NAME)
    shown = (
        "--tls-client-cert-file", files / "client.crt",
        "--tls-client-key-file", files / "client.key",
    )  # fmt: skip
    status, out, err = await hubble("status", "--server", address, *trust, *shown)
    assert (status, err, "Ok" in out) == (0, "", True)
    status, out, _ = await hubble("status", "--server", address, *trust)
    assert (status, out) == (1, "")


async def test_both_addresses_reflect_and_tell_their_health(
    start: Start, files: Path, tmp_path: Path
) -> None:
    _, address = await start(tls_cert_file=files / "server.crt", tls_key_file=files / "server.key")
    trust = ClientTls(authorities=(files / "ca.crt",))
    for channel in (
        Channel(address, ssl=trust, server_name=NAME),
        Channel(f"unix://{tmp_path}/run/hubble.sock"),
    ):
        assert await services(channel) == [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "leavitt.Node",
            "leavitt.Policies",
            "observer.Observer",
            "peer.Peer",
        ]
        request = HealthCheckRequest(service="hubble.server.Observer")
        path = "/grpc.health.v1.Health/Check"
        reply = await channel.unary_reply(path, request, HealthCheckResponse)
        assert reply.message.status == HealthCheckResponse.SERVING
        assert "hubble-server-version" in dict(reply.initial_metadata)
        await channel.close()


async def services(channel: Channel) -> list[str]:
    async with channel.talk(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", timeout_s=10
    ) as call:
        await call.send(reflection_pb2.ServerReflectionRequest(list_services="*"))
        (data,) = await anext(call.batches())
    answer = reflection_pb2.ServerReflectionResponse.FromString(data)
    return [service.name for service in answer.list_services_response.service]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("tls_cert_file",), "set up TLS: tls-cert-file is given, tls-key-file is missing"),
        (("tls_key_file",), "set up TLS: tls-key-file is given, tls-cert-file is missing"),
        (
            ("tls_client_ca_files",),
            "set up TLS: tls-client-ca-files is given, tls-cert-file is missing",
        ),
        (
            ("tls_cert_file", "tls_client_ca_files"),
            "set up TLS: tls-cert-file is given, tls-key-file is missing",
        ),
        (("tls_cert_file", "tls_key_file"), "load TLS certificate /none/crt: No such file"),
    ],
)
async def test_half_a_configuration_is_refused(
    start: Start, tmp_path: Path, given: tuple[str, ...], text: str
) -> None:
    values = {
        "tls_cert_file": Path("/none/crt"),
        "tls_key_file": Path("/none/key"),
        "tls_client_ca_files": (Path("/none/ca"),),
    }
    with pytest.raises(ServerError) as caught:
        await start(**{name: values[name] for name in given})
    assert str(caught.value).startswith(text)
    assert not (tmp_path / "run").exists()


async def test_tls_without_an_address_is_refused(node: Node, files: Path, tmp_path: Path) -> None:
    settings = Settings(
        socket_path=tmp_path / "hubble.sock",
        tls_cert_file=files / "server.crt",
        tls_key_file=files / "server.key",
    )
    with pytest.raises(ServerError, match="tls-cert-file is given, listen-address is missing"):
        await listen(settings, node, Health())


async def test_flows_through_tls(start: Start, node: Node, files: Path) -> None:
    node.pipeline.feed(SyntheticNode(7).batch(500))
    _, address = await start(tls_cert_file=files / "server.crt", tls_key_file=files / "server.key")
    status, out, err = await hubble(
        "observe", "--last", "100", "--server", f"tls://{address}",
        "--tls-ca-cert-files", files / "ca.crt", "--tls-server-name", NAME,
    )  # fmt: skip
    assert (status, err) == (0, "")
    assert len(out.splitlines()) >= 100
