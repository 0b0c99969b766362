"""GetFlows: a whole table of 65,535 rows, read by clients that are fast, usual, ours and Go's.

Each repeat has a fresh server and a fresh table: the recording fills it, the raw reader takes it
once, then all of its rows are overwritten by new ones, and those are what the client reads. So
the process is warm but no flow was sent before. The first reading, of a server that has
never sent anything, is a row of its own. When the clock has stopped, every flow is compared
with its packet, and order and count are checked; Go's client counts only.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from api.proto.observer import observer_pb2
from bench.clients import Received, read_go, read_grpcio, read_lane, read_raw
from bench.errors import WrongAnswerError
from bench.expected import Expected
from bench.ingest_node import CAPACITY
from bench.measurement import Budget, Conditions, Measurement
from bench.node import replaying
from bench.recorded import Recorded, record

_LINE: Final = "getflows"
_SAMPLES: Final = 4_096 * 18
_RAW_K_PER_S: Final = 600.0
_GO_DECODING_K_PER_S: Final = 200.0
_PAUSE_S: Final = 3.0
_MEAN_BYTES: Final = (800.0, 900.0)

Reader = Callable[[str], Received]


def measure(conditions: Conditions) -> Iterator[Measurement]:
    """Thousands of flows per second for each client."""
    path = conditions.folder / "getflows.rec"
    recorded = record(path, samples=_SAMPLES, parts=2, pause_s=_PAUSE_S)
    expected = Expected(recorded.batches)
    first: list[Received] = []
    for name, (reader, budget) in _readers(conditions.go_client).items():
        received: list[Received] = []
        for _ in range(conditions.repeats(5)):
            cold, warm = _read(recorded, reader)
            _check(cold, expected)
            _check(warm, expected)
            first.append(cold)
            received.append(warm)
        yield _measurement(name, received, budget)
    yield _measurement("raw HTTP/2 reader, first call of all", first, None)


def _measurement(name: str, received: list[Received], budget: Budget | None) -> Measurement:
    mean_bytes = received[0].size_bytes / CAPACITY
    return Measurement(
        line=_LINE,
        what=name,
        unit="k/s",
        values=tuple(CAPACITY / each.seconds / 1e3 for each in received),
        budget=budget,
        note=f"{CAPACITY:,} flows of {mean_bytes:.0f} bytes on average",
    )


def _readers(go_client: Path | None) -> dict[str, tuple[Reader, Budget | None]]:
    request = observer_pb2.GetFlowsRequest(number=CAPACITY)
    readers: dict[str, tuple[Reader, Budget | None]] = {
        "raw HTTP/2 reader": (partial(read_raw, request=request), _floor(_RAW_K_PER_S)),
        "lane client, not decoding": (partial(read_lane, request=request), None),
        "grpcio client, decoding": (partial(read_grpcio, request=request), None),
    }
    if go_client is not None:
        go = partial(read_go, go_client, number=CAPACITY)
        readers["Go client, raw"] = (partial(go, decoding=False), None)
        readers["Go client, decoding"] = (partial(go, decoding=True), _floor(_GO_DECODING_K_PER_S))
    return readers


def _floor(k_per_s: float) -> Budget:
    return Budget(limit=k_per_s, ceiling=False)


def _read(recorded: Recorded, reader: Reader) -> tuple[Received, Received]:
    """The first reading of a server, and the one to be measured."""
    rows = recorded.rows_per_part
    with replaying(recorded.path, speed="1") as node:
        node.wait_until_seen(rows)
        first = read_raw(node.target, observer_pb2.GetFlowsRequest(number=CAPACITY))
        if node.status().seen_flows != rows:
            raise WrongAnswerError(f"read flows: took longer than the pause of {_PAUSE_S} s")
        node.wait_until_seen(2 * rows)
        return first, reader(node.target)


def _check(received: Received, expected: Expected) -> None:
    mean = received.size_bytes / CAPACITY
    if received.count != CAPACITY or not _MEAN_BYTES[0] <= mean <= _MEAN_BYTES[1]:
        raise WrongAnswerError(
            f"read flows: {received.count} of {mean:.0f} bytes on average, "
            f"expected {CAPACITY} of {_MEAN_BYTES[0]:.0f} to {_MEAN_BYTES[1]:.0f}"
        )
    if received.messages is not None:
        expected.check(received.messages, CAPACITY)
