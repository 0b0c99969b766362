"""`hubble observe agent-events` and `debug-events` against a server, in this process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from google.protobuf import json_format

from api.proto.observer.observer_pb2 import GetAgentEventsResponse, GetDebugEventsResponse
from cli.app import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Hubble, Screen

KINDS = {"agent": GetAgentEventsResponse, "debug": GetDebugEventsResponse}


@pytest.fixture
def filled(hubble: Hubble, golden: Path) -> Hubble:
    """A server with an event of each kind that is printed in its own way."""
    for kind, response in KINDS.items():
        lines = (golden / f"{kind}_events.jsonl").read_text().splitlines()
        hubble.events[kind] = [
            json_format.Parse(line, response()).SerializeToString() for line in lines
        ]
    return hubble


async def observe(screen: Screen, hubble: Hubble, *words: str) -> int:
    """Run the command in a thread: it brings its own event loop."""
    line = ["observe", "--server", hubble.address, *words]
    return await asyncio.to_thread(run, line, screen.surroundings())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("output", ["compact", "dict", "table", "json"])
async def test_golden(kind: str, output: str, filled: Hubble, screen: Screen, golden: Path) -> None:
    words = (f"{kind}-events", "-o", output, "--print-node-name")
    assert await observe(screen, filled, *words) == 0
    assert screen.out == (golden / f"{kind}_events_{output}.out").read_text()
    assert not filled.requests, "asked for flows"


@pytest.mark.parametrize("kind", KINDS)
async def test_without_node_names(kind: str, filled: Hubble, screen: Screen) -> None:
    for output in ("compact", "dict", "table"):
        assert await observe(screen, filled, f"{kind}-events", "-o", output) == 0
    assert "k8s1" not in screen.out
    assert "Mar  4 05:06:07.089: " in screen.out


@pytest.mark.parametrize(
    ("words", "number", "first", "follow"),
    [
        ([], 20, False, False),
        (["--last", "3"], 3, False, False),
        (["--first", "3"], 3, True, False),
        (["--all"], (1 << 64) - 1, False, False),
        (["--follow"], 20, False, True),
        (["--since", "1m"], 0, False, False),
        (["--since", "1m", "--last", "4"], 4, False, False),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
async def test_selection(
    kind: str,
    words: list[str],
    number: int,
    first: bool,
    follow: bool,
    hubble: Hubble,
    screen: Screen,
) -> None:
    assert await observe(screen, hubble, f"{kind}-events", *words) == 0
    (request,) = hubble.event_requests
    assert (request.number, request.first, request.follow) == (number, first, follow)
    assert request.HasField("since") == ("--since" in words)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--pod", "x"], "unknown flag: --pod\n"),
        (["-o", "bogus"], "invalid output format: bogus\n"),
        (["-f", "-o", "table"], "table output format is not compatible with follow mode\n"),
        (["--since", "x"], "failed to parse the since time: failed to convert x to time\n"),
    ],
)
async def test_mistakes(words: list[str], text: str, hubble: Hubble, screen: Screen) -> None:
    assert await observe(screen, hubble, "agent-events", *words) == 1
    assert screen.err == text
    assert not hubble.event_requests


async def test_an_unreadable_message(hubble: Hubble, screen: Screen) -> None:
    hubble.events["debug"] = [b"\xff"]
    assert await observe(screen, hubble, "debug-events") == 1
    assert screen.err.startswith("rpc error: code = Internal desc = ")
