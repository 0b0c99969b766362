"""What a real agent tells of itself: its start, its pods, and a policy that comes and goes."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.session import Lab
from tests.e2e.conftest import PROGRAMS, RunningServer, running_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: passing-by, namespace: default}
spec:
  podSelector: {matchLabels: {class: nobody-has-this}}
  ingress: [{ports: [{port: 80}]}]
"""


@pytest.fixture
def server(lab: Lab, node_name: str, tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(
        tmp_path,
        "--node-name", node_name,
        "--state", lab.state,
        "--netns", lab.node_netns(node_name),
    ) as running:  # fmt: skip
        yield running


@pytest.fixture
def events(server: RunningServer) -> Iterator[Iterator[dict[str, Any]]]:
    """All events since the start, and those to come."""
    words = ["observe", "agent-events", "--follow", "--last", "1000", "-o", "json"]
    command: Sequence[str | Path] = [
        PROGRAMS / "hubble",
        *words,
        "--server",
        f"unix://{server.socket}",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield (json.loads(line)["agent_event"] for line in process.stdout)
        finally:
            process.kill()


def until(events: Iterator[dict[str, Any]], wanted: str) -> list[dict[str, Any]]:
    """Events up to the first one of a type, that one last; the time limit ends a vain wait."""
    found = []
    for event in events:
        found.append(event)
        if event["type"] == wanted:
            break
    return found


def test_from_the_start_to_a_policy(
    lab: Lab, server: RunningServer, events: Iterator[dict[str, Any]]
) -> None:
    policy = lab.state / "passing-by.yaml"
    policy.write_text(POLICY)
    try:
        before = until(events, "POLICY_UPDATED")
    finally:
        policy.unlink()
    after = until(events, "POLICY_DELETED")

    assert before[0]["type"] == "AGENT_STARTED"
    created = [each["endpoint_update"] for each in before if each["type"] == "ENDPOINT_CREATED"]
    assert {"tiefighter", "xwing"} <= {endpoint["pod_name"] for endpoint in created}
    addresses = [each["ipcache_update"] for each in before if each["type"] == "IPCACHE_UPSERTED"]
    assert {endpoint["pod_name"] for endpoint in created} <= {
        address.get("pod_name") for address in addresses
    }
    name = "k8s:io.cilium.k8s.policy.name=passing-by"
    assert name in before[-1]["policy_update"]["labels"]
    assert name in after[-1]["policy_update"]["labels"]
    assert not [flow for flow in server.flows("--all") if flow["event_type"]["type"] == 130]
    first = server.hubble("observe", "agent-events", "--first", "1")
    assert "AGENT_STARTED (start time: " in first.stdout
