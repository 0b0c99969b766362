"""What the tests of `hubble status` ask and expect alike."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from google.protobuf import json_format

from api.proto.observer.observer_pb2 import ServerStatusResponse
from cli.app import run

if TYPE_CHECKING:
    from tests.cli.conftest import Hubble, Screen

NODE = {
    "num_flows": 4095, "max_flows": 4095, "seen_flows": 12345, "uptime_ns": 100_000_000_000,
    "flows_rate": 22.857, "version": "leavitt v0.1.0",
}  # fmt: skip
KNOWN = {
    "nodes": [
        {
            "name": "b", "state": "NODE_CONNECTED", "connected_since": "2026-03-04T04:06:07.5Z",
            "last_message": "2026-03-04T05:06:07.3Z", "lag": "0.012345s", "flows_received": 7447,
            "lost_events": 1200, "reconnects": 1, "last_error": "read:\n\x1b[31mreset",
            "last_error_time": "2026-03-04T05:01:07Z",
        },
        {"name": "a", "state": "NODE_UNAVAILABLE"},
    ]
}  # fmt: skip
VERBOSE = """\

NAME   STATUS        CONNECTED-FOR   LAG    LAST-MESSAGE   RECEIVED   LOST    RECONNECTS   \
LAST-ERROR
a      Unavailable   N/A             N/A    N/A            0          0       0            \
-
b      Connected     59m59s          12ms   0s ago         7,447      1,200   1            \
read: ^[[31mreset (5m0s ago)
"""


async def hubble_line(screen: Screen, hubble: Hubble, *words: str) -> int:
    line = [*words, "--server", hubble.address]
    return await asyncio.to_thread(run, line, screen.surroundings())


def status_of(fields: dict[str, object]) -> ServerStatusResponse:
    return json_format.ParseDict(fields, ServerStatusResponse())
