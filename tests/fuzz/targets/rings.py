"""Any records in a perf ring: samples come out whole and in order, whatever stands between them.

Input: decisions (tests.fuzz.choices): where in the ring it begins and which records follow. A
reader in plain Python says what must come out; a record that cannot be is a KernelError for both.
"""

import mmap
import os
import struct
from collections.abc import Iterator

import numpy as np

from observer.kernel.errors import KernelError
from observer.kernel.perf_event import PerfRing
from observer.samples import SAMPLE_BYTES
from tests.fuzz.choices import Choices

MOST_BYTES = 1024
PAGE = mmap.PAGESIZE
RING_BYTES = PAGE
LOST, SAMPLE = 2, 9
RECORD_BYTES = 240
FIELDS = (
    (1, 8),
    (2, 8),
    (3, 16),
    (9, 8),
    (9, 240),
    (9, 248),
    (14, 24),
    (0, 0),
    (2, 24),
    (9, 65528),
)


class FakeRing(PerfRing):
    """A ring in anonymous memory, filled as the kernel would."""

    def __init__(self, position: int, content: bytes) -> None:
        self.cpu = 0
        self.counts_lost = False
        self.misshapen = 0
        self.last_time_ns = 0
        self.fd = os.open(os.devnull, os.O_RDONLY)
        self._map = mmap.mmap(-1, PAGE + RING_BYTES)
        self._control = np.frombuffer(self._map, np.uint64, PAGE // 8)
        self._data = np.frombuffer(self._map, np.uint8, RING_BYTES, PAGE)
        self._size = RING_BYTES
        self._tail = self._next_tail = position
        self._lost_in_records = 0
        self._control[1024 // 8] = position + len(content)
        at = (position + np.arange(len(content))) % RING_BYTES
        self._data[at] = np.frombuffer(content, np.uint8)


def check(data: bytes) -> None:
    choices = Choices(data[:MOST_BYTES])
    position = choices.number(2) * 8
    most = choices.number(1) % 8 + 1
    content = _content(choices)
    expected, lost, is_whole = _read(content)
    ring = FakeRing(position, content)
    try:
        found, end = _drain(ring, most)
    except KernelError:
        assert not is_whole
        return
    finally:
        ring.close()
    assert is_whole
    assert end == position + len(content)
    assert found == expected
    assert ring.lost() == lost


def _drain(ring: FakeRing, most: int) -> tuple[list[tuple[int, bytes]], int]:
    found = []
    for _ in range(RING_BYTES // 8 + 1):
        taken = ring.take(most)
        assert taken.rows == sum(map(len, taken.runs))
        for run in taken.runs:
            found += [(int(each["time"]), each["sample"].tobytes()) for each in run]
        ring.release()
        if taken.drained:
            return found, ring._tail
    raise AssertionError("never drained")


def _read(content: bytes) -> tuple[list[tuple[int, bytes]], int, bool]:
    """Read records one by one: samples, what was lost, and whether all is whole."""
    found: list[tuple[int, bytes]] = []
    lost = at = 0
    while at < len(content):
        kind, _, size = struct.unpack_from("<IHH", content, at)
        if size < 8 or at + size > len(content) or (kind == LOST and size < 24):
            return found, lost, False
        if kind == SAMPLE and size == RECORD_BYTES:
            (time_ns,) = struct.unpack_from("<q", content, at + 8)
            found.append((time_ns, content[at + 20 : at + 20 + SAMPLE_BYTES]))
        elif kind == LOST:
            lost += struct.unpack_from("<Q", content, at + 16)[0]
        at += size
    return found, lost, True


def _content(choices: Choices) -> bytes:
    parts: list[bytes] = []
    room = RING_BYTES
    while choices.left:
        what = choices.number(1)
        if what % 4 == 0:
            part = _record(*FIELDS[choices.number(1) % len(FIELDS)], choices.chunk())
        elif what % 4 == 1:
            part = _record(LOST, 24, struct.pack("<QQ", 0, choices.number(4)))
        else:
            part = _record(
                SAMPLE, RECORD_BYTES, struct.pack("<qI", choices.number(2), 220) + choices.chunk()
            )
        if len(part) > room:
            break
        room -= len(part)
        parts.append(part)
    return b"".join(parts)


def _record(kind: int, size: int, body: bytes) -> bytes:
    """Write a record; one that says an odd size stands in as much as a ring can hold."""
    head = struct.pack("<IHH", kind, 1, size)
    return (head + body)[: max(size, 8)].ljust(min(max(size, 8), 256), b"\0")


def seeds() -> Iterator[tuple[str, bytes]]:
    sample = b"\2\x05\0\x03abc"
    lost = b"\1\7\0\0\0"
    yield "samples", b"\0\0\7" + sample * 9
    yield "wraps", struct.pack("<HB", (RING_BYTES - 500) // 8, 3) + sample * 6
    yield "lost", b"\x09\0\1" + sample + lost + sample * 3 + lost
    yield "full", b"\0\0\7" + sample * 17
    for number in range(len(FIELDS)):
        yield f"record {number}", b"\0\0\3" + sample + bytes((0, number, 2, 65, 66)) + sample
