"""What a real node lost, and what is wrong on it, stands in `hubble status`."""

import json
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.session import Lab
from tests.e2e.conftest import RunningServer, running_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

TRIPS = 2_000
LONGEST_S = 30.0
CONTESTED = """
apiVersion: v1
kind: Pod
metadata: {name: zz-double, namespace: default}
spec: {nodeName: NODE}
status: {phase: Running, podIP: ADDRESS}
"""


@pytest.fixture
def state(lab: Lab, tmp_path: Path) -> Path:
    """A copy of the cluster's objects that a test may change."""
    copied = tmp_path / "state"
    shutil.copytree(lab.state, copied)
    return copied


@pytest.fixture
def server(lab: Lab, node_name: str, state: Path, tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(
        tmp_path,
        "--node-name", node_name, "--state", state, "--netns", lab.node_netns(node_name),
        "--per-packet", "--ring-bytes", "4096",
    ) as running:  # fmt: skip
        yield running


def status(server: RunningServer, *words: str) -> str:
    result = server.hubble("status", *words)
    assert result.returncode == 0, result.stderr
    return result.stdout


def report(server: RunningServer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(status(server, "-o", "json"))["report"]
    return found


def told_in_stream(server: RunningServer) -> int:
    lines = server.hubble("observe", "--all", "-o", "json").stdout.splitlines()
    events = [json.loads(line).get("lost_events", {}) for line in lines]
    return sum(int(each.get("num_events_lost", 0)) for each in events)


def test_what_a_node_lost(lab: Lab, server: RunningServer) -> None:
    target = str(lab.topology.pod("tiefighter").addresses[0])
    flood = ["ping", "-f", "-q", "-c", str(TRIPS), "-W", "5", target]
    server.process.send_signal(signal.SIGSTOP)
    try:
        flooded = lab.execute("xwing", flood, timeout_s=60)
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert "0% packet loss" in flooded.stdout, flooded.stdout + flooded.stderr
    deadline_s = time.monotonic() + LONGEST_S
    while (lost := sum(int(each["count"]) for each in report(server).get("losses", []))) < TRIPS:
        assert time.monotonic() < deadline_s
    assert {each["stage"] for each in report(server)["losses"]} == {"ring"}
    assert told_in_stream(server) == lost
    assert f"\nLost: {lost:,} (ring {lost:,})\n" in status(server)
    assert "perf ring full" in status(server, "-v")


def test_an_address_that_two_pods_claim(
    lab: Lab, server: RunningServer, state: Path, node_name: str
) -> None:
    assert "Problems" not in status(server)
    address = str(lab.topology.pod("tiefighter").addresses[0])
    double = CONTESTED.replace("NODE", node_name).replace("ADDRESS", address)
    (state / "zz.yaml").write_text(double)
    deadline_s = time.monotonic() + LONGEST_S
    while "\nProblems: 1 (see hubble status -v)\n" not in status(server):
        assert time.monotonic() < deadline_s, status(server, "-v")
    [problem] = report(server)["problems"]
    assert (problem["kind"], problem["object"]) == ("Pod", "default/zz-double")
    taken = f"its address is already that of Pod default/tiefighter: {address}"
    assert taken in problem["text"]
    shown = status(server, "-v")
    assert "Pod default/zz-double" in shown
    assert taken in shown
    (state / "zz.yaml").unlink()
    while "Problems" in status(server):
        assert time.monotonic() < deadline_s


def test_a_file_that_cannot_be_read(server: RunningServer, state: Path) -> None:
    (state / "zz.yaml").write_text("kind: [")
    deadline_s = time.monotonic() + LONGEST_S
    while not (found := report(server).get("problems")):
        assert time.monotonic() < deadline_s
    assert (found[0]["kind"], found[0]["object"]) == ("file", "zz.yaml")
    assert found[0]["text"].startswith("parse YAML: ")
