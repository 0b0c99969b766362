"""What this kernel can do, found by trying: each function tries one thing and leaves nothing.

In: nothing but the kernel. Out: nothing, or an OSError with the kernel's number where it cannot, or
may not be asked. Programs and maps here are as small as they can be; that ours load as a whole is
another question. Formats: linux/bpf.h, linux/btf.h.
"""

import errno
import os
import struct
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np

from observer.kernel import layout, syscall
from observer.kernel.perf_event import PAGE, PerfRing

if TYPE_CHECKING:
    from collections.abc import Iterator

_HASH, _ARRAY, _LPM_TRIE = 1, 2, 11
_NO_PREALLOC: Final = 1
_SCHED_CLS: Final = 3
_TCX_INGRESS: Final = 46
_REDIRECT_PEER: Final = 155
_NO_INTERFACE: Final = 0x7FFF_FFFF
_ENTRIES: Final = 4

_MOV, _CALL, _EXIT = 0xB7, 0x85, 0x95


def try_bpf() -> None:
    """Create a map."""
    with _map(_ARRAY, 4, 8):
        pass


def try_lpm_batches() -> None:
    """Write longest-prefix entries in a batch and read them back (5.13)."""
    keys = np.zeros(_ENTRIES, layout.IPCACHE_KEY)
    keys["prefix_bits"] = layout.IPCACHE_FAMILY_BITS + 128
    keys["family"] = np.arange(_ENTRIES)
    values = np.zeros(_ENTRIES, np.uint32)
    with _map(_LPM_TRIE, keys.itemsize, 4, flags=_NO_PREALLOC) as fd:
        syscall.update_batch(fd, keys.tobytes(), values.tobytes(), _ENTRIES)
        count, _ = syscall.lookup_batch(fd, None, keys, values)
    if count != _ENTRIES:
        raise OSError(errno.EIO, f"read {count} entries of {_ENTRIES}")


def try_spin_lock() -> None:
    """Create a map whose values have a lock, which takes types, too (5.1)."""
    types = syscall.btf_load(_lock_types())
    try:
        with _map(_HASH, 4, 8, btf=(types, 1, 3)):
            pass
    finally:
        os.close(types)


def try_redirect_peer() -> None:
    """Load a program that hands packets over to the peer of a veth (5.10)."""
    with _program(_insn(_MOV, 1, 1), _insn(_MOV, 2, 0), _insn(_CALL, 0, _REDIRECT_PEER)):
        pass


def try_tcx() -> None:
    """Ask for a tcx link to an interface that cannot exist: that it is missing is the answer."""
    with _program(_insn(_MOV, 0, 0)) as fd:
        try:
            os.close(syscall.link_create(fd, _NO_INTERFACE, _TCX_INGRESS))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise


def try_perf_ring(cpu: int) -> bool:
    """Open a ring of one page with kernel time stamps; True if it counts what is lost (6.0).

    Raises:
        KernelError: It cannot be opened.
    """
    with closing(PerfRing(cpu=cpu, size_bytes=PAGE, wake_bytes=PAGE // 2)) as ring:
        return ring.counts_lost


@contextmanager
def _map(
    kind: int,
    key_bytes: int,
    value_bytes: int,
    *,
    flags: int = 0,
    btf: tuple[int, int, int] = (0,) * 3,
) -> "Iterator[int]":
    info = syscall.MapInfo(
        kind=kind, key_bytes=key_bytes, value_bytes=value_bytes, max_entries=_ENTRIES
    )
    fd = syscall.map_create(info, flags=flags, btf=btf)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _program(*instructions: bytes) -> "Iterator[int]":
    fd = syscall.program_load(_SCHED_CLS, b"".join(instructions) + _insn(_EXIT, 0, 0))
    try:
        yield fd
    finally:
        os.close(fd)


def _insn(code: int, register: int, immediate: int) -> bytes:
    """Encode struct bpf_insn with a destination register, no source and no offset."""
    return struct.pack("=BBhi", code, register, 0, immediate)


def _lock_types() -> bytes:
    """Write BTF: 1 u32, 2 struct bpf_spin_lock {u32 val}, 3 struct value {lock, u32 rest}."""
    names = b"\0u32\0bpf_spin_lock\0val\0value\0lock\0rest\0"

    def name(text: bytes) -> int:
        return names.index(b"\0" + text + b"\0") + 1

    types = struct.pack("=IIII", name(b"u32"), 1 << 24, 4, 32)
    types += struct.pack("=III", name(b"bpf_spin_lock"), 4 << 24 | 1, 4)
    types += struct.pack("=III", name(b"val"), 1, 0)
    types += struct.pack("=III", name(b"value"), 4 << 24 | 2, 8)
    types += struct.pack("=III", name(b"lock"), 2, 0) + struct.pack("=III", name(b"rest"), 1, 32)
    header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(names))
    return header + types + names
