"""Cilium's policies from their files to verdicts, drops and explanations, with real processes."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lab as lab_room
from lab.session import Lab
from tests.e2e.conftest import RunningServer, running_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

POLICIES = Path(lab_room.__file__).parent / "scenarios" / "policies"
LAND = ["curl", "-sS", "--max-time", "0.5", "-XPOST", "http://deathstar/v1/request-landing"]
WAIT_S = 30.0


@pytest.fixture(scope="module")
def server(
    lab: Lab, node_name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    with running_server(
        tmp_path_factory.mktemp("server"),
        "--node-name", node_name,
        "--state", lab.state,
        "--netns", lab.node_netns(node_name),
    ) as running:  # fmt: skip
        yield running


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline, "it never came about"


def put(lab: Lab, name: str) -> None:
    shutil.copy(POLICIES / f"{name}.yaml", lab.state)


def policy(server: RunningServer, *words: str) -> subprocess.CompletedProcess[str]:
    return server.hubble("policy", *words)


def test_who_may_land_is_said_before_and_after(lab: Lab, server: RunningServer) -> None:
    ends = ("--to-pod", "default/deathstar", "--port", "80/TCP")
    assert lab.execute("xwing", LAND).returncode == 0
    assert (
        "80/TCP ALLOWED" in policy(server, "verdict", "--from-pod", "default/xwing", *ends).stdout
    )
    put(lab, "empire-only")
    until(lambda: "empire-only" in policy(server, "list").stdout)
    assert lab.execute("xwing", LAND).returncode != 0
    assert lab.execute("tiefighter", LAND).stdout.strip() == "Ship landed"
    said = policy(server, "verdict", "--from-pod", "default/xwing", *ends).stdout
    assert "80/TCP DENIED" in said
    assert "DENIED BY empire-only (CiliumNetworkPolicy) spec, which isolates it" in said
    verdicts = ("observe", "--last", "9", "--type", "policy-verdict", "--print-policy-names")
    shown = server.hubble(*verdicts).stdout
    assert "INGRESS DENIED BY empire-only (CiliumNetworkPolicy) (TCP Flags: SYN)" in shown
    assert "INGRESS ALLOWED BY empire-only (CiliumNetworkPolicy) (TCP Flags: SYN)" in shown
    explained = policy(server, "explain", "--pod", "default/xwing").stdout
    assert "spec.ingress[0] allows: peer: needs any:org=empire, has k8s:org=alliance" in explained


def test_denied_names_are_drops_of_udp(lab: Lab, server: RunningServer) -> None:
    put(lab, "no-dns-for-xwing")
    until(lambda: "no-dns-for-xwing" in policy(server, "list").stdout)
    assert lab.execute("xwing", LAND).returncode != 0
    [drop] = server.flows("--last", "1", "--from-pod", "default/xwing", "--port", "53",
                          "--verdict", "DROPPED", "--type", "drop")  # fmt: skip
    assert (drop["drop_reason_desc"], drop["Summary"]) == ("POLICY_DENY", "UDP")
    assert [each["name"] for each in drop["egress_denied_by"]] == ["no-dns-for-xwing"]


def test_what_cannot_be_honoured_is_named_and_changes_nothing(
    lab: Lab, server: RunningServer
) -> None:
    text = (POLICIES / "empire-only.yaml").read_text()
    (lab.state / "empire-only.yaml").write_text(text.replace("toPorts", "toFQDNs"))
    until(lambda: "spec.ingress[0].toFQDNs: is not supported" in policy(server, "list").stdout)
    assert "empire-only" in policy(server, "list").stdout.partition("problem:")[0]
    assert lab.execute("tiefighter", LAND).stdout.strip() == "Ship landed"
