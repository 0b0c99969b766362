"""`--aggregate-by`: groups, what is counted, and how it is shown."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from google.protobuf import json_format

from api.proto.leavitt.flow_details_pb2 import FlowDetails
from api.proto.observer.observer_pb2 import GetFlowsResponse
from cli.aggregate import AggregatePrinter, field_names
from cli.app import run
from cli.commands.tree import FLOWS
from cli.flags.scan import flags_of
from cli.times import time_text

if TYPE_CHECKING:
    from tests.cli.conftest import Hubble, Screen


def flow(pod: str, second: int, *, reply: bool = False, size_bytes: int = 0) -> bytes:
    ports = {"source_port": 80, "destination_port": 4000} if reply else {"destination_port": 80}
    fields = {
        "time": f"2026-03-04T05:06:{second:02}Z",
        "verdict": "FORWARDED",
        "IP": {"source": "10.0.0.1", "destination": "10.0.0.2"},
        "l4": {"TCP": ports},
        "source": {"namespace": "default", "pod_name": pod},
        "is_reply": reply,
    }
    response = json_format.ParseDict({"flow": fields}, GetFlowsResponse())
    if size_bytes:
        response.flow.extensions.Pack(FlowDetails(bytes=size_bytes, packets=2))
    return response.SerializeToString()


FLOWS_SEEN = [flow("a", 3, size_bytes=10), flow("b", 1), flow("a", 2, size_bytes=5), flow("a", 9)]


def shown(output: str, *names: str) -> str:
    printer = AggregatePrinter(names, output, time_text("StampMilli"))
    assert printer.batch(FLOWS_SEEN[:2]) + printer.batch(FLOWS_SEEN[2:]) == ""
    return printer.finish()


@pytest.mark.parametrize("output", ["compact", "table"])
def test_table(output: str) -> None:
    rows = [line.split("   ") for line in shown(output, "source").splitlines()]
    assert [[cell.strip() for cell in row if cell.strip()] for row in rows] == [
        ["SOURCE", "FLOWS", "PACKETS", "BYTES", "FIRST SEEN", "LAST SEEN"],
        ["default/a", "3", "4", "15", "Mar  4 05:06:02.000", "Mar  4 05:06:09.000"],
        ["default/b", "1", "N/A", "N/A", "Mar  4 05:06:01.000", "Mar  4 05:06:01.000"],
    ]


def test_json() -> None:
    first, second = map(json.loads, shown("json", "source-pod", "verdict").splitlines())
    assert first == {
        "source_pod": "a",
        "verdict": "FORWARDED",
        "flows": 3,
        "packets": 4,
        "bytes": 15,
        "first_seen": "Mar  4 05:06:02.000",
        "last_seen": "Mar  4 05:06:09.000",
    }
    assert (second["packets"], second["bytes"]) == (None, None), "not told"


def test_dict() -> None:
    first, second = shown("dict", "source").split("------------\n")
    assert first.splitlines()[0].strip() == "SOURCE: default/a"
    assert second.splitlines()[1].strip() == "FLOWS: 1"


def test_the_port_of_a_reply_is_the_servers() -> None:
    printer = AggregatePrinter(["port"], "json", time_text("StampMilli"))
    printer.batch([flow("a", 1), flow("a", 2, reply=True)])
    (row,) = map(json.loads, printer.finish().splitlines())
    assert (row["port"], row["flows"]) == ("80", 2)


def test_the_flag_offers_all_fields() -> None:
    assert flags_of(FLOWS).long["aggregate-by"].choices == field_names()


def test_empty_flows_have_every_field() -> None:
    response = GetFlowsResponse()
    response.flow.Summary = ""
    response.flow.SetInParent()
    printer = AggregatePrinter(field_names(), "table", time_text("StampMilli"))
    printer.batch([response.SerializeToString()])
    assert len(printer.finish().splitlines()) == 2


def test_nothing_seen_nothing_shown() -> None:
    assert AggregatePrinter(["node"], "table", time_text("x")).finish() == ""


async def test_asks_for_details_and_for_all_fields(hubble: Hubble, screen: Screen) -> None:
    hubble.messages = FLOWS_SEEN
    line = ["observe", "--server", hubble.address, "--aggregate-by", "source,port"]
    assert await asyncio.to_thread(run, line, screen.surroundings()) == 0
    assert ("leavitt-details", "1") in hubble.metadata[0]
    assert not hubble.requests[0].field_mask.paths
    assert screen.out.splitlines()[1].split()[:3] == ["default/a", "80", "3"]


def test_an_unknown_field(screen: Screen) -> None:
    assert run(["observe", "--aggregate-by", "bogus"], screen.surroundings()) == 1
    assert screen.err.startswith("invalid --aggregate-by field: bogus, expected one of ")
