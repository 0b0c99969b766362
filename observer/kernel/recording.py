"""Recordings: what the kernel gave and what was known of the cluster, in one file.

`Recorder` writes samples, losses and changes of the cluster's objects as they come; `Recording`
reads them back in the same order, so that everything from decode on runs again without root or BPF.

Layout (little endian):

    file    magic 8 | version u32 | sample size u32 | created, ns since 1970 i64 | frames …
    frame   kind u8 | 0 u8[3] | payload length u32 | CRC-32 of the payload u32 | payload
    BATCH   rows u32 | 0 u32 | wall offset i64 | times i64[rows] | cpus u16[rows] | samples
    LOST    cpu i32 (-1: the recorder) | 0 u32 | count u64 | first, last, wall offset i64
    CHANGE  JSON {"change": "ADDED" …, "object": {…}}
    END     frames u64: the file is whole
"""

import json
import mmap
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from observer.kernel.backlog import Backlog
from observer.kernel.errors import RecordingError
from observer.samples import SAMPLE_BYTES, LostSamples, SampleBatch

_MAGIC: Final = b"LEAVITT\n"
_VERSION: Final = 1
_FILE: Final = struct.Struct("<8sIIq")
_FRAME: Final = struct.Struct("<B3xII")
_BATCH: Final = struct.Struct("<IIq")
_LOST: Final = struct.Struct("<iIQqqq")
_END: Final = struct.Struct("<Q")
_LAST_CPU: Final = (1 << 16) - 1
_LAST_NS: Final = (1 << 63) - 1
_KIND_BATCH, _KIND_LOST, _KIND_CHANGE, _KIND_END = range(1, 5)

# waiting for the disk, 300,000 samples; beyond it samples are dropped and counted, never flows
_MOST_WAITING_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedChange:
    """A change of one of the cluster's objects."""

    change: str
    """ADDED, MODIFIED or DELETED."""
    object: dict[str, Any]
    """The object as it was read, apiVersion and kind included."""


class Recorder:
    """Writes a recording in a thread of its own; never blocks the caller."""

    def __init__(self, path: Path) -> None:
        """Create the file; RecordingError if it exists already or cannot be written."""
        self.dropped = 0
        """Samples that the disk was too slow for; also in the file, as LOST frames of cpu -1."""
        self._unwritten = 0
        self._path = path
        self._failure: OSError | None = None
        try:
            self._file = path.open("xb")
        except OSError as error:
            raise RecordingError(f"create recording: {error.strerror}: {path}") from error
        self._waiting = Backlog(most_bytes=_MOST_WAITING_BYTES)
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()

    def batch(self, batch: SampleBatch) -> None:
        """Record samples and losses; dropped and counted when the disk cannot follow."""
        for lost in batch.lost:
            self._put(_lost_frame(lost, batch.wall_offset_ns), 0)
        if not len(batch):
            return
        head = _BATCH.pack(len(batch), 0, batch.wall_offset_ns)
        parts = (batch.mono_ns, batch.cpus, batch.samples)
        self._put(_frame(_KIND_BATCH, head + b"".join(p.tobytes() for p in parts)), len(batch))

    def change(self, change: RecordedChange) -> None:
        """Record a change of the cluster's state; waits for room, since none may be missing."""
        # YAML has keys that JSON lacks (dates, lists); no field that is read has such a name.
        content = {"change": change.change, "object": change.object}
        text = json.dumps(content, default=str, skipkeys=True)
        self._waiting.put(_frame(_KIND_CHANGE, text.encode()))

    def close(self) -> None:
        """Write what is waiting and the end mark; RecordingError if the disk refused anything."""
        if self._unwritten:
            self._waiting.put(self._gap())
        self._waiting.close()
        self._thread.join()
        if self._failure is not None:
            reason = self._failure.strerror
            raise RecordingError(f"write recording: {reason}: {self._path}") from self._failure

    def _put(self, frame: bytes, rows: int) -> None:
        if self._unwritten and self._waiting.offer(self._gap()):
            self._unwritten = 0
        if self._unwritten or not self._waiting.offer(frame):
            self.dropped += rows
            self._unwritten += rows

    def _gap(self) -> bytes:
        """Tell of the samples that were dropped here."""
        now_ns = time.monotonic_ns()
        gap = LostSamples(cpu=-1, count=self._unwritten, first_mono_ns=0, last_mono_ns=now_ns)
        return _lost_frame(gap, time.time_ns() - now_ns)

    def _write(self) -> None:
        frame: bytes | None = b""
        frames = 0
        try:
            with self._file as file:
                file.write(_FILE.pack(_MAGIC, _VERSION, SAMPLE_BYTES, time.time_ns()))
                while (frame := self._waiting.take()) is not None:
                    file.write(frame)
                    frames += 1
                file.write(_frame(_KIND_END, _END.pack(frames)))
        except OSError as error:
            self._failure = error
            while frame is not None:  # nobody waits for a dead disk
                frame = self._waiting.take()


class Recording:
    """A whole recording, mapped; `SampleBatch` arrays are views into the file."""

    def __init__(self, path: Path) -> None:
        """Open and check every frame; RecordingError names the offset of what is wrong."""
        self._path = path
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < _FILE.size:
                    raise self._error(f"truncated header: {size} bytes, need {_FILE.size}", 0)
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise RecordingError(f"open recording: {error.strerror}: {path}") from error
        self.created_ns = self._check_header()
        self._frames = self._check_frames()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The mapping goes with the last batch that refers to it."""

    def items(self) -> Iterator[SampleBatch | RecordedChange]:
        """Yield everything in the order in which it was recorded."""
        for kind, start, length in self._frames:
            match kind:
                case 1:
                    yield self._batch(start)
                case 2:
                    yield self._lost(start)
                case _:
                    yield self._change(start, length)

    @property
    def sample_count(self) -> int:
        """Samples in the file."""
        return sum(
            _BATCH.unpack_from(self._bytes, start)[0]
            for kind, start, _ in self._frames
            if kind == _KIND_BATCH
        )

    def _check_header(self) -> int:
        magic, version, sample_bytes, created_ns = _FILE.unpack_from(self._bytes)
        if magic != _MAGIC:
            raise self._error(f"not a recording: begins with {magic!r}", 0)
        if version != _VERSION:
            raise self._error(f"version {version}, this program reads {_VERSION}", 8)
        if sample_bytes != SAMPLE_BYTES:
            raise self._error(f"samples of {sample_bytes} bytes, need {SAMPLE_BYTES}", 12)
        return int(created_ns)

    def _check_frames(self) -> list[tuple[int, int, int]]:
        frames: list[tuple[int, int, int]] = []
        offset, size = _FILE.size, len(self._bytes)
        while offset + _FRAME.size <= size:
            kind, length, crc = _FRAME.unpack_from(self._bytes, offset)
            start = offset + _FRAME.size
            if start + length > size:
                break
            payload = memoryview(self._bytes)[start : start + length]
            if zlib.crc32(payload) != crc:
                raise self._error("corrupt frame: checksum differs", offset)
            if kind == _KIND_END:
                return frames
            self._check_payload(kind, length, offset, start)
            frames.append((kind, start, length))
            offset = start + length
        raise self._error("truncated: no end mark, the recorder was not closed", offset)

    def _check_payload(self, kind: int, length: int, offset: int, start: int) -> None:
        match kind:
            case 1 if length >= _BATCH.size:
                rows = _BATCH.unpack_from(self._bytes, start)[0]
                need = _BATCH.size + rows * (8 + 2 + SAMPLE_BYTES)
            case 2:
                need = _LOST.size
            case 3:
                need = length
            case _:
                raise self._error(f"unknown frame of kind {kind}, {length} bytes", offset)
        if need != length:
            raise self._error(f"frame of kind {kind}: {length} bytes, need {need}", offset)
        if kind == _KIND_BATCH:
            self._check_times(self._batch(start), offset)
        elif kind == _KIND_LOST:
            self._check_gap(self._lost(start), offset)

    def _check_times(self, batch: SampleBatch, offset: int) -> None:
        """Look whether the times are those of a batch, which the flow table relies on."""
        times = batch.mono_ns
        if (times[1:] < times[:-1]).any():
            raise self._error("times of a batch are not ascending", offset)
        for time_ns in map(int, times[[0, -1]] if len(times) else ()):
            self._check_time(time_ns + batch.wall_offset_ns, offset)

    def _check_gap(self, batch: SampleBatch, offset: int) -> None:
        for gap in batch.lost:
            if not -1 <= gap.cpu <= _LAST_CPU:
                raise self._error(f"cpu {gap.cpu}, need -1..{_LAST_CPU}", offset)
            for time_ns in (gap.first_mono_ns, gap.last_mono_ns):
                self._check_time(time_ns + batch.wall_offset_ns, offset)

    def _check_time(self, wall_ns: int, offset: int) -> None:
        if not 0 <= wall_ns <= _LAST_NS:
            raise self._error(f"time {wall_ns} ns, need 0..{_LAST_NS}", offset)

    def _change(self, start: int, length: int) -> RecordedChange:
        try:
            content: Any = json.loads(self._bytes[start : start + length])
            change, found = content["change"], content["object"]
        except (ValueError, RecursionError, TypeError, KeyError) as error:
            raise self._error(f"frame of kind 3 is no change: {error}", start) from error
        if isinstance(change, str) and isinstance(found, dict):
            return RecordedChange(change=change, object=found)
        raise self._error("frame of kind 3 is no change of an object", start)

    def _batch(self, start: int) -> SampleBatch:
        rows, _, wall_offset_ns = _BATCH.unpack_from(self._bytes, start)
        times_at = start + _BATCH.size
        cpus_at = times_at + 8 * rows
        samples = np.frombuffer(self._bytes, np.uint8, rows * SAMPLE_BYTES, cpus_at + 2 * rows)
        return SampleBatch(
            samples=samples.reshape(rows, SAMPLE_BYTES),
            mono_ns=np.frombuffer(self._bytes, np.int64, rows, times_at),
            cpus=np.frombuffer(self._bytes, np.uint16, rows, cpus_at),
            wall_offset_ns=wall_offset_ns,
        )

    def _lost(self, start: int) -> SampleBatch:
        cpu, _, count, first_ns, last_ns, wall_offset_ns = _LOST.unpack_from(self._bytes, start)
        gap = LostSamples(cpu=cpu, count=count, first_mono_ns=first_ns, last_mono_ns=last_ns)
        return SampleBatch(
            samples=np.empty((0, SAMPLE_BYTES), np.uint8),
            mono_ns=np.empty(0, np.int64),
            cpus=np.empty(0, np.uint16),
            wall_offset_ns=wall_offset_ns,
            lost=(gap,),
        )

    def _error(self, what: str, offset: int) -> RecordingError:
        return RecordingError(f"read recording {self._path}: {what}, at offset {offset}")


def _frame(kind: int, payload: bytes) -> bytes:
    return _FRAME.pack(kind, len(payload), zlib.crc32(payload)) + payload


def _lost_frame(lost: LostSamples, wall_offset_ns: int) -> bytes:
    times = (lost.first_mono_ns, lost.last_mono_ns, wall_offset_ns)
    return _frame(_KIND_LOST, _LOST.pack(lost.cpu, 0, lost.count, *times))
