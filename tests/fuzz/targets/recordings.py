"""Recordings that nobody recorded: read whole or refused with the file and an offset.

Input: first byte even: the bytes of a file. Odd: frames of (kind, 16-bit length, payload), which
get the checksums, the file header and the end mark that a recorder writes, so that the fuzzer gets
past the checksums. What is read goes through a node, as a replay does it.
"""

import json
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.odd_packets import ODD_KINDS
from observer.kernel.errors import RecordingError
from observer.kernel.recording import RecordedChange, Recorder, Recording
from observer.samples import SAMPLE_BYTES, LostSamples, SampleBatch
from server.cluster.errors import ObjectError
from server.cluster.read import read_object
from tests.fuzz.choices import Choices
from tests.fuzz.files import file_of
from tests.fuzz.node import Node

MOST_BYTES = 4096


def check(data: bytes) -> None:
    choices = Choices(data[:MOST_BYTES])
    is_structured = choices.number(1) % 2
    content = _file(choices) if is_structured else choices.take(MOST_BYTES)
    with file_of(content) as path:
        try:
            _replay(Recording(path))
        except RecordingError as error:
            # refusing is one of two good ends
            assert str(error).startswith(f"read recording {path}: ")  # noqa: PT017
            assert ", at offset " in str(error)  # noqa: PT017


def _replay(recording: Recording) -> None:
    node = Node()
    samples = 0
    for item in recording.items():
        if isinstance(item, RecordedChange):
            _look_at(item)
        else:
            samples += len(item)
            node.feed(item)
    assert samples == recording.sample_count
    node.answer()


def _look_at(change: RecordedChange) -> None:
    assert isinstance(change.change, str)
    try:
        read_object(change.object, source="x.rec")
    except ObjectError as error:
        assert str(error).startswith("read x.rec: ")  # noqa: PT017 # likewise


def _file(choices: Choices) -> bytes:
    parts = [struct.pack("<8sIIq", b"LEAVITT\n", 1, SAMPLE_BYTES, 0)]
    while choices.left:
        kind, size = choices.number(1), choices.number(2)
        parts.append(_frame(kind, choices.take(size)))
    parts.append(_frame(4, struct.pack("<Q", len(parts) - 1)))
    return b"".join(parts)


def _frame(kind: int, payload: bytes) -> bytes:
    return struct.pack("<B3xII", kind, len(payload), zlib.crc32(payload)) + payload


def _batch(count: int, *lost: LostSamples) -> SampleBatch:
    rows = [
        ODD_KINDS[number % len(ODD_KINDS)]().ljust(SAMPLE_BYTES, b"\0") for number in range(count)
    ]
    return SampleBatch(
        samples=np.frombuffer(b"".join(rows), np.uint8).reshape(count, SAMPLE_BYTES),
        mono_ns=np.arange(count, dtype=np.int64) + 1000,
        cpus=np.zeros(count, np.uint16),
        wall_offset_ns=1_700_000_000_000_000_000,
        lost=lost,
    )


def _recorded() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "seed.rec")
        recorder = Recorder(path)
        recorder.change(RecordedChange(change="ADDED", object={"kind": "Pod", "metadata": {}}))
        recorder.batch(_batch(3, LostSamples(cpu=1, count=7, first_mono_ns=5, last_mono_ns=9)))
        recorder.batch(_batch(0))
        recorder.close()
        content = bytearray(path.read_bytes())
    content[16:24] = bytes(8)  # when: seeds are the same each time they are made
    return bytes(content)


def _unsealed(content: bytes) -> Iterator[bytes]:
    """Give the frames as the odd form has them, without the end mark."""
    at = 24
    while content[at] != 4:
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        yield content[at : at + 1] + struct.pack("<H", size) + content[at + 12 : at + 12 + size]
        at += 12 + size


def seeds() -> Iterator[tuple[str, bytes]]:
    content = _recorded()
    yield "file", b"\0" + content
    yield "file cut", b"\0" + content[:-13]
    yield "frames", b"\1" + b"".join(_unsealed(content))
    change = json.dumps({"change": "DELETED", "object": {"apiVersion": "v1", "kind": "Node"}})
    yield "change", b"\1\3" + struct.pack("<H", len(change)) + change.encode()
    yield "empty batch", b"\1\1" + struct.pack("<HIIq", 16, 0, 0, -5)
