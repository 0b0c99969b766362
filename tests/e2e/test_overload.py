"""What is produced is delivered or counted, to the last event, when one stage cannot follow.

The kernel's own counts of what the programs produced are the measure: they are read from the pinned
maps, past the server. A server that is stopped (SIGSTOP) reads no ring; a client that does not read
is overtaken by the table.
"""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.lane.client import Channel
from api.proto.flow.flow_pb2 import LostEventSource
from api.proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse
from lab.runs import BPFFS
from lab.session import Lab
from observer.kernel import syscall
from observer.kernel.counters import Counters
from observer.kernel.datapath import possible_cpus
from tests.e2e.conftest import RunningServer, running_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

TRIPS = 2_000
ENOUGH_LOOKS = 600
MiB = 1 << 20


@dataclass(slots=True)
class Told:
    """What a stream gave."""

    flows: int = 0
    ring: int = 0
    """Counted as lost before the table."""
    overtaken: int = 0
    """Counted as overwritten in the table before they were read."""

    def take(self, response: GetFlowsResponse) -> None:
        if response.WhichOneof("response_types") == "flow":
            self.flows += 1
            return
        lost = response.lost_events
        if lost.source == LostEventSource.HUBBLE_RING_BUFFER:
            self.overtaken += lost.num_events_lost
        else:
            self.ring += lost.num_events_lost


@pytest.fixture
def counters(node_name: str) -> Iterator[Counters]:
    """The programs' counts; the node must have its pins."""
    with ExitStack() as stack:
        opened = {}
        [folder] = (BPFFS / "leavitt" / node_name).glob("v*/maps")
        for name in ("counters", "drops", "carried"):
            opened[name] = syscall.open_pin(folder / name)
            stack.callback(os.close, opened[name])
        yield Counters(opened, cpus=possible_cpus())


def produced(counters: Counters) -> int:
    """Events of the programs since the first start of the node."""
    return sum(n for name, n in counters.events().items() if name.startswith("produced_"))


async def everything(server: RunningServer) -> Told:
    """Read the whole table."""
    told = Told()
    channel = Channel(f"unix://{server.socket}")
    request = GetFlowsRequest(number=2**32, first=True)
    async with channel.server_stream("/observer.Observer/GetFlows", request) as call:
        async for batch in call.batches():
            for message in batch:
                told.take(GetFlowsResponse.FromString(message))
    await channel.close()
    return told


async def settled(server: RunningServer, counters: Counters, *, offset: int) -> Told:
    """Wait until the table accounts for all that was produced; fails with both numbers."""
    told = await everything(server)
    for _ in range(ENOUGH_LOOKS):
        if told.flows + told.ring + offset == produced(counters):
            return told
        await asyncio.sleep(0.02)
        told = await everything(server)
    pytest.fail(f"produced {produced(counters)}, told {told} after {offset}")


def flood(lab: Lab) -> subprocess.CompletedProcess[str]:
    """Ping as fast as answers come."""
    target = str(lab.topology.pod("tiefighter").addresses[0])
    words = ["ping", "-f", "-q", "-c", str(TRIPS), "-W", "5", target]
    return lab.execute("xwing", words, timeout_s=60)


@pytest.fixture
def server(
    lab: Lab, node_name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[RunningServer]:
    """Reports every packet; the test's parameter says what it has little of."""
    with running_server(
        tmp_path,
        "--node-name", node_name, "--state", lab.state, "--netns", lab.node_netns(node_name),
        "--per-packet", *request.param,
    ) as running:  # fmt: skip
        yield running


@pytest.mark.parametrize("server", [["--ring-bytes", "4096"]], indirect=True, ids=["rings"])
async def test_what_found_no_room_in_the_rings_is_counted(
    lab: Lab, server: RunningServer, request: pytest.FixtureRequest
) -> None:
    counters = request.getfixturevalue("counters")
    # what earlier tests of this node produced is told already, or is the first row of this table
    before = await everything(server)
    offset = produced(counters) - before.flows - before.ring
    server.process.send_signal(signal.SIGSTOP)
    try:
        flooded = await asyncio.to_thread(flood, lab)
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert "0% packet loss" in flooded.stdout, flooded.stdout + flooded.stderr
    told = await settled(server, counters, offset=offset)
    assert told.flows + told.ring - before.flows - before.ring >= 2 * TRIPS
    assert told.ring - before.ring > TRIPS
    assert told.overtaken == 0
    assert server.seen_flows() == told.flows
    shown = server.hubble("observe", "--all").stdout
    assert "EVENTS LOST: PERF_EVENT_RING_BUFFER" in shown


@pytest.mark.parametrize(
    "server", [["--event-buffer-capacity", "1023"]], indirect=True, ids=["table"]
)
async def test_a_reader_that_stands_still_is_told_what_it_missed(
    lab: Lab, server: RunningServer
) -> None:
    def resident_bytes() -> int:
        pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    request = GetFlowsRequest(follow=True, number=2**32)
    channel = Channel(f"unix://{server.socket}")
    told = Told()
    async with channel.server_stream("/observer.Observer/GetFlows", request) as call:
        batches: AsyncIterator[list[bytes]] = call.batches()
        async with aclosing(batches):  # type: ignore[type-var] # an async generator
            await call.wait_initial_metadata()
            await asyncio.to_thread(flood, lab)
            before_bytes = resident_bytes()
            for _ in range(5):
                await asyncio.to_thread(flood, lab)
            assert resident_bytes() - before_bytes < 8 * MiB
            # others are served meanwhile
            last = json.loads(server.hubble("observe", "--last", "1", "-o", "json").stdout)
            assert last["flow"]["IP"]["source"]
            async for batch in batches:
                for message in batch:
                    told.take(GetFlowsResponse.FromString(message))
                if told.flows + told.overtaken == server.seen_flows():
                    break
    await channel.close()
    assert told.overtaken > 2 * TRIPS
    assert told.flows > 0
    assert told.ring == 0
