"""One node from its packets to the terminal, with real pods, programs and processes."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.runs import BPFFS
from lab.session import Lab, publish, scenario
from observer.kernel import syscall
from tests.e2e.conftest import RunningServer, running_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

LAND = ["curl", "-sS", "--max-time", "5", "-XPOST", "http://deathstar/v1/request-landing"]
DENIED = ["curl", "-sS", "--max-time", "0.5", "-XPOST", "http://deathstar/v1/request-landing"]


@pytest.fixture(scope="module")
def server(
    lab: Lab, node_name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server")
    with running_server(
        folder,
        "--node-name", node_name,
        "--state", lab.state,
        "--netns", lab.node_netns(node_name),
        "--report-interval", "50ms",
        "--record", folder / "node.rec",
    ) as running:  # fmt: skip
        yield running


def test_a_quiet_lab_shows_no_drops(server: RunningServer) -> None:
    assert server.flows("--all", "--verdict", "DROPPED") == []


def test_a_landing_is_seen_from_dns_to_the_last_ack(lab: Lab, server: RunningServer) -> None:
    landed = lab.execute("tiefighter", LAND)
    assert landed.stdout.strip() == "Ship landed", landed.stderr

    flows = server.flows("--all", "--pod", "default/tiefighter", "--protocol", "tcp")
    first = flows[0]
    assert first["source"]["pod_name"] == "tiefighter"
    assert first["source"]["workloads"] == [{"name": "tiefighter", "kind": "Pod"}]
    assert first["destination"]["workloads"] == [{"name": "deathstar", "kind": "Deployment"}]
    assert "k8s:class=deathstar" in first["destination"]["labels"]
    assert (first["verdict"], first["Summary"]) == ("FORWARDED", "TCP Flags: SYN")
    assert first["l4"]["TCP"]["destination_port"] == 80
    assert (first["is_reply"], flows[1]["is_reply"]) == (False, True)
    asked = server.flows("--all", "--from-pod", "default/tiefighter", "--port", "53")
    assert {flow["destination"]["namespace"] for flow in asked} == {"kube-system"}


def test_the_policy_stops_the_alliance_and_says_so(lab: Lab, server: RunningServer) -> None:
    assert lab.execute("xwing", LAND).stdout.strip() == "Ship landed"
    with_policy = scenario("empire-policy")
    publish(with_policy, lab)
    while lab.execute("xwing", DENIED).returncode == 0:
        pass

    drop = server.flows("--last", "1", "--verdict", "DROPPED", "--type", "drop")[0]
    assert drop["source"]["pod_name"] == "xwing"
    assert drop["destination"]["labels"][-1].startswith("k8s:")
    assert drop["drop_reason_desc"] == "POLICY_DENIED"
    assert drop["traffic_direction"] == "INGRESS"
    assert drop["file"]["name"].endswith((".c", ".h"))
    assert "is_reply" not in drop
    assert lab.execute("tiefighter", LAND).stdout.strip() == "Ship landed"
    text = server.hubble("observe", "--all", "--from-pod", "default/xwing", "--verdict", "DROPPED")
    assert "policy-verdict:none INGRESS DENIED (TCP Flags: SYN)" in text.stdout
    assert "Policy denied DROPPED (TCP Flags: SYN)" in text.stdout


def test_ping_both_families(lab: Lab, server: RunningServer) -> None:
    for address in lab.topology.pod("tiefighter").addresses:
        result = lab.execute("xwing", ["ping", "-c1", "-W5", str(address)])
        assert result.returncode == 0, result.stdout + result.stderr
    summaries = {flow["Summary"] for flow in server.flows("--all", "--protocol", "icmp")}
    assert {"ICMPv4 EchoRequest", "ICMPv4 EchoReply"} <= summaries
    assert {"ICMPv6 EchoRequest", "ICMPv6 EchoReply"} <= summaries


def test_status_and_namespaces(server: RunningServer) -> None:
    status = server.hubble("status")
    assert status.returncode == 0
    assert "Ok" in status.stdout.splitlines()[0]
    assert "/65,535 (" in status.stdout
    namespaces = server.hubble("list", "namespaces")
    assert namespaces.stdout.split() == ["NAMESPACE", "default", "kube-system"]
    nodes = server.hubble("list", "nodes")
    assert nodes.returncode == 1
    assert "Unimplemented" in nodes.stderr


def test_a_second_server_on_the_node_is_refused(
    lab: Lab, node_name: str, server: RunningServer, tmp_path: Path
) -> None:
    refused = pytest.raises(pytest.fail.Exception, match=f"hubble-server: .*{node_name}")
    with refused, running_server(tmp_path, "--node-name", node_name):
        pass
    assert server.seen_flows() > 0


def test_without_programs_nothing_new_appears(
    lab: Lab, node_name: str, server: RunningServer
) -> None:
    for link in (BPFFS / "leavitt" / node_name).rglob("links/*"):
        fd = syscall.open_pin(link)
        syscall.link_detach(fd)
        os.close(fd)
    before = server.seen_flows()
    for address in lab.topology.pod("tiefighter").addresses:
        lab.execute("xwing", ["ping", "-c2", "-W0.2", str(address)])
    assert server.seen_flows() == before


def test_the_recording_replays_to_the_same_flows(server: RunningServer, tmp_path: Path) -> None:
    shown = server.flows("--all")
    assert server.stop() == 0
    assert not server.socket.exists()
    recording = shutil.copy(server.socket.with_name("node.rec"), tmp_path / "copy.rec")

    node = shown[0]["node_name"].partition("/")[2]
    words = ["--replay", recording, "--speed", "max", "--node-name", node]
    with running_server(tmp_path, *words) as replay:
        replayed = replay.flows("--all")
    assert [strip(flow) for flow in replayed] == [strip(flow) for flow in shown]
    assert len({flow["uuid"] for flow in replayed}) == len(shown)


def strip(flow: dict[str, object]) -> str:
    """A flow without what belongs to the process (uuid) or to the live node (interface names)."""
    kept = {key: value for key, value in flow.items() if key not in ("uuid", "interface")}
    return json.dumps(kept, sort_keys=True)
