"""`hubble-relay` as a process: its commands, health, metrics, and TLS towards clients."""

import asyncio
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from api.lane.client import Channel
from api.lane.status import Code, RpcError
from api.lane.tls import ClientTls
from api.proto.observer import observer_pb2 as pb
from tests.api.lane.certificates import Authority
from tests.relay.processes import NodeProcess, base_ns, cluster

PROGRAM = Path(sys.executable).with_name("hubble-relay")
PLAIN = ("--disable-client-tls", "--disable-server-tls")
STATUS = "/observer.Observer/ServerStatus"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *words], capture_output=True, text=True, check=False, timeout=60
    )


def test_an_unknown_command_is_named() -> None:
    result = run("bogus")
    assert (result.returncode, result.stderr) == (
        1,
        "hubble-relay: unknown command: expected one of serve, check, config: 'bogus'\n",
    )


def test_without_tls_and_without_saying_so_it_does_not_start() -> None:
    assert run("serve").stderr == "hubble-relay: no client TLS config is set\n"
    result = run("--disable-client-tls")
    assert (result.returncode, result.stderr) == (
        1,
        "hubble-relay: no server TLS config is set\n",
    )


@pytest.mark.parametrize(
    "flag", ["listen-address", "health-listen-address", "metrics-listen-address"]
)
def test_a_taken_port_is_named(flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = f"127.0.0.1:{held.getsockname()[1]}"
        free = ["--listen-address=127.0.0.1:0", "--health-listen-address=127.0.0.1:0"]
        result = run(*PLAIN, *free, f"--{flag}={address}")
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"hubble-relay: listen on {address}: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sort-buffer-drain-timeout=0s"], "expected a duration above 0: '0s'"),
        (["--retry-timeout=x"], "set retry-timeout from flag --retry-timeout: "),
        (["--peer-service=nowhere"], "expected host:port or unix:///path: 'nowhere'"),
        (["--config=/nowhere.yaml"], "/nowhere.yaml"),
    ],
)
def test_a_wrong_setting_is_named(words: list[str], message: str) -> None:
    result = run(*words)
    assert result.returncode == 1
    assert message in result.stderr


def test_the_configuration_of_the_original_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "cluster-name: c1\npeer-service: hubble-peer.kube-system.svc.cluster.local.:443\n"
        "listen-address: :4245\ngops: true\ngops-port: 9893\npprof: false\nretry-timeout:\n"
        "sort-buffer-len-max:\nsort-buffer-drain-timeout: 500ms\nmetrics-listen-address: :9966\n"
        "tls-client-cert-file: c.crt\ntls-client-key-file: c.key\n"
        "tls-hubble-server-ca-files: ca.crt\ndisable-server-tls: true\n"
    )
    result = run("config", "--config", str(file))
    assert (result.returncode, result.stderr) == (0, "")
    for line in (
        "cluster-name: c1 ",
        "peer-service: hubble-peer.kube-system.svc.cluster.local.:443 ",
        "sort-buffer-drain-timeout: 500ms ",
        "retry-timeout: 30s ",
        "tls-hubble-client-cert-file: c.crt ",
    ):
        assert f"\n{line}" in result.stdout


def test_check_names_what_is_in_the_way_and_what_is_missing(tmp_path: Path) -> None:
    free = ["--listen-address=127.0.0.1:0", "--health-listen-address=127.0.0.1:0"]
    result = run("check", *PLAIN, *free, f"--peer-service={tmp_path}/none.sock")
    assert result.returncode == 0
    assert "ok       TLS to nodes    off\n" in result.stdout
    assert "warning  peer service    unix://" in result.stdout
    assert "no such file" in result.stdout
    result = run("check", *free)
    assert result.returncode == 1
    assert "blocker  TLS to nodes    no client TLS config is set\n" in result.stdout


async def test_check_asks_the_nodes(tmp_path: Path) -> None:
    node = NodeProcess("a", base_ns())
    async with cluster(tmp_path, node) as made:
        made.book.tell("a", node.address)
        made.book.tell("b", "127.0.0.1:1")
        free = ["--listen-address=127.0.0.1:0", "--health-listen-address=127.0.0.1:0"]
        peers = f"--peer-service={tmp_path}/peers.sock"
        result = await asyncio.to_thread(run, "check", *PLAIN, *free, peers)
    assert result.returncode == 0
    assert "names 2 nodes\n" in result.stdout
    assert f"ok       node a          {node.address}: live\n" in result.stdout
    assert "warning  node b          127.0.0.1:1: " in result.stdout


async def test_metrics_tell_of_nodes_and_calls(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = f"127.0.0.1:{held.getsockname()[1]}"
    node = NodeProcess("a", base_ns(0.5))
    flags = ("--disable-client-tls", "--metrics-listen-address", address)
    async with cluster(tmp_path, node, flags=flags) as made:
        made.book.tell("a", node.address)
        await made.connected("a")
        request = pb.GetFlowsRequest(number=5)
        async with made.channel.server_stream("/observer.Observer/GetFlows", request) as answer:
            made.take([message async for batch in answer.batches() for message in batch])
        with pytest.raises(RpcError):
            await made.channel.unary(
                "/observer.Observer/GetAgentEvents",
                pb.GetAgentEventsRequest(),
                pb.GetAgentEventsResponse,
            )
        page = await asyncio.to_thread(_get, f"http://{address}/metrics")
    assert 'hubble_relay_pool_peer_connection_status{status="READY"} 1.0\n' in page
    assert 'hubble_relay_pool_peer_connection_status{status="NIL_CONNECTION"} 0.0\n' in page
    flows = len(made.flows["a"])
    assert f'leavitt_relay_node_flows_total{{node="a"}} {float(flows)}\n' in page
    labels = 'grpc_method="GetFlows",grpc_service="observer.Observer",grpc_type="server_stream"'
    assert f"grpc_server_started_total{{{labels}}} 1.0\n" in page
    ok = labels.replace("grpc_method", 'grpc_code="OK",grpc_method')
    assert f"grpc_server_handled_total{{{ok}}} 1.0\n" in page
    assert 'grpc_code="Unimplemented",grpc_method="GetAgentEvents"' in page
    assert "process_resident_memory_bytes" in page


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return str(answer.read().decode())


async def test_mutual_tls_lets_in_only_whom_it_knows(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    certificate, key = authority.sign("relay", "relay.example")
    friend, foe = authority.sign("friend", "friend"), stranger.sign("foe", "foe")
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "--disable-client-tls", "--listen-address=127.0.0.1:0",
        "--health-listen-address=127.0.0.1:0", f"--peer-service={tmp_path}/none.sock",
        f"--tls-relay-server-cert-file={certificate}", f"--tls-relay-server-key-file={key}",
        f"--tls-relay-client-ca-files={authority.certificate}",
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    line = b""
    async with asyncio.timeout(60):
        while b"listening address=" not in line:
            line = await process.stderr.readline()
    address = line.split(b"address=")[1].split()[0].decode()

    async def ask(pair: tuple[Path, Path] | None) -> pb.ServerStatusResponse:
        own, its_key = pair or (None, None)
        tls = ClientTls(authorities=[authority.certificate], certificate=own, key=its_key)
        channel = Channel(address, ssl=tls, server_name="relay.example")
        try:
            return await channel.unary(
                STATUS, pb.ServerStatusRequest(), pb.ServerStatusResponse, timeout_s=20
            )
        finally:
            await channel.close()

    try:
        assert (await ask(friend)).version.startswith("hubble-relay")
        for pair in (None, foe):
            with pytest.raises(RpcError) as refused:
                await ask(pair)
            assert refused.value.code == Code.UNAVAILABLE
        # a renewed certificate counts for the next connection
        renewed = authority.sign("renewed", "other.example")
        certificate.write_bytes(renewed[0].read_bytes())
        key.write_bytes(renewed[1].read_bytes())
        with pytest.raises(RpcError, match=r"(?i)certificate"):
            await ask(friend)
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0
