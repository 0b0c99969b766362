"""Entering another network namespace for the length of a `with`.

Only the calling thread changes, and only its network: mounts stay, so that a mounted bpffs stays
visible (`ip netns exec` would hide it). Nothing may be awaited inside.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from observer.kernel.errors import KernelError

_CLONE_NEWNET: Final = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def inside(netns: Path | None) -> Iterator[None]:
    """Be in that namespace (a file like /run/netns/NAME); None changes nothing.

    Raises:
        KernelError: It does not exist, is none, or may not be entered.
    """
    if netns is None:
        yield
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter_path(netns)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


def _enter_path(netns: Path) -> None:
    try:
        there = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(f"enter network namespace: {error.strerror}: {netns}") from error
    try:
        _setns(there)
    except OSError as error:
        raise KernelError(f"enter network namespace: {error.strerror}: {netns}") from error
    finally:
        os.close(there)


def _setns(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
