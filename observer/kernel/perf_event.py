"""One CPU's perf ring: opened, mapped and read without a Python object per sample.

Records are read in place from the mapped ring. All samples have one size, so a run of them is a
strided array; a PERF_RECORD_LOST between two runs shifts what follows and starts a new run. Next:
`observer.kernel.rings`, which merges the CPUs by time.

Formats: perf_event_open(2), linux/perf_event.h.
"""

import ctypes
import fcntl
import mmap
import os
import platform
import struct
import threading
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from observer.kernel.errors import KernelError
from observer.samples import SAMPLE_BYTES

PAGE: Final = mmap.PAGESIZE
_SYS_PERF_EVENT_OPEN: Final = {"x86_64": 298, "aarch64": 241}

_ATTR_BYTES: Final = 128
_TYPE_SOFTWARE: Final = 1
_COUNT_SW_BPF_OUTPUT: Final = 10
_SAMPLE_TIME: Final = 1 << 2
_SAMPLE_RAW: Final = 1 << 10
_FORMAT_LOST: Final = 1 << 4
_FLAG_WATERMARK: Final = 1 << 14
_FLAG_SAMPLE_ID_ALL: Final = 1 << 18
_FLAG_USE_CLOCKID: Final = 1 << 25
_CLOCK_MONOTONIC: Final = 1
_CLOEXEC: Final = 8
_IOC_ENABLE: Final = 0x2400

_HEADER_BYTES: Final = 8  # type u32, misc u16, size u16
_LOST_BYTES: Final = 24  # header, id, count; then what sample_id_all adds
_RECORD_LOST: Final = 2
_RECORD_SAMPLE: Final = 9
_DATA_HEAD: Final = 1024  # struct perf_event_mmap_page
_DATA_TAIL: Final = 1032

# header 8, time 8, raw size 4, sample, padded so that raw size + 4 is a multiple of 8
_RAW_BYTES: Final = (4 + SAMPLE_BYTES + 7) // 8 * 8 - 4
RECORD: Final = np.dtype(
    {
        "names": ["header", "time", "sample"],
        "formats": ["<u8", "<i8", f"V{SAMPLE_BYTES}"],
        "offsets": [0, 8, 20],
        "itemsize": 20 + _RAW_BYTES,
    }
)
# type and size of a header; `misc` between them does not matter
_HEADER_MASK: Final = np.uint64(0xFFFF0000FFFFFFFF)
_SAMPLE_HEADER: Final = np.uint64(RECORD.itemsize << 48 | _RECORD_SAMPLE)

Records = np.ndarray[tuple[int], np.dtype[np.void]]
_STORES_ARE_ORDERED: Final = platform.machine() in ("x86_64", "AMD64")
_barrier = threading.Lock()
_libc = ctypes.CDLL(None, use_errno=True)


class Taken(NamedTuple):
    """What one look at a ring gave; the arrays are views into it until `release`."""

    runs: list[Records]
    rows: int
    drained: bool
    """False: more is waiting than was asked for."""


class PerfRing:
    """The ring of one CPU. Not thread-safe; one reader."""

    def __init__(self, *, cpu: int, size_bytes: int, wake_bytes: int) -> None:
        """Open and map the ring; `size_bytes` is a power of two and a multiple of the page.

        Raises KernelError with the errno's text if the kernel refuses.
        """
        self.cpu = cpu
        self.counts_lost = True
        try:
            self.fd = _open(cpu, wake_bytes, read_format=_FORMAT_LOST)
        except KernelError:  # kernels before 6.0 have no PERF_FORMAT_LOST
            self.counts_lost = False
            self.fd = _open(cpu, wake_bytes, read_format=0)
        try:
            self._map = mmap.mmap(self.fd, PAGE + size_bytes)
        except OSError as error:
            os.close(self.fd)
            raise KernelError(
                f"map perf ring of cpu {cpu}: {error.strerror}: {size_bytes} bytes"
            ) from error
        self._control: NDArray[np.uint64] = np.frombuffer(self._map, np.uint64, PAGE // 8)
        self._data: NDArray[np.uint8] = np.frombuffer(self._map, np.uint8, size_bytes, PAGE)
        self._size = size_bytes
        self._tail = int(self._control[_DATA_TAIL // 8])
        self._next_tail = self._tail
        self._lost_in_records = 0
        self.misshapen = 0
        """Samples of another size than ours since the ring was opened: passed over."""
        self.last_time_ns = 0
        fcntl.ioctl(self.fd, _IOC_ENABLE, 0)

    def take(self, most: int) -> Taken:
        """Look at up to about `most` samples; nothing leaves the ring before `release`."""
        head = _head(self._control)
        position, rows = self._tail, 0
        runs: list[Records] = []
        while position < head and rows < most:
            run, position = self._next_run(position, head, most - rows)
            if run is not None:
                runs.append(run)
                rows += len(run)
        self._next_tail = position
        if runs:
            self.last_time_ns = int(runs[-1]["time"][-1])
        return Taken(runs, rows, position >= head)

    def release(self) -> None:
        """Give the space of what was taken back to the kernel."""
        self._tail = self._next_tail
        self._control[_DATA_TAIL // 8] = self._tail

    def lost(self) -> int:
        """Samples that found no room since the ring was opened."""
        if self.counts_lost:
            return int(struct.unpack("<QQ", os.read(self.fd, 16))[1])
        return self._lost_in_records

    def close(self) -> None:
        """Close the ring; what was not read is gone."""
        os.close(self.fd)
        # views into the mapping may still be held by a batch: unmapped when the last one goes
        del self._control, self._data, self._map

    def _next_run(self, position: int, head: int, most: int) -> tuple[Records | None, int]:
        offset = position & (self._size - 1)
        contiguous = min(head - position, self._size - offset)
        whole = min(contiguous // RECORD.itemsize, most)
        if whole:
            records: Records = np.frombuffer(self._map, RECORD, whole, PAGE + offset)
            good = (records["header"] & _HEADER_MASK) == _SAMPLE_HEADER
            count = whole if good.all() else int(good.argmin())
            if count:
                return records[:count], position + count * RECORD.itemsize
        kind, _misc, size = struct.unpack("<IHH", self._copy(position, _HEADER_BYTES))
        need = _LOST_BYTES if kind == _RECORD_LOST else _HEADER_BYTES
        if not need <= size <= head - position:
            where = f"read perf ring of cpu {self.cpu}: record of type {kind}"
            raise KernelError(f"{where}: {size} bytes, need {need}..{head - position}")
        if kind == _RECORD_SAMPLE and size == RECORD.itemsize:  # wraps around the end of the ring
            return np.frombuffer(self._copy(position, size), RECORD), position + size
        if kind == _RECORD_SAMPLE:
            self.misshapen += 1
        if kind == _RECORD_LOST:
            self._lost_in_records += struct.unpack("<Q", self._copy(position + 16, 8))[0]
        return None, position + size

    def _copy(self, position: int, size: int) -> bytes:
        offset = position & (self._size - 1)
        first = self._data[offset : offset + size].tobytes()
        return first + self._data[: size - len(first)].tobytes()


def _open(cpu: int, wake_bytes: int, *, read_format: int) -> int:
    attr = bytearray(_ATTR_BYTES)
    struct.pack_into(
        "<IIQQQQQI",
        attr,
        0,
        _TYPE_SOFTWARE,
        _ATTR_BYTES,
        _COUNT_SW_BPF_OUTPUT,
        1,  # sample_period: every event
        _SAMPLE_RAW | _SAMPLE_TIME,
        read_format,
        _FLAG_WATERMARK | _FLAG_SAMPLE_ID_ALL | _FLAG_USE_CLOCKID,
        wake_bytes,
    )
    struct.pack_into("<i", attr, 92, _CLOCK_MONOTONIC)
    number = _SYS_PERF_EVENT_OPEN.get(platform.machine())
    if number is None:
        raise KernelError(f"open perf ring: machine {platform.machine()} is not supported")
    buffer = (ctypes.c_char * _ATTR_BYTES).from_buffer(attr)
    fd = int(_libc.syscall(number, buffer, -1, cpu, -1, _CLOEXEC))
    if fd < 0:
        reason = os.strerror(ctypes.get_errno())
        raise KernelError(f"open perf ring of cpu {cpu}: {reason} (run as root)")
    return fd


def _head(control: NDArray[np.uint64]) -> int:
    """Load data_head; what the kernel wrote before it is visible afterwards."""
    head = int(control[_DATA_HEAD // 8])
    if not _STORES_ARE_ORDERED:
        with _barrier:  # a lock taken and given back orders the loads around it
            pass
    return head
