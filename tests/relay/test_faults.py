"""Real processes that die, stop, move or lie: the rest goes on, and nothing comes twice."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from api.proto.observer import observer_pb2 as pb
from api.proto.relay.relay_pb2 import NodeState
from relay.nodes.link import PROBE_LONGEST_S, PROBE_S
from relay.notices import GATHER_S
from tests.api.lane.certificates import Authority
from tests.relay.processes import (
    DELETED,
    UPDATED,
    Cluster,
    NodeProcess,
    Wire,
    base_ns,
    cluster,
    resident_bytes,
)

CONNECTED, ERROR = NodeState.NODE_CONNECTED, NodeState.NODE_ERROR
GONE = NodeState.NODE_GONE


@asynccontextmanager
async def followed(folder: Path) -> AsyncIterator[tuple[Cluster, Wire]]:
    """Two nodes, both followed: `sound`, and `ill` behind a wire."""
    began_ns = base_ns()
    sound, ill = NodeProcess("sound", began_ns), NodeProcess("ill", began_ns)
    async with cluster(folder, sound, ill) as made:
        wire = Wire(ill.address)
        made.book.tell("sound", sound.address)
        made.book.tell("ill", await wire.start())
        await made.connected("sound", "ill")
        async with asyncio.TaskGroup() as tasks:
            follower = tasks.create_task(made.follow())
            await made.more("sound")
            await made.more("ill")
            yield made, wire
            follower.cancel()
            await wire.stop()


async def test_a_node_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    async with followed(tmp_path) as (made, _):
        await made.nodes["ill"].kill()
        await made.notice(ERROR, "ill")
        await made.more("sound", 200)
        await made.nodes["ill"].start()
        await made.notice(CONNECTED, "ill")
        await made.more("ill", 200)
        made.check_nothing_missing_nothing_twice()
        status = await made.status("ill")
        assert (status.state, status.reconnects) == (CONNECTED, 1)
        assert status.last_error
        assert status.flows_received >= 200


async def test_a_node_that_stops_answering_is_told_and_delays_nobody(tmp_path: Path) -> None:
    assert PROBE_S + PROBE_LONGEST_S + GATHER_S < 5
    async with followed(tmp_path) as (made, _):
        made.nodes["ill"].signal(signal.SIGSTOP)
        message = await made.notice(ERROR, "ill")
        assert "node does not answer: nothing heard for" in message
        await made.more("sound", 200)
        made.nodes["ill"].signal(signal.SIGCONT)
        await made.notice(CONNECTED, "ill")
        await made.more("ill", 400)
        made.check_nothing_missing_nothing_twice()


async def test_a_link_that_is_cut_and_mended(tmp_path: Path) -> None:
    async with followed(tmp_path) as (made, wire):
        wire.whole.clear()
        assert "does not answer" in await made.notice(ERROR, "ill")
        await made.more("sound", 200)
        wire.whole.set()
        await made.notice(CONNECTED, "ill")
        await made.more("ill", 400)
        made.check_nothing_missing_nothing_twice()


async def test_bytes_that_are_bent_end_only_that_connection(tmp_path: Path) -> None:
    async with followed(tmp_path) as (made, wire):
        wire.bends = True
        await made.notice(ERROR, "ill")
        wire.bends = False
        await made.more("sound", 100)
        await made.notice(CONNECTED, "ill")
        await made.more("ill", 100)
        made.check_nothing_missing_nothing_twice()


async def test_a_node_that_returns_at_another_address(tmp_path: Path) -> None:
    async with followed(tmp_path) as (made, _):
        ill = made.nodes["ill"]
        before = ill.address
        await ill.kill()
        await made.notice(ERROR, "ill")
        ill.address = "127.0.0.1:0"
        await ill.start()
        assert ill.address != before
        made.book.tell("ill", ill.address, kind=UPDATED)
        await made.notice(CONNECTED, "ill")
        await made.more("ill", 100)
        made.check_nothing_missing_nothing_twice()
        made.book.tell("ill", kind=DELETED)
        await made.notice(GONE, "ill")


async def test_a_certificate_that_changes(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    name = "ill.default.hubble-grpc.cilium.io"
    good, key = authority.sign("good", name)
    renewed, renewed_key = authority.sign("renewed", name)
    wrong, wrong_key = stranger.sign("wrong", name)
    relay_cert, relay_key = authority.sign("relay", "relay")

    def with_files(certificate: Path, key: Path) -> tuple[str | Path, ...]:
        ca = authority.certificate
        return ("--certificate", certificate, "--key", key, "--authority", ca)

    ill = NodeProcess("ill", base_ns(), extra=with_files(good, key))
    flags: tuple[str | Path, ...] = (
        "--tls-hubble-server-ca-files", authority.certificate,
        "--tls-hubble-client-cert-file", relay_cert, "--tls-hubble-client-key-file", relay_key,
    )  # fmt: skip
    async with cluster(tmp_path, ill, flags=flags) as made, asyncio.TaskGroup() as tasks:
        made.book.tell("ill", ill.address, server_name=name)
        await made.connected("ill")
        follower = tasks.create_task(made.follow())
        await made.more("ill")
        await ill.kill()
        ill.extra = with_files(wrong, wrong_key)
        await ill.start()
        await made.notice(ERROR, "ill")
        await made.error("ill", "certificate")
        await ill.kill()
        ill.extra = with_files(renewed, renewed_key)
        await ill.start()
        await made.notice(CONNECTED, "ill")
        await made.more("ill", 100)
        made.check_nothing_missing_nothing_twice()
        # without a name to check for, the node is not dialled at all
        made.book.tell("ill", ill.address, kind=UPDATED)
        await made.error("ill", "missing tls servername")
        follower.cancel()


async def test_a_client_that_does_not_read_costs_little_memory(tmp_path: Path) -> None:
    # two days of history: 35 million flows from each, some 3 GB
    nodes = [NodeProcess(name, base_ns(2 * 86_400)) for name in ("a", "b")]
    async with cluster(tmp_path, *nodes) as made:
        for node in nodes:
            made.book.tell(node.name, node.address)
        await made.connected("a", "b")
        before = resident_bytes(made.relay.pid)
        request = pb.GetFlowsRequest(number=1 << 40)
        stream = made.channel.server_stream("/observer.Observer/GetFlows", request)
        async with stream:
            await made.standstill("a")
            assert resident_bytes(made.relay.pid) - before < 64 << 20
            # the relay still serves others
            await made.connected("a", "b")
            made.take([m for m in await anext(stream.batches()) if m])
