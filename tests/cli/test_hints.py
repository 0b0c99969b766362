"""Hints on the error stream: losses, and time that is not kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from google.protobuf import json_format

from api.lane.wire import Framed, frame
from api.proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse
from cli.app import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.lane.call import Call
    from tests.cli.conftest import Hubble, Screen


def response(**fields: object) -> bytes:
    return json_format.ParseDict(fields, GetFlowsResponse()).SerializeToString()


def lost(source: str, count: int, node: str = "c/n") -> bytes:
    return response(lost_events={"source": source, "num_events_lost": str(count)}, node_name=node)


async def observe(screen: Screen, hubble: Hubble, *words: str) -> int:
    """Run the command in a thread: it brings its own event loop."""
    line = ["observe", "--server", hubble.address, *words]
    return await asyncio.to_thread(run, line, screen.surroundings())


@pytest.mark.parametrize("output", ["compact", "json"])
async def test_losses_are_summed_by_place(output: str, hubble: Hubble, screen: Screen) -> None:
    ring = "HUBBLE_RING_BUFFER"
    hubble.messages = [lost(ring, 1000), lost(ring, 234), lost("UNKNOWN_LOST_EVENT_SOURCE", 1, "")]
    assert await observe(screen, hubble, "-o", output) == 0
    first, second = screen.err.splitlines()
    assert first.startswith("hint: 1 events lost in UNKNOWN_LOST_EVENT_SOURCE of the server: ")
    assert second.startswith("hint: 1,234 events lost in HUBBLE_RING_BUFFER of c/n: they were ")
    assert "hint" not in screen.out


async def test_a_full_perf_ring_may_be_a_restart(hubble: Hubble, screen: Screen) -> None:
    hubble.messages = [lost("PERF_EVENT_RING_BUFFER", 32)]
    assert await observe(screen, hubble) == 0
    assert screen.err == (
        "hint: 32 events lost in PERF_EVENT_RING_BUFFER of c/n: once after a start they are from "
        "the time between two servers, and nothing helps; otherwise packets came faster than they "
        "were read: a larger perf ring helps\n"
    )


async def test_silence(hubble: Hubble, screen: Screen) -> None:
    hubble.messages = [lost("HUBBLE_RING_BUFFER", 5)]
    assert await observe(screen, hubble, "-s", "--since", "1h") == 0
    assert screen.err == ""
    assert len(hubble.requests) == 1


OLDEST = [
    response(flow={"Summary": "x"}, node_name="c/a", time="2026-03-04T05:00:07Z"),
    response(flow={"Summary": "y"}, node_name="c/b", time="2026-03-04T05:05:07Z"),
]


async def oldest(_: Call, request: GetFlowsRequest) -> AsyncIterator[Framed]:
    if request.first:
        for message in OLDEST:
            yield Framed(frame(message), 1)


@pytest.mark.parametrize(
    ("since", "text"),
    [
        (
            "1h",
            "hint: the oldest flow of c/b is 1m0s old, --since asks for 1h0m0s: what was before is",
        ),
        ("5m", "hint: the oldest flow of c/b is 1m0s old, --since asks for 5m0s: "),
        ("30s", ""),
    ],
)
async def test_since_before_what_is_kept(
    since: str, text: str, hubble: Hubble, screen: Screen
) -> None:
    hubble.forward = oldest
    assert await observe(screen, hubble, "--since", since) == 0
    assert screen.err.startswith(text)
    assert bool(screen.err) == bool(text)
    asked = hubble.requests[1]
    assert (asked.number, asked.first) == (1, True)


async def test_an_empty_table_says_nothing(hubble: Hubble, screen: Screen) -> None:
    assert await observe(screen, hubble, "--since", "1h") == 0
    assert screen.err == ""
