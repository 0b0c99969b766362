"""Three nodes without a relay: packets between them, judged and named on both sides, and peers."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.session import publish, scenario
from tests.e2e.cluster import PROGRAMS, Cluster, open_cluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

NODES = ("lab-1", "lab-2", "lab-3")
# On the second node; its neighbour on the first is nobody's.
DEATHSTAR = "deathstar-689f66b57d-h7kqx"
FAMILIES = ["10.244.2.12", "fd00:244:2::12"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with open_cluster(f"c{os.getpid()}"[:8]) as opened:
        yield opened


@pytest.mark.parametrize("address", FAMILIES)
def test_both_nodes_name_both_ends(cluster: Cluster, address: str) -> None:
    assert cluster.lands("tiefighter", address)

    words = ("--from-pod", "default/tiefighter", "--to-ip", address, "--protocol", "tcp")
    left, arrived = (cluster.flows(node, *words)[0] for node in ("lab-1", "lab-2"))
    assert left["trace_observation_point"] == "TO_STACK"
    assert arrived["trace_observation_point"] == "TO_ENDPOINT"
    for seen, node in ((left, "lab-1"), (arrived, "lab-2")):
        assert seen["node_name"] == f"default/{node}"
        assert seen["Summary"] == "TCP Flags: SYN"
        assert seen["destination"]["pod_name"] == DEATHSTAR
        assert seen["destination"]["workloads"] == [{"name": "deathstar", "kind": "Deployment"}]
    # The clocks of all servers agree far below the time that a packet takes.
    assert left["time"] < arrived["time"]
    assert left["source"]["identity"] == arrived["source"]["identity"]
    assert left["destination"]["identity"] == arrived["destination"]["identity"]
    # An endpoint's number means something on its own node only.
    assert "ID" in left["source"]
    assert "ID" not in arrived["source"]


def test_replies_are_seen_as_such_on_both_sides(cluster: Cluster) -> None:
    assert cluster.lands("tiefighter", FAMILIES[0])
    words = ("--from-pod", f"default/{DEATHSTAR}", "--to-pod", "default/tiefighter")
    for node, point in (("lab-2", "TO_STACK"), ("lab-1", "TO_ENDPOINT")):
        replies = cluster.flows(node, *words, "--protocol", "tcp")
        assert {flow["is_reply"] for flow in replies} == {True}
        assert {flow["trace_observation_point"] for flow in replies} == {point}


def test_names_are_asked_across_nodes(cluster: Cluster) -> None:
    found = cluster.lab.execute("xwing", ["getent", "ahostsv4", "deathstar"])
    assert found.stdout.split()[0] in ("10.244.1.11", "10.244.2.12"), found.stderr
    for node in ("lab-2", "lab-3"):
        (asked, *_) = cluster.flows(node, "--from-pod", "default/xwing", "--to-port", "53")
        assert asked["destination"]["pod_name"].startswith("coredns-")


@pytest.mark.parametrize("ship", ["xwing", "tiefighter"])
@pytest.mark.parametrize("version", [4, 6])
def test_pods_reach_their_own_node_and_others(cluster: Cluster, ship: str, version: int) -> None:
    for node in cluster.lab.topology.nodes:
        address = node.address(version)
        done = cluster.lab.execute(ship, ["ping", "-c1", "-W5", str(address)])
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("address", FAMILIES)
def test_the_policy_of_a_node_judges_who_comes_from_another(cluster: Cluster, address: str) -> None:
    assert cluster.lands("xwing", address)
    publish(scenario("empire-policy"), cluster.lab)
    while cluster.lands("xwing", address, wait_s=0.5):
        pass

    drop = cluster.flows("lab-2", "--verdict", "DROPPED", "--type", "drop", "--to-ip", address)[-1]
    assert drop["source"]["pod_name"] == "xwing"
    assert "k8s:org=alliance" in drop["source"]["labels"]
    assert (drop["drop_reason_desc"], drop["traffic_direction"]) == ("POLICY_DENIED", "INGRESS")
    assert cluster.flows("lab-3", "--verdict", "DROPPED") == []
    assert cluster.lands("tiefighter", address)
    allowed = cluster.flows("lab-2", "--type", "policy-verdict", "--from-pod", "tiefighter")[-1]
    assert [rule["name"] for rule in allowed["ingress_allowed_by"]] == ["empire-only"]

    (cluster.lab.state / "empire-policy.yaml").unlink()
    while not cluster.lands("xwing", address, wait_s=0.5):
        pass


def test_who_changes_sides_is_judged_anew_on_every_node(cluster: Cluster, tmp_path: Path) -> None:
    galaxy = cluster.lab.state / "galaxy.yaml"
    as_it_was = tmp_path / "galaxy.yaml"
    as_it_was.write_text(galaxy.read_text())
    publish(scenario("empire-policy"), cluster.lab)
    while cluster.lands("xwing", FAMILIES[0], wait_s=0.5):
        pass
    defected = tmp_path / "new" / "galaxy.yaml"
    defected.parent.mkdir()
    defected.write_text(as_it_was.read_text().replace("org: alliance", "org: empire"))

    publish(defected, cluster.lab)
    while not cluster.lands("xwing", FAMILIES[0], wait_s=0.5):
        pass

    publish(as_it_was, cluster.lab)
    while cluster.lands("xwing", FAMILIES[0], wait_s=0.5):
        pass
    (cluster.lab.state / "empire-policy.yaml").unlink()


def test_servers_answer_on_the_addresses_of_their_nodes(cluster: Cluster) -> None:
    for node in cluster.lab.topology.nodes:
        program = str(PROGRAMS / "hubble")
        words = ["--run", cluster.lab.run.name, "node/lab-3", "--", program, "status"]
        for address in node.addresses:
            host = f"[{address}]" if address.version == 6 else str(address)
            asked = run_lab("exec", *words, "--server", f"{host}:4244")
            assert "Healthcheck" in asked, asked
            assert ": Ok" in asked, asked


def run_lab(*words: str) -> str:
    done = subprocess.run(
        [PROGRAMS / "hubble-lab", *words], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("node", NODES)
def test_every_node_tells_of_all_and_of_what_changes(
    cluster: Cluster, node: str, tmp_path: Path
) -> None:
    outpost = tmp_path / "outpost.yaml"
    text = (
        "apiVersion: v1\nkind: Node\nmetadata: {name: hoth}\n"
        "status: {addresses: [{type: InternalIP, address: 172.30.0.77}]}\n"
    )
    with cluster.watched_peers(node) as watch:
        try:
            assert watch.stdout is not None
            first = [watch.stdout.readline().split() for _ in NODES]
            assert first == [
                ["PEER_ADDED", f"172.30.0.{number}", name]
                for number, name in enumerate(NODES, start=1)
            ]
            outpost.write_text(text)
            publish(outpost, cluster.lab)
            assert watch.stdout.readline().split() == ["PEER_ADDED", "172.30.0.77", "hoth"]
            outpost.write_text(text.replace(".77", ".78"))
            publish(outpost, cluster.lab)
            assert watch.stdout.readline().split() == ["PEER_UPDATED", "172.30.0.78", "hoth"]
            (cluster.lab.state / outpost.name).unlink()
            assert watch.stdout.readline().split() == ["PEER_DELETED", "172.30.0.78", "hoth"]
        finally:
            watch.kill()
