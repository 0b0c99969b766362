"""Events as the datapath writes them, without packets: a BPF program that emits prepared samples.

The program is run by BPF_PROG_TEST_RUN with a repeat count, so that an event costs 0.3 us and no
system call. Given the perf map of a node, its events pass through that node's real rings. It
is assembled here, since it is small and must not need a compiler:

    index = emitted[0].written++
    error = perf_event_output(events, samples[index & mask])
    if error: emitted[0].refused++

Given the node's counters too, it counts there as the datapath does, so that the node's accounts of
its events hold for these: produced, and whether the ring was full or nobody read it.
"""

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from bench.errors import NotMeasurableError
from observer.kernel import abi, syscall

# linux/bpf.h
_SYS_BPF: Final = {"x86_64": 321, "aarch64": 280}
_MAP_CREATE, _PROG_LOAD = 0, 5
_ARRAY, _PERF_EVENT_ARRAY, _PERCPU_ARRAY = 2, 4, 6
_SCHED_CLS: Final = 3
_LOOKUP, _PERF_EVENT_OUTPUT = 1, 25
_PSEUDO_MAP_FD: Final = 1
_INSTRUCTION: Final = struct.Struct("=BBhi")
_COUNTS: Final = struct.Struct("=QQ")
_FRAME: Final = bytes(64)

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """Events since the emitter was made, over all CPUs."""

    written: int
    """Events that the program tried to write."""
    refused: int
    """Of these: the ring was full, or nobody reads that CPU's."""


class Emitter:
    """Writes the samples it was given, one after the other and from the start again."""

    def __init__(
        self, samples: NDArray[np.uint8], events_fd: int, node_counters_fd: int | None = None
    ) -> None:
        """Load the program.

        Args:
            samples: uint8, shape (n, size), n a power of two; size is SAMPLE_BYTES, but where
                readers are tried with something else.
            events_fd: the perf map to write to.
            node_counters_fd: the node's map of counters, to count there too.

        Raises:
            NotMeasurableError: not root, or the kernel refuses.
        """
        count, size = samples.shape
        self._fds: list[int] = []
        samples_fd = self._keep(create_map(_ARRAY, size, count))
        self._counts_fd = self._keep(create_map(_PERCPU_ARRAY, _COUNTS.size, 1))
        keys = np.arange(count, dtype=np.uint32).tobytes()
        syscall.update_batch(samples_fd, keys, samples.tobytes(), count)
        accounts = b"" if node_counters_fd is None else _count_at_node(node_counters_fd)
        code = _program(samples_fd, self._counts_fd, events_fd, samples.shape, accounts)
        self._program_fd = self._keep(_load(code))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def emit(self, count: int) -> None:
        """Write `count` events on the CPU that this thread runs on."""
        if count:
            syscall.run_program(self._program_fd, _FRAME, repeat=count)

    def counts(self) -> Emitted:
        """Add up the counts of all CPUs."""
        size = _COUNTS.size * _possible_cpus()
        value = syscall.lookup(self._counts_fd, bytes(4), size)
        per_cpu = list(_COUNTS.iter_unpack(value))
        return Emitted(
            written=sum(written for written, _ in per_cpu),
            refused=sum(refused for _, refused in per_cpu),
        )

    def close(self) -> None:
        """Unload everything."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()

    def _keep(self, fd: int) -> int:
        self._fds.append(fd)
        return fd


def create_perf_map() -> int:
    """Make a perf map of our own; its descriptor.

    Raises:
        NotMeasurableError: not root, or the kernel refuses.
    """
    return create_map(_PERF_EVENT_ARRAY, 4, _possible_cpus())


def create_map(kind: int, value_bytes: int, entries: int) -> int:
    """Make a BPF map with keys of four bytes; its descriptor.

    Raises:
        NotMeasurableError: not root, or the kernel refuses.
    """
    return _bpf(_MAP_CREATE, struct.pack("=IIII", kind, 4, value_bytes, entries))


def _load(code: bytes) -> int:
    text = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"GPL")
    count = len(code) // _INSTRUCTION.size
    pointers = ctypes.addressof(text), ctypes.addressof(licence)
    return _bpf(_PROG_LOAD, struct.pack("=IIQQ", _SCHED_CLS, count, *pointers))


def _bpf(command: int, attributes: bytes) -> int:
    number = _SYS_BPF.get(platform.machine())
    if number is None:
        raise NotMeasurableError(f"needs x86_64 or aarch64, not {platform.machine()}")
    buffer = ctypes.create_string_buffer(attributes, 144)
    fd = int(_libc.syscall(number, command, buffer, 144))
    if fd < 0:
        reason = os.strerror(ctypes.get_errno())
        raise NotMeasurableError(f"needs root and BPF: bpf({command}): {reason}")
    return fd


def _program(
    samples_fd: int, counts_fd: int, events_fd: int, shape: tuple[int, ...], accounts: bytes
) -> bytes:
    """Assemble; r6 the context, r7 the counts, r8 the error, the key at r10-4.

    `accounts` is run after each event, written or not.
    """
    after = len(accounts) // _INSTRUCTION.size
    return b"".join(
        (
            _INSTRUCTION.pack(0xBF, 0x16, 0, 0),  # r6 = r1
            _INSTRUCTION.pack(0x62, 0x0A, -4, 0),  # *(u32 *)(r10 - 4) = 0
            *_look_up(counts_fd),
            _INSTRUCTION.pack(0x15, 0x00, 24 + after, 0),  # if r0 == 0 goto end
            _INSTRUCTION.pack(0xBF, 0x07, 0, 0),  # r7 = r0
            _INSTRUCTION.pack(0x79, 0x71, 0, 0),  # r1 = *(u64 *)(r7 + 0)
            _INSTRUCTION.pack(0xBF, 0x12, 0, 0),  # r2 = r1
            _INSTRUCTION.pack(0x07, 0x02, 0, 1),  # r2 += 1
            _INSTRUCTION.pack(0x7B, 0x27, 0, 0),  # *(u64 *)(r7 + 0) = r2
            _INSTRUCTION.pack(0x57, 0x01, 0, shape[0] - 1),  # r1 &= mask
            _INSTRUCTION.pack(0x63, 0x1A, -4, 0),  # *(u32 *)(r10 - 4) = r1
            *_look_up(samples_fd),
            _INSTRUCTION.pack(0x15, 0x00, 11 + after, 0),  # if r0 == 0 goto end
            _INSTRUCTION.pack(0xBF, 0x61, 0, 0),  # r1 = r6
            *_map(2, events_fd),
            _INSTRUCTION.pack(0xB4, 0x03, 0, -1),  # w3 = BPF_F_CURRENT_CPU
            _INSTRUCTION.pack(0xBF, 0x04, 0, 0),  # r4 = r0
            _INSTRUCTION.pack(0xB7, 0x05, 0, shape[1]),  # r5 = size
            _INSTRUCTION.pack(0x85, 0x00, 0, _PERF_EVENT_OUTPUT),
            _INSTRUCTION.pack(0xBF, 0x08, 0, 0),  # r8 = r0
            _INSTRUCTION.pack(0x15, 0x08, 2, 0),  # if r8 == 0 goto accounts
            _INSTRUCTION.pack(0xB7, 0x01, 0, 1),  # r1 = 1
            _INSTRUCTION.pack(0xDB, 0x17, 8, 0),  # lock *(u64 *)(r7 + 8) += r1
            accounts,
            _INSTRUCTION.pack(0xB7, 0x00, 0, 0),  # end: r0 = 0
            _INSTRUCTION.pack(0x95, 0x00, 0, 0),  # exit
        )
    )


def _count_at_node(counters_fd: int) -> bytes:
    """What sample_send() in bpf/include/report.h counts, with the error in r8."""
    names = abi.layouts()["counters"].names or {}
    unread = _add_one(counters_fd, names["unread_trace"])
    full = _add_one(counters_fd, names["full_trace"])
    unread_length, full_length = (len(part) // _INSTRUCTION.size for part in (unread, full))
    return b"".join(
        (
            _add_one(counters_fd, names["produced_trace"]),
            _INSTRUCTION.pack(0x15, 0x08, unread_length + full_length + 2, 0),  # if r8 == 0: end
            _INSTRUCTION.pack(0x55, 0x08, unread_length + 1, -errno.ENOENT),  # if r8 != it: full
            unread,
            _INSTRUCTION.pack(0x05, 0, full_length, 0),  # goto end
            full,
        )
    )


def _add_one(map_fd: int, key: int) -> bytes:
    """Add one to the u64 of a key."""
    return b"".join(
        (
            _INSTRUCTION.pack(0x62, 0x0A, -4, key),  # *(u32 *)(r10 - 4) = key
            *_look_up(map_fd),
            _INSTRUCTION.pack(0x15, 0x00, 2, 0),  # if r0 == 0 skip
            _INSTRUCTION.pack(0xB7, 0x01, 0, 1),  # r1 = 1
            _INSTRUCTION.pack(0xDB, 0x10, 0, 0),  # lock *(u64 *)(r0 + 0) += r1
        )
    )


def _look_up(map_fd: int) -> tuple[bytes, ...]:
    """Find the element whose key stands at r10-4; r0 points to it. Five instructions."""
    return (
        *_map(1, map_fd),
        _INSTRUCTION.pack(0xBF, 0xA2, 0, 0),  # r2 = r10
        _INSTRUCTION.pack(0x07, 0x02, 0, -4),  # r2 += -4
        _INSTRUCTION.pack(0x85, 0x00, 0, _LOOKUP),
    )


def _map(register: int, map_fd: int) -> tuple[bytes, bytes]:
    """Load a map's address: two instructions."""
    source = _PSEUDO_MAP_FD << 4 | register
    return _INSTRUCTION.pack(0x18, source, 0, map_fd), _INSTRUCTION.pack(0, 0, 0, 0)


def _possible_cpus() -> int:
    text = Path("/sys/devices/system/cpu/possible").read_text(encoding="ascii")
    return int(text.strip().rpartition("-")[2].rpartition(",")[2]) + 1
