"""Taking away what servers of a node have left in the kernel, whatever version they were.

In: a node's name. Out: its programs are off all interfaces, its folder of pins is gone. Compiles
nothing and loads nothing. The layouts of maps do not matter here, so pins of every ABI are removed.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from observer.kernel import syscall
from observer.kernel.errors import KernelError
from observer.kernel.hold import hold, node_folder
from observer.kernel.hooks import detach_filters


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What was there and is not any more."""

    folders: tuple[Path, ...]
    """One for each ABI; empty: there was nothing."""
    interfaces: frozenset[int]
    """Interfaces whose programs were taken off; those that are gone by now are not counted."""
    programs: int
    maps: int


def remove_node(*, node: str, bpffs: Path, netns: Path | None = None) -> Removed:
    """Detach and unpin everything of that node; nothing there is no error.

    Args:
        node: Its name.
        bpffs: Where its pins are.
        netns: Namespace to search for its clsact filters; tcx links are found anywhere.

    Raises:
        KernelError: A process serves the node, or a pin cannot be removed. What was removed before
            that is gone; a second call goes on.
    """
    root = node_folder(node=node, bpffs=bpffs)
    with ExitStack() as held:
        try:
            held.callback(os.close, hold(root, node=node))
            folders = tuple(sorted(path for path in root.iterdir() if path.is_dir()))
        except FileNotFoundError:
            folders = ()
        except OSError as error:
            raise KernelError(f"read pins: {error.strerror}: {root}") from error
        filtered = detach_filters(node=node, netns=netns)
        removed = _remove_all(folders)
        for empty in (root, root.parent):
            _remove_if_empty(empty)
    return replace(removed, interfaces=removed.interfaces | filtered)


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
