"""Debug events of a real node: off there are none, on they explain a packet step by step."""

import json
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from lab.session import Lab
from tests.e2e.conftest import RunningServer, running_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

LINE = re.compile(
    r"\S+ +\d+ \d\d:\d\d:\d\d\.\d{3}: default/xwing \(ID: \d+\) DBG_CT_CREATED4 "
    r"MARK: 0x[0-9a-f]+ CPU: \d\d \(connection created: source identity \d+, service 0\)"
)


def started(
    lab: Lab, node_name: str, folder: Path, *words: str
) -> AbstractContextManager[RunningServer]:
    folder.mkdir()
    return running_server(
        folder,
        "--node-name", node_name,
        "--state", lab.state,
        "--netns", lab.node_netns(node_name),
        *words,
    )  # fmt: skip


def ping(lab: Lab, running: RunningServer) -> str:
    """Let xwing ping tiefighter and wait for the flow; its target."""
    address = next(str(a) for a in lab.topology.pod("tiefighter").addresses if a.version == 4)
    assert lab.execute("xwing", ["ping", "-c", "1", address]).returncode == 0
    while not running.flows("--all", "--from-pod", "default/xwing", "--to-ip", address):
        pass
    return address


def debug_events(running: RunningServer) -> list[dict[str, Any]]:
    result = running.hubble("observe", "debug-events", "--all", "-o", "json")
    assert result.returncode == 0, result.stderr
    return [json.loads(line)["debug_event"] for line in result.stdout.splitlines()]


def test_off_and_on(lab: Lab, node_name: str, tmp_path: Path) -> None:
    with started(lab, node_name, tmp_path / "off") as running:
        ping(lab, running)
        assert debug_events(running) == []
        running.stop()

    with started(lab, node_name, tmp_path / "on", "--debug-events") as running:
        address = ping(lab, running)
        events = debug_events(running)
        lookup = next(
            event for event in events if event["message"].endswith(f" -> {address}:0")
        )  # fmt: skip
        steps = [event for event in events if event["hash"] == lookup["hash"]]
        assert [event["type"] for event in steps[:5]] == [
            "DBG_CT_LOOKUP4_1",
            "DBG_CT_LOOKUP4_2",
            "DBG_CT_VERDICT",
            "DBG_CT_CREATED4",
            "DBG_LOCAL_DELIVERY",
        ]
        assert {event["source"]["pod_name"] for event in steps[:5]} == {"xwing"}
        assert steps[1]["message"] == "connection lookup: ICMP, egress"
        text = running.hubble("observe", "debug-events", "--all").stdout
        assert any(LINE.fullmatch(line) for line in text.splitlines())
        kinds = {flow["event_type"]["type"] for flow in running.flows("--all")}
        assert 2 not in kinds
        running.stop()

    # whoever takes over without the switch turns it off
    with started(lab, node_name, tmp_path / "off-again") as running:
        ping(lab, running)
        assert debug_events(running) == []
