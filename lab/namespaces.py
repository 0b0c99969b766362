"""Enter network namespaces, from this process or on the way to a new program.

Uses setns(CLONE_NEWNET) alone, not `ip netns exec`: that one mounts a fresh /sys, and a bpffs
mounted there dies with the process. A program in a pod also gets a mount namespace of its own with
the pod's files (resolv.conf) in the place of the machine's.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NETNS_FOLDER = Path("/run/netns")

# <sched.h> and <sys/mount.h>; os.setns and os.unshare come with Python 3.12.
CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SLAVE = 0x80000
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
)


def netns_names(name_prefix: str) -> list[str]:
    """List the network namespaces whose names begin with a prefix."""
    if not NETNS_FOLDER.is_dir():
        return []
    return sorted(path.name for path in NETNS_FOLDER.iterdir() if path.name.startswith(name_prefix))


@contextmanager
def inside(netns: str) -> Iterator[None]:
    """Be in a network namespace for the length of a block, which must not await."""
    with open("/proc/thread-self/ns/net", "rb") as home:
        enter(netns)
        try:
            yield
        finally:
            _setns(home.fileno(), "home")


def enter(netns: str) -> None:
    """Go into a network namespace for good. NetworkError if there is none of this name."""
    try:
        target = os.open(NETNS_FOLDER / netns, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NetworkError(f"enter network namespace {netns}: {error.strerror}") from None
    try:
        _setns(target, netns)
    finally:
        os.close(target)


def replace_files(replacements: Mapping[Path, Path]) -> None:
    """Show this process, and none else, other files: keys are the places, values the contents."""
    _check(_libc.unshare(CLONE_NEWNS), "unshare mounts")
    # What we mount must not spread to the machine; what it mounts (bpffs) shall still reach us.
    _check(_libc.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None), "make mounts private")
    for place, content in replacements.items():
        source, target = os.fsencode(content), os.fsencode(place)
        _check(_libc.mount(source, target, None, MS_BIND, None), f"mount {content} on {place}")


def unmount(place: Path) -> None:
    """Take a mount away at once; who has files open there keeps them until it closes them."""
    _check(_libc.umount2(os.fsencode(place), MNT_DETACH), f"unmount {place}")


def _setns(descriptor: int, name: str) -> None:
    _check(_libc.setns(descriptor, CLONE_NEWNET), f"enter network namespace {name}")


def _check(result: int, what: str) -> None:
    if result != 0:
        raise NetworkError(f"{what}: {os.strerror(ctypes.get_errno())}")
