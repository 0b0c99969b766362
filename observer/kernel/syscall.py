"""bpf(2) without BCC: the few commands that a server needs once programs and maps are pinned.

BCC costs 75 MB of memory and is only wanted where something is compiled, in a child that exits.
Every function raises OSError with the kernel's error number; callers say what it means. Structures:
union bpf_attr in linux/bpf.h.
"""

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SYS_BPF: Final = {"x86_64": 321, "aarch64": 280}
_SYS_MEMBARRIER: Final = {"x86_64": 324, "aarch64": 283}
_MEMBARRIER_GLOBAL: Final = 1
_MAP_CREATE: Final = 0
_MAP_LOOKUP: Final = 1
_MAP_UPDATE: Final = 2
_MAP_DELETE: Final = 3
_PROG_LOAD: Final = 5
_OBJ_PIN: Final = 6
_OBJ_GET: Final = 7
_PROG_TEST_RUN: Final = 10
_GET_INFO: Final = 15
_BTF_LOAD: Final = 18
_MAP_LOOKUP_BATCH: Final = 24
_MAP_UPDATE_BATCH: Final = 26
_MAP_DELETE_BATCH: Final = 27
_LINK_CREATE: Final = 28
_LINK_UPDATE: Final = 29
_LINK_DETACH: Final = 34
_BEFORE: Final = 8  # BPF_F_BEFORE

_NO_EXIST: Final = 1
_ATTR_BYTES: Final = 144
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapInfo:
    """What the kernel says of a map."""

    kind: int
    key_bytes: int
    value_bytes: int
    max_entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What one run of a program gave."""

    verdict: int
    data: bytes
    ns_per_run: int


def _bpf(
    command: int, attributes: bytes, *, keep: ctypes.Array[ctypes.c_char] | None = None
) -> int:
    """Call bpf(2); `keep` receives the attributes as the kernel left them."""
    buffer = keep if keep is not None else _room(_ATTR_BYTES)
    ctypes.memmove(buffer, attributes, len(attributes))
    result: int = _libc.syscall(_SYS_BPF[platform.machine()], command, buffer, _ATTR_BYTES)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


@lru_cache(maxsize=256)
def _chars(size: int) -> type[ctypes.Array[ctypes.c_char]]:
    """Keep the type: ctypes forgets one that nobody uses, and each is garbage with a cycle."""
    return ctypes.c_char * size


def _buffer(data: bytes) -> ctypes.Array[ctypes.c_char]:
    return _chars(len(data)).from_buffer_copy(data)


def _room(size: int) -> ctypes.Array[ctypes.c_char]:
    return _chars(size)()


def _address(buffer: ctypes.Array[ctypes.c_char]) -> int:
    return ctypes.addressof(buffer)


def pin(fd: int, path: Path) -> None:
    """Pin a map, program or link; FileExistsError if the path is taken."""
    name = _buffer(os.fsencode(path) + b"\0")
    _bpf(_OBJ_PIN, struct.pack("=QII", _address(name), fd, 0))


def open_pin(path: Path) -> int:
    """Open what is pinned there: a new file descriptor."""
    name = _buffer(os.fsencode(path) + b"\0")
    return _bpf(_OBJ_GET, struct.pack("=QII", _address(name), 0, 0))


def lookup(map_fd: int, key: bytes, value_bytes: int) -> bytes:
    """Read one value; per-CPU maps give one of 8-byte steps for each possible CPU."""
    keys = _buffer(key)
    value = _room(value_bytes)
    _bpf(_MAP_LOOKUP, struct.pack("=IIQQQ", map_fd, 0, _address(keys), _address(value), 0))
    return value.raw


def update(map_fd: int, key: bytes, value: bytes) -> None:
    """Create or replace one entry."""
    keys = _buffer(key)
    values = _buffer(value)
    _bpf(_MAP_UPDATE, struct.pack("=IIQQQ", map_fd, 0, _address(keys), _address(values), 0))


def insert(map_fd: int, key: bytes, value: bytes) -> bool:
    """Create one entry; False if there is one already, which stays as it is."""
    keys = _buffer(key)
    values = _buffer(value)
    attributes = (map_fd, 0, _address(keys), _address(values), _NO_EXIST)
    try:
        _bpf(_MAP_UPDATE, struct.pack("=IIQQQ", *attributes))
    except FileExistsError:
        return False
    return True


def delete(map_fd: int, key: bytes) -> bool:
    """Delete one entry; False if there was none."""
    keys = _buffer(key)
    try:
        _bpf(_MAP_DELETE, struct.pack("=IIQQQ", map_fd, 0, _address(keys), 0, 0))
    except FileNotFoundError:
        return False
    return True


def _batch(
    command: int, map_fd: int, count: int, pointers: tuple[int, int, int, int]
) -> tuple[int, int]:
    """Run a batch command: how many entries it did, and the number of what stopped it, 0 nothing.

    A number and not the exception: one that is kept holds the frames it came through and is held by
    them, and with them the arrays of a whole slice of the map, until the collector comes by.
    """
    attributes = _room(_ATTR_BYTES)
    stopped = 0
    try:
        _bpf(command, struct.pack("=QQQQIIQQ", *pointers, count, map_fd, 0, 0), keep=attributes)
    except OSError as error:
        stopped = error.errno or errno.EIO
    return int(struct.unpack_from("=I", attributes, 32)[0]), stopped


def update_batch(map_fd: int, keys: bytes, values: bytes, count: int) -> None:
    """Create or replace many entries, given one after the other."""
    key_buffer = _buffer(keys)
    value_buffer = _buffer(values)
    pointers = (0, 0, _address(key_buffer), _address(value_buffer))
    _, stopped = _batch(_MAP_UPDATE_BATCH, map_fd, count, pointers)
    if stopped:
        raise OSError(stopped, os.strerror(stopped))


def lookup_batch(
    map_fd: int, position: bytes | None, keys: NDArray[np.generic], values: NDArray[np.generic]
) -> tuple[int, bytes | None]:
    """Read the next entries into two arrays of one length; rows read and the next position.

    The position is None at the start and when all have been read. A hash map never splits a
    bucket: with fewer rows than a bucket has entries it raises ENOSPC.
    """
    before = _buffer((position or b"").ljust(4, b"\0"))
    after = _room(max(4, keys.itemsize))
    start = _address(before) if position is not None else 0
    pointers = (start, _address(after), keys.ctypes.data, values.ctypes.data)
    count, stopped = _batch(_MAP_LOOKUP_BATCH, map_fd, len(keys), pointers)
    if not stopped:
        return count, after.raw
    if stopped == errno.ENOENT:
        return count, None
    raise OSError(stopped, os.strerror(stopped))


def map_info(fd: int) -> MapInfo:
    """Type and sizes of a map."""
    kind, _, key_bytes, value_bytes, max_entries = struct.unpack_from("=IIIII", _info(fd, 80))
    return MapInfo(kind=kind, key_bytes=key_bytes, value_bytes=value_bytes, max_entries=max_entries)


def map_create(info: MapInfo, *, flags: int = 0, btf: tuple[int, int, int] = (0, 0, 0)) -> int:
    """Create a map; `btf` is a descriptor and the type numbers of key and value."""
    sizes = (info.kind, info.key_bytes, info.value_bytes, info.max_entries)
    return _bpf(_MAP_CREATE, struct.pack("=IIIII28xIII", *sizes, flags, *btf))


def btf_load(data: bytes) -> int:
    """Load types (BTF) for maps."""
    buffer = _buffer(data)
    return _bpf(_BTF_LOAD, struct.pack("=QQIII", _address(buffer), 0, len(data), 0, 0))


def program_load(kind: int, instructions: bytes) -> int:
    """Load a GPL program of 8-byte instructions; EINVAL and EACCES: the verifier refuses it."""
    code = _buffer(instructions)
    gpl = _buffer(b"GPL\0")
    count = len(instructions) // 8
    return _bpf(_PROG_LOAD, struct.pack("=IIQQ", kind, count, _address(code), _address(gpl)))


def link_ifindex(fd: int) -> int:
    """The interface that a tcx link hangs on; 0 once that is gone."""
    return int(struct.unpack_from("=I", _info(fd, 64), 16)[0])


def _info(fd: int, size: int) -> bytes:
    info = _room(size)
    _bpf(_GET_INFO, struct.pack("=IIQ", fd, size, _address(info)))
    return info.raw


def link_create(program_fd: int, ifindex: int, attach_type: int) -> int:
    """Attach to an interface of the calling thread's network namespace: the link.

    Before all that are there: a program of others may end the packet's way through the hook.
    """
    # union bpf_attr: program, interface, type, flags, and of tcx the neighbour: none, the first
    attributes = (program_fd, ifindex, attach_type, _BEFORE, 0, 0, 0)
    return _bpf(_LINK_CREATE, struct.pack("=IIIIIIQ", *attributes))


def link_update(link_fd: int, program_fd: int) -> None:
    """Put another program in a link's place without a gap; ENOLINK: the interface is gone."""
    _bpf(_LINK_UPDATE, struct.pack("=IIII", link_fd, program_fd, 0, 0))


def link_detach(link_fd: int) -> None:
    """Take a link's program off its interface."""
    _bpf(_LINK_DETACH, struct.pack("=I", link_fd))


def wait_for_programs() -> None:
    """Return when no run of a program is left that began before this call: an RCU grace period."""
    number = _SYS_MEMBARRIER[platform.machine()]
    if _libc.syscall(number, _MEMBARRIER_GLOBAL, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def run_program(
    program_fd: int, data: bytes, *, context: bytes = b"", repeat: int = 1, room_bytes: int = 0
) -> RunResult:
    """Run a SCHED_CLS program on a frame.

    Args:
        program_fd: The program.
        data: The frame, Ethernet header first.
        context: struct __sk_buff with the fields that the kernel lets one set.
        repeat: How many times; the frame keeps what earlier runs wrote.
        room_bytes: How much of the frame to read back.
    """
    frame = _buffer(data)
    out = _room(max(1, room_bytes))
    given = _buffer(context or b"\0")
    attributes = _room(_ATTR_BYTES)
    # sizes of 0 make the kernel ignore the pointers beside them
    sizes = (program_fd, 0, len(data), room_bytes)
    context_sizes = (repeat, 0, len(context), 0)
    pointers = (_address(frame), _address(out) if room_bytes else 0)
    packed = struct.pack("=IIIIQQIIII", *sizes, *pointers, *context_sizes)
    packed += struct.pack("=QQ", _address(given) if context else 0, 0)
    _bpf(_PROG_TEST_RUN, packed, keep=attributes)
    verdict, _, size = struct.unpack_from("=iII", attributes, 4)
    return RunResult(
        verdict=verdict,
        data=out.raw[: min(size, room_bytes)],
        ns_per_run=struct.unpack_from("=I", attributes, 36)[0],
    )
