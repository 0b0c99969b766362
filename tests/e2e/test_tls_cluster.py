"""Mutual TLS between `hubble`, the relay and three nodes, with the certificates of `make certs`."""

import os
import signal
import ssl
import subprocess
from collections.abc import Iterator

import pytest

from lab.certificates import Pair, TlsFiles, make_certificates
from lab.namespaces import inside
from lab.processes import birth_of, recorded
from lab.servers import SERVER_PORT, server_command, server_name
from lab.session import publish, scenario
from tests.e2e.cluster import PROGRAMS, Cluster, add_relay, flows_of, hubble, open_cluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

NODE = "lab-2"
NODE_TLS_NAME = f"{NODE}.default.hubble-grpc.cilium.io"
COMMANDS = {
    "status": ("status",),
    "flows": ("observe", "--last", "5"),
    "nodes": ("list", "nodes"),
    "peers": ("watch", "peers"),
    "services": ("reflect",),
}
REASONS = {
    "nobody": "certificate required",
    "stranger": "unknown ca",
    "in the clear": "error reading server preface",
}
"""Who asks → what he is told."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_certificates(tmp_path_factory.mktemp("tls"), cluster_name="default", days=2)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """Of an authority that nobody here knows."""
    return make_certificates(tmp_path_factory.mktemp("foreign"), cluster_name="default", days=2)


@pytest.fixture(scope="module")
def cluster(files: TlsFiles) -> Iterator[Cluster]:
    with open_cluster(f"m{os.getpid()}"[:8], tls=files) as opened:
        yield opened


@pytest.fixture(scope="module")
def relay(cluster: Cluster) -> str:
    return add_relay(cluster)


def shown(pair: Pair | None) -> list[str]:
    """The flags by which `hubble` shows a certificate."""
    if pair is None:
        return []
    return [
        *("--tls-client-cert-file", str(pair.certificate)),
        *("--tls-client-key-file", str(pair.key)),
    ]


def trusting(files: TlsFiles) -> list[str]:
    return ["--tls", "--tls-ca-cert-files", str(files.authority)]


def on_node(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `hubble` in the network of one node, against the TCP address of another."""
    address = cluster.lab.topology.node(NODE).address(4)
    with inside(cluster.lab.topology.node("lab-3").netns):
        return hubble(*words, "--server", f"{address}:{SERVER_PORT}")


def named(files: TlsFiles) -> list[str]:
    return [*trusting(files), "--tls-server-name", NODE_TLS_NAME]


def test_with_a_certificate_all_nodes_are_seen(
    cluster: Cluster, files: TlsFiles, relay: str
) -> None:
    assert cluster.lands("tiefighter", "10.244.2.12")
    known = ["--server", relay, *trusting(files), *shown(files.client)]

    nodes = hubble("list", "nodes", "-o", "wide", *known)
    flows = flows_of(
        hubble("observe", "--all", "--to-pod", "default/deathstar", "-o", "json", *known)
    )

    assert [line.split()[1] for line in nodes.stdout.splitlines()[1:]] == ["Connected"] * 3
    assert nodes.stdout.count("Enabled") == 3
    assert {flow["node_name"] for flow in flows} == {"default/lab-1", "default/lab-2"}


def test_drops_of_all_nodes_come_in_order_of_time(
    cluster: Cluster, files: TlsFiles, relay: str
) -> None:
    publish(scenario("empire-policy"), cluster.lab)
    stations = ("10.244.1.11", "10.244.2.12")
    while any(cluster.lands("xwing", address, wait_s=0.5) for address in stations):
        pass
    for address in stations * 3:
        assert not cluster.lands("xwing", address, wait_s=0.2)
    known = ["--server", relay, *trusting(files), *shown(files.client)]
    words = ("observe", "--all", "--to-label", "class=deathstar", "--verdict", "DROPPED")

    seen = [
        (drop["time"], drop["node_name"])
        for drop in flows_of(hubble(*words, "--type", "drop", "-o", "json", *known))
    ]

    assert seen == sorted(seen)
    assert len([node for _, node in seen if node == "default/lab-1"]) >= 3
    assert len([node for _, node in seen if node == "default/lab-2"]) >= 3
    assert "Connected Nodes: 3/3" in hubble("status", *known).stdout
    (cluster.lab.state / "empire-policy.yaml").unlink()


def test_a_node_answers_who_shows_a_certificate(cluster: Cluster, files: TlsFiles) -> None:
    known = [*named(files), *shown(files.client)]
    assert ": Ok" in on_node(cluster, "status", *known).stdout
    assert flows_of(on_node(cluster, "observe", "--all", "-o", "json", *known))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("who", REASONS)
@pytest.mark.parametrize("server", ["relay", "node"])
def test_who_is_not_known_gets_nothing(
    cluster: Cluster, files: TlsFiles, foreign: TlsFiles, relay: str, server: str, who: str,
    command: str,
) -> None:  # fmt: skip
    certificate = shown(foreign.client) if who == "stranger" else []
    words = COMMANDS[command]
    if server == "relay":
        trust = [] if who == "in the clear" else trusting(files)
        refused = hubble(*words, "--server", relay, *trust, *certificate)
    else:
        trust = [] if who == "in the clear" else named(files)
        refused = on_node(cluster, *words, *trust, *certificate)

    assert refused.returncode != 0
    assert refused.stdout == ""
    assert "Unavailable" in refused.stderr
    assert REASONS[who] in refused.stderr


def test_the_certificate_of_a_node_is_no_relays(files: TlsFiles, relay: str) -> None:
    """Who was sent to another server by mistake or malice notices."""
    wrong = ["--tls-server-name", NODE_TLS_NAME]
    refused = hubble("status", "--server", relay, *trusting(files), *shown(files.client), *wrong)
    assert refused.returncode != 0
    assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr


def test_renewed_certificates_are_used_without_a_restart(
    cluster: Cluster, files: TlsFiles, relay: str
) -> None:
    host, _, port = relay.partition(":")
    places = [(None, (host, int(port))), *node_places(cluster)]
    before = [certificate_at(netns, place) for netns, place in places]
    known = ["--server", relay, *trusting(files), *shown(files.client)]
    with subprocess.Popen(
        [PROGRAMS / "hubble", "observe", "--follow", "--to-pod", "default/deathstar", *known],
        stdout=subprocess.PIPE,
        text=True,
    ) as follower:
        try:
            assert follower.stdout is not None
            assert cluster.lands("tiefighter", "10.244.2.12")
            assert follower.stdout.readline()

            make_certificates(files.folder, cluster_name="default", days=2)

            after = [certificate_at(netns, place) for netns, place in places]
            assert not set(after) & set(before)
            assert cluster.lands("tiefighter", "10.244.2.12")
            assert follower.stdout.readline()  # by the connections that were there
        finally:
            follower.kill()
    assert ": Ok" in hubble("status", *known).stdout


def node_places(cluster: Cluster) -> list[tuple[str, tuple[str, int]]]:
    return [
        (node.netns, (str(node.address(4)), SERVER_PORT)) for node in cluster.lab.topology.nodes
    ]


def certificate_at(netns: str | None, place: tuple[str, int]) -> str:
    if netns is None:
        return ssl.get_server_certificate(place, timeout=10)
    with inside(netns):
        return ssl.get_server_certificate(place, timeout=10)


def test_the_relay_returns_to_a_node_that_was_restarted(
    cluster: Cluster, files: TlsFiles, relay: str
) -> None:
    make_certificates(files.folder, cluster_name="default", days=2)
    lab, node = cluster.lab, cluster.lab.topology.node(NODE)
    known = ["--server", relay, *trusting(files), *shown(files.client)]
    (server,) = (one for one in recorded(lab.run.processes) if one.name == server_name(node))
    os.kill(server.pid, signal.SIGKILL)
    while birth_of(server.pid) == server.birth:
        pass
    while "Unavailable" not in hubble("list", "nodes", *known).stdout:
        pass

    command = server_command(lab, node, lab.run.own_bpffs, files)
    lab.start_on_node(node, f"{server_name(node)}-again", command)

    while hubble("list", "nodes", *known).stdout.count("Connected") != 3:
        pass
    words = ("observe", "--all", "--to-ip", "10.244.2.12", "-o", "json", *known)
    while "default/lab-2" not in {flow["node_name"] for flow in flows_of(hubble(*words))}:
        assert cluster.lands("tiefighter", "10.244.2.12")
