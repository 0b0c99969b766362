"""The relay: throughput over eight nodes whose flows interleave, delay of a stream that follows.

History: each node's flows lie between those of the others in time, so that the relay has to merge
flow by flow; the reader is raw, and order and count are checked when the clock has stopped. Once
with real servers, which want CPU time of their own, once with nodes that want next to none.
Follow: 10,000 flows a second from six of eight nodes, and as with a filter that lets one in a
thousand pass; a flow's delay is from its time of sending until the reader has it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from api.proto.observer import observer_pb2
from bench.clients import GET_FLOWS
from bench.errors import WrongAnswerError
from bench.http2 import RawConnection
from bench.measurement import Budget, Conditions, Measurement, quantile
from bench.node import replaying, serving
from bench.recorded import record
from bench.relaying import Read, Relay, cheap_nodes, follow_delays_ms, read_history, relaying

_LINE: Final = "relay"
_NODES: Final = 8
_SILENT: Final = 2
_FLOWS: Final = 40_000
_NEIGHBOUR_NS: Final = 250
_K_PER_S: Final = 300.0
_PER_SECOND: Final = 10_000.0
_FILTERED: Final = 0.001
_DELAY_MS: Final = 50.0


def measure(conditions: Conditions) -> Iterator[Measurement]:
    """Thousands of flows per second, and milliseconds of delay."""
    flows = sample_flows(conditions.folder)
    repeats = conditions.repeats(5, quick=2)
    with _real(conditions.folder, flows) as relay:
        first, *reads = [_read(relay) for _ in range(repeats + 1)]
        yield _throughput(f"{_NODES} hubble-servers, raw client", reads)
        yield replace(
            _throughput(f"{_NODES} hubble-servers that never sent a flow", [first]), budget=None
        )
    history = ("--nodes", str(_NODES), "--count", str(_FLOWS))
    with _cheap(conditions.folder, flows, *history) as relay:
        reads = [_read(relay) for _ in range(repeats)]
        yield _throughput(f"{_NODES} cheap nodes, raw client", reads)
    for what, share in (("", 1.0), (", filter passes 0.1 %", _FILTERED)):
        rate = _PER_SECOND * share / (_NODES - _SILENT)
        live = ("--nodes", str(_NODES), "--silent", str(_SILENT), "--rate", f"{rate:.3f}")
        seconds = 3.0 if conditions.quick else 10.0
        with _cheap(conditions.folder, flows, *live) as relay:
            yield _delay(what, [follow_delays_ms(relay, seconds=seconds) for _ in range(repeats)])


def sample_flows(folder: Path) -> Path:
    """Let a real server answer once and keep the bytes, for cheap nodes to make theirs of."""
    recorded = record(folder / "sample.rec", samples=4_096 * 2)
    request = observer_pb2.GetFlowsRequest(number=4_096).SerializeToString()
    with replaying(recorded.path) as node:
        node.wait_until_seen(recorded.rows_per_part)
        with RawConnection(node.target) as connection:
            data = connection.call(GET_FLOWS, request).data()
    path = folder / "flows.bin"
    path.write_bytes(data)
    return path


def _read(relay: Relay) -> Read:
    return read_history(relay, number=_FLOWS, expected=_NODES * _FLOWS)


def _throughput(what: str, reads: list[Read]) -> Measurement:
    relay_us = quantile([each.relay_us for each in reads], 0.5)
    return Measurement(
        line=_LINE,
        what=what,
        unit="k/s",
        values=tuple(each.count / each.seconds / 1e3 for each in reads),
        budget=Budget(limit=_K_PER_S, ceiling=False),
        note=f"{reads[0].count:,} flows of {reads[0].mean_bytes:.0f} bytes, order checked; "
        f"{relay_us:.2f} us of the relay's CPU each",
    )


def _delay(what: str, runs: list[list[float]]) -> Measurement:
    if not all(runs):
        raise WrongAnswerError("follow through relay: no flow came")
    median = quantile([delay for run in runs for delay in run], 0.5)
    return Measurement(
        line=_LINE,
        what=f"delay in follow, 99th percentile{what}",
        unit="ms",
        values=tuple(quantile(run, 0.99) for run in runs),
        budget=Budget(limit=_DELAY_MS, ceiling=True),
        note=f"10,000 flows/s at the nodes, {_SILENT} of {_NODES} silent; {len(runs[0]):,} flows "
        f"a run, median {median:.1f} ms",
    )


@contextmanager
def _cheap(folder: Path, flows: Path, *arguments: str) -> Iterator[Relay]:
    socket = folder / "peers.sock"
    with cheap_nodes(flows, socket, *arguments), relaying(socket, nodes=_NODES) as relay:
        yield relay


@contextmanager
def _real(folder: Path, flows: Path) -> Iterator[Relay]:
    """Eight servers that play the same packets, each 250 ns after its neighbour's."""
    socket = folder / "peers.sock"
    with ExitStack() as stack:
        addresses: list[str] = []
        for number in range(_NODES):
            own = folder / f"node-{number}"
            own.mkdir()
            recorded = record(own / "mix.rec", samples=4_096 * 12, later_ns=number * _NEIGHBOUR_NS)
            arguments = ["--replay", str(recorded.path), "--speed", "max"]
            node = stack.enter_context(serving(arguments, folder=own, node_name=f"node-{number}"))
            node.wait_until_seen(recorded.rows_per_part)
            addresses.append(node.target)
        stack.enter_context(cheap_nodes(flows, socket, "--nodes", "0", addresses=addresses))
        yield stack.enter_context(relaying(socket, nodes=_NODES))
