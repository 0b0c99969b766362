"""Taking away what servers of a node have left in the kernel, whatever version they were.

In: a node's name. Out: its programs are off all interfaces, its folder of pins is gone. Compiles
nothing and loads nothing. The layouts of maps do not matter here, so pins of every ABI are removed.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from observer.kernel import syscall
from observer.kernel.errors import KernelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What was there and is not any more."""

    folders: tuple[Path, ...]
    """One for each ABI; empty: there was nothing."""
    interfaces: frozenset[int]
    """Interfaces whose programs were taken off; those that are gone by now are not counted."""
    programs: int
    maps: int


def node_folder(*, node: str, bpffs: Path) -> Path:
    """Where the pins of a node stand; one folder a layout of maps below it."""
    # bpffs keeps dots for itself, and no node name has a plus
    return bpffs / "leavitt" / node.replace(".", "+")


def remove_node(*, node: str, bpffs: Path) -> Removed:
    """Detach and unpin everything of that node; nothing there is no error.

    Raises:
        KernelError: A process serves the node, or a pin cannot be removed. What was removed before
            that is gone; a second call goes on.
    """
    root = node_folder(node=node, bpffs=bpffs)
    try:
        folders = tuple(sorted(path for path in root.iterdir() if path.is_dir()))
    except FileNotFoundError:
        folders = ()
    except OSError as error:
        raise KernelError(f"read pins: {error.strerror}: {root}") from error
    with ExitStack() as held:
        for folder in folders:
            lock_fd = lock(folder, node=node)
            held.callback(os.close, lock_fd)
        removed = _remove_all(folders)
        for empty in (root, root.parent):
            _remove_if_empty(empty)
    return removed


def lock(folder: Path, *, node: str) -> int:
    """Hold a folder of pins as a server does: the descriptor to close afterwards.

    Raises:
        KernelError: A process holds it; the message says which, where that can be seen.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(os.fstat(fd))
        os.close(fd)
        who = "another process" if holder is None else f"process {holder}"
        raise KernelError(f"hold pins: {who} serves node {node}, stop it first: {folder}") from None
    return fd


def _holder(folder: os.stat_result) -> int | None:
    """Find who has the lock; None where /proc does not tell, as in a container."""
    device = f"{os.major(folder.st_dev):02x}:{os.minor(folder.st_dev):02x}"
    for line in Path("/proc/locks").read_text().splitlines():
        # 1: FLOCK ADVISORY WRITE 123 00:1b:456 0 EOF
        words = line.split()
        if words[1] == "FLOCK" and words[5] == f"{device}:{folder.st_ino}" and words[4] != "0":
            return int(words[4])
    return None


def _remove_all(folders: tuple[Path, ...]) -> Removed:
    interfaces: set[int] = set()
    counts = {"progs": 0, "maps": 0}
    for folder in folders:
        for pin in _pins(folder):
            if pin.parent.name == "links":
                interfaces |= _detach(pin)
            else:
                counts[pin.parent.name] = counts.get(pin.parent.name, 0) + 1
            _unlink(pin)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir()
        folder.rmdir()
    return Removed(
        folders=folders,
        interfaces=frozenset(interfaces),
        programs=counts["progs"],
        maps=counts["maps"],
    )


def _pins(folder: Path) -> Iterator[Path]:
    """All pins below, links first: nothing is judged by maps that are half gone."""
    found = [path for path in folder.rglob("*") if not path.is_dir()]
    yield from sorted(found, key=lambda pin: (pin.parent.name != "links", pin))


def _detach(pin: Path) -> frozenset[int]:
    """Take a link's program off; the interface it was on, if there still is one."""
    fd = syscall.open_pin(pin)
    try:
        ifindex = syscall.link_ifindex(fd)
        syscall.link_detach(fd)
    except OSError as error:
        if error.errno != errno.ENOLINK:
            raise KernelError(f"detach link: {error.strerror}: {pin}") from error
        return frozenset()
    finally:
        os.close(fd)
    return frozenset({ifindex} - {0})


def _unlink(pin: Path) -> None:
    try:
        pin.unlink()
    except OSError as error:
        raise KernelError(f"remove pin: {error.strerror}: {pin}") from error


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
            raise KernelError(f"remove folder: {error.strerror}: {folder}") from error
