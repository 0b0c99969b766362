"""`hubble status` and `hubble list`, against a server in this process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from google.protobuf import json_format

from api.proto.health.health_pb2 import HealthCheckResponse
from api.proto.leavitt.relay_pb2 import NodeStatusResponse
from api.proto.observer.observer_pb2 import (
    GetNamespacesResponse,
    GetNodesResponse,
)
from tests.cli.commands.status_bed import KNOWN, NODE, VERBOSE, hubble_line, status_of

if TYPE_CHECKING:
    from tests.cli.conftest import Hubble, Screen

RELAY = NODE | {
    "num_connected_nodes": 2,
    "num_unavailable_nodes": 12,
    "unavailable_nodes": [f"node-{number:02}" for number in range(11, 0, -1)],
}


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        (NODE, ["Current/Max Flows: 4,095/4,095 (100.00%)", "Flows/s: 22.86"]),
        (NODE | {"flows_rate": 0}, ["Current/Max Flows: 4,095/4,095 (100.00%)", "Flows/s: 123.45"]),
        ({}, ["Current/Max Flows: 0/0", "Flows/s: N/A"]),
        (
            NODE | {"num_connected_nodes": 3},
            [
                "Current/Max Flows: 4,095/4,095 (100.00%)",
                "Flows/s: 22.86",
                "Connected Nodes: 3",
            ],
        ),
        (
            RELAY,
            [
                "Current/Max Flows: 4,095/4,095 (100.00%)",
                "Flows/s: 22.86",
                "Connected Nodes: 2/14",
                "Unavailable Nodes: 12",
                *(f"  - node-{number:02}" for number in range(1, 11)),
                "  - and 2 more...",
            ],
        ),
    ],
)
async def test_compact(
    fields: dict[str, object], lines: list[str], hubble: Hubble, screen: Screen
) -> None:
    hubble.status = status_of(fields)
    assert await hubble_line(screen, hubble, "status") == 0
    assert screen.out.splitlines() == [f"Healthcheck (via {hubble.address}): Ok", *lines]
    assert hubble.asked_health == ["hubble.server.Observer"]


async def test_dict(hubble: Hubble, screen: Screen) -> None:
    hubble.status = status_of(RELAY)
    assert await hubble_line(screen, hubble, "status", "-o", "dict") == 0
    assert screen.out.splitlines() == [
        "          NUM FLOWS: 4,095",
        "          MAX FLOWS: 4,095",
        "         SEEN FLOWS: 12,345",
        "   FLOWS PER SECOND: 22.86",
        "             UPTIME: 1m40s",
        "NUM CONNECTED NODES: 2",
        " NUM UNAVAIL. NODES: 12",
        "            VERSION: leavitt v0.1.0",
    ]


async def test_table(hubble: Hubble, screen: Screen) -> None:
    hubble.status = status_of(NODE)
    assert await hubble_line(screen, hubble, "status", "-o", "tab") == 0
    heads, values = screen.out.splitlines()
    assert heads.split("   ")[0] == "NUM FLOWS"
    assert "NUM UNAVAILABLE NODES" in heads
    assert values.split() == ["4,095", "4,095", "12,345", "22.86", "1m40s", "N/A", "N/A",
                              "leavitt", "v0.1.0"]  # fmt: skip


async def test_json(hubble: Hubble, screen: Screen) -> None:
    hubble.status = status_of({"num_flows": 3, "num_connected_nodes": 0, "flows_rate": 1.5})
    assert await hubble_line(screen, hubble, "status", "-o", "json") == 0
    assert screen.out == '{"num_flows":"3","num_connected_nodes":0,"flows_rate":1.5}\n'


@pytest.mark.parametrize(
    ("health", "text"), [(HealthCheckResponse.NOT_SERVING, "NOT_SERVING"), (99, "99")]
)
async def test_not_healthy(health: int, text: str, hubble: Hubble, screen: Screen) -> None:
    hubble.health = health
    assert await hubble_line(screen, hubble, "status") == 1
    assert screen.out == f"Healthcheck (via {hubble.address}): Unavailable: {text}\n"
    assert screen.err == "not healthy\n"


async def test_unknown_format_of_status(hubble: Hubble, screen: Screen) -> None:
    assert await hubble_line(screen, hubble, "status", "-o", "bogus") == 1
    assert screen.err == "invalid output format: bogus\n"


NODES = {
    "nodes": [
        {
            "name": "b", "version": "1.19.4", "address": "10.0.0.1:4244", "state": "NODE_CONNECTED",
            "tls": {"enabled": True}, "uptime_ns": 3_723_400_000_000, "num_flows": 1000,
            "max_flows": 4095, "seen_flows": 7447,
        },
        {"name": "a", "state": "NODE_UNAVAILABLE", "tls": {}},
        {"name": "c"},
    ]
}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            [],
            (
                "NAME   STATUS        AGE      FLOWS/S   CURRENT/MAX-FLOWS\n"
                "a      Unavailable   N/A      N/A       N/A\n"
                "b      Connected     1h2m3s   2.00      1000/4095 ( 24.42%)\n"
                "c      Unknown       N/A      N/A       N/A\n"
            ),
        ),
        (
            ["-o", "wide"],
            (
                "NAME   STATUS        AGE      FLOWS/S   CURRENT/MAX-FLOWS     VERSION   ADDRESS"
                "         TLS\n"
                "a      Unavailable   N/A      N/A       N/A                   N/A       N/A    "
                "         Disabled\n"
                "b      Connected     1h2m3s   2.00      1000/4095 ( 24.42%)   1.19.4    10.0.0.1"
                ":4244   Enabled\n"
                "c      Unknown       N/A      N/A       N/A                   N/A       N/A    "
                "         N/A\n"
            ),
        ),
    ],
)
async def test_nodes(words: list[str], text: str, hubble: Hubble, screen: Screen) -> None:
    hubble.nodes = json_format.ParseDict(NODES, GetNodesResponse())
    assert await hubble_line(screen, hubble, "list", "nodes", *words) == 0
    assert screen.out == text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "NAMESPACE\nshop\nbank\n"),
        (["-o", "wide"], "NAMESPACE   CLUSTER\nshop        default\nbank        other\n"),
        (
            ["-o", "json"],
            (
                '[\n  {\n    "cluster": "default",\n    "namespace": "shop"\n  },\n'
                '  {\n    "cluster": "other",\n    "namespace": "bank"\n  }\n]\n'
            ),
        ),
    ],
)
async def test_namespaces(words: list[str], text: str, hubble: Hubble, screen: Screen) -> None:
    hubble.namespaces = json_format.ParseDict(
        {
            "namespaces": [
                {"cluster": "default", "namespace": "shop"},
                {"cluster": "other", "namespace": "bank"},
            ]
        },
        GetNamespacesResponse(),
    )
    assert await hubble_line(screen, hubble, "list", "namespaces", *words) == 0
    assert screen.out == text


WIDE = """\
NAME   STATUS        AGE      FLOWS/S   CURRENT/MAX-FLOWS     VERSION   ADDRESS         TLS        \
LAG    LAST-MESSAGE   RECEIVED   LOST    RECONNECTS   LAST-ERROR
a      Unavailable   N/A      N/A       N/A                   N/A       N/A             Disabled   \
N/A    N/A            0          0       0            -
b      Connected     1h2m3s   2.00      1000/4095 ( 24.42%)   1.19.4    10.0.0.1:4244   Enabled    \
12ms   0s ago         7,447      1,200   1            read: ^[[31mreset (5m0s ago)
c      Unknown       N/A      N/A       N/A                   N/A       N/A             N/A        \
N/A    N/A            N/A        N/A     N/A          N/A
"""


async def test_wide_nodes_of_our_relay_tell_more(hubble: Hubble, screen: Screen) -> None:
    hubble.nodes = json_format.ParseDict(NODES, GetNodesResponse())
    hubble.known = json_format.ParseDict(KNOWN, NodeStatusResponse())
    assert await hubble_line(screen, hubble, "list", "nodes", "-o", "wide") == 0
    assert screen.out == WIDE


async def test_verbose_status(hubble: Hubble, screen: Screen) -> None:
    hubble.status = status_of(NODE)
    hubble.known = json_format.ParseDict(KNOWN, NodeStatusResponse())
    assert await hubble_line(screen, hubble, "status", "-v") == 0
    assert screen.out.endswith(f"Flows/s: 22.86\n{VERBOSE}")


async def test_verbose_status_tells_why_a_relay_is_not_well(hubble: Hubble, screen: Screen) -> None:
    hubble.health = HealthCheckResponse.NOT_SERVING
    service = {
        "target": "lab-1:4244", "last_error": "dial:\n\x1b[31mrefused",
        "last_error_time": "2026-03-04T05:01:07Z",
    }  # fmt: skip
    hubble.known = json_format.ParseDict(KNOWN | {"peer_service": service}, NodeStatusResponse())
    assert await hubble_line(screen, hubble, "status", "-v") == 1
    assert screen.out == (
        f"Healthcheck (via {hubble.address}): Unavailable: NOT_SERVING\n"
        f"Peer service (lab-1:4244): not connected: dial: ^[[31mrefused (5m0s ago)\n{VERBOSE}"
    )
    assert screen.err == "not healthy\n"


@pytest.mark.parametrize(
    ("service", "state"),
    [({"connected": True, "last_error": "old"}, "connected"), ({}, "not connected yet")],
)
async def test_verbose_status_tells_of_the_peer_service(
    service: dict[str, object], state: str, hubble: Hubble, screen: Screen
) -> None:
    known = KNOWN | {"peer_service": {"target": "lab-1:4244"} | service}
    hubble.known = json_format.ParseDict(known, NodeStatusResponse())
    assert await hubble_line(screen, hubble, "status", "-v") == 0
    assert screen.out.endswith(f"\nPeer service (lab-1:4244): {state}\n{VERBOSE}")


async def test_verbose_status_in_json_is_a_second_line(hubble: Hubble, screen: Screen) -> None:
    hubble.known = json_format.ParseDict({"nodes": [{"name": "a"}]}, NodeStatusResponse())
    assert await hubble_line(screen, hubble, "status", "--verbose", "-o", "json") == 0
    assert screen.out == '{}\n{"nodes":[{"name":"a"}]}\n'


async def test_verbose_status_of_other_servers_says_so(hubble: Hubble, screen: Screen) -> None:
    hubble.status = status_of(NODE)
    assert await hubble_line(screen, hubble, "status", "-v") == 0
    assert screen.out.endswith("Flows/s: 22.86\n")
    assert screen.err == "hint: this server tells no more of nodes; those of Leavitt do\n"


async def test_nodes_as_json(hubble: Hubble, screen: Screen) -> None:
    assert await hubble_line(screen, hubble, "list", "nodes", "-o", "json") == 0
    assert screen.out == "[]\n"
    hubble.nodes = json_format.ParseDict(NODES, GetNodesResponse())
    assert await hubble_line(screen, hubble, "list", "nodes", "-o", "json") == 0
    first, *_ = json.loads(screen.out.removeprefix("[]\n"))
    assert (first["name"], first["state"], first["num_flows"]) == ("b", "NODE_CONNECTED", "1000")


async def test_unknown_format_of_a_list(hubble: Hubble, screen: Screen) -> None:
    assert await hubble_line(screen, hubble, "list", "nodes", "-o", "bogus") == 1
    assert screen.err == "unknown output format: bogus\n"
