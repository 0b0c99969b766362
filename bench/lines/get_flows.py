"""GetFlows: a whole table of 65,535 rows, read by clients that are fast, usual, ours and Go's.

Each repeat has a fresh server with a fresh table, so that nothing is cached. The recording is
longer than the table. When the clock has stopped, every flow is compared with its packet, and
order and count are checked; what Go's client counts must agree with what the raw reader got.
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
from bench.recorded import record

_LINE: Final = "getflows"
_SAMPLES: Final = 4_096 * 18
_RAW_K_PER_S: Final = 600.0
_GO_DECODING_K_PER_S: Final = 200.0
_MEAN_BYTES: Final = (750.0, 950.0)

Reader = Callable[[str], Received]


def measure(conditions: Conditions) -> Iterator[Measurement]:
    """Thousands of flows per second for each client."""
    recorded = record(conditions.folder / "getflows.rec", samples=_SAMPLES)
    expected = Expected(recorded.batches)
    for name, (reader, budget) in _readers(conditions.go_client).items():
        received = [_read(recorded.path, reader, expected) for _ in range(conditions.repeats(5))]
        mean_bytes = received[0].size_bytes / CAPACITY
        yield Measurement(
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


def _read(recording: Path, reader: Reader, expected: Expected) -> Received:
    with replaying(recording) as node:
        received = reader(node.target)
    if received.messages is not None:
        expected.check(received.messages, CAPACITY)
    mean = received.size_bytes / CAPACITY
    if received.count != CAPACITY or not _MEAN_BYTES[0] <= mean <= _MEAN_BYTES[1]:
        raise WrongAnswerError(
            f"read flows: {received.count} of {mean:.0f} bytes on average, "
            f"expected {CAPACITY} of {_MEAN_BYTES[0]:.0f} to {_MEAN_BYTES[1]:.0f}"
        )
    return received
