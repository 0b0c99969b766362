"""Whole samples, as a ring or a file might hold them: decoded like the slow decoder does it.

Input: samples one after the other, the last one padded; where they begin in memory depends on
how many bytes there are. Then all that could be decoded goes through a node to a client.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.odd_packets import FOREIGN_KINDS, ODD_KINDS
from bench.workload import Mix, SyntheticNode
from observer.samples import SAMPLE_BYTES, SampleBatch
from tests.fuzz.node import Node
from tests.observer.decode.batches import WALL_OFFSET_NS, check_against_reference

MOST_BYTES = 8 * SAMPLE_BYTES
GOLDEN = Path(__file__).parents[2] / "golden" / "events.json"


def check(data: bytes) -> None:
    batch = batch_of(data[:MOST_BYTES])
    check_against_reference(batch)
    node = Node()
    node.feed(batch)
    node.answer()


def batch_of(data: bytes) -> SampleBatch:
    count = -(-len(data) // SAMPLE_BYTES)
    shift = len(data) % 8
    memory = np.frombuffer(bytes(shift) + data.ljust(count * SAMPLE_BYTES, b"\0"), np.uint8)
    return SampleBatch(
        samples=memory[shift:].reshape(count, SAMPLE_BYTES),
        mono_ns=np.arange(count, dtype=np.int64) + 1000,
        cpus=np.arange(count).astype(np.uint16) % 4,
        wall_offset_ns=WALL_OFFSET_NS,
    )


def seeds() -> Iterator[tuple[str, bytes]]:
    for each in json.loads(GOLDEN.read_text()):
        yield each["name"], bytes.fromhex(each["sample"])
    for number, build in enumerate((*ODD_KINDS, *FOREIGN_KINDS)):
        yield f"odd {number}", build()
    yield "workload", SyntheticNode(7, Mix(odd_share=0.0)).batch(8).samples.tobytes()
