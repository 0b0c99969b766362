"""Where a node's programs, maps and links outlive their process, and who may touch them.

    <bpffs>/leavitt/<node>/v1/    maps/NAME  progs/NAME  links/<ifindex>-<hook>

The version is that of the map layouts: another layout gets another folder. The folder itself is the
lock: one process at a time holds it. Mounts the bpffs if the machine has not.
"""

import ctypes
import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from observer.kernel import layout, syscall
from observer.kernel.errors import KernelError

ABI: Final = 1
DEFAULT_BPFFS: Final = Path("/sys/fs/bpf")
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_HASH, _ARRAY, _PERCPU_ARRAY, _LRU_HASH, _LPM_TRIE = 1, 2, 6, 9, 11
_libc = ctypes.CDLL(None, use_errno=True)

_U32, _U64 = np.dtype(np.uint32), np.dtype(np.uint64)

LAYOUTS: Final[dict[str, tuple[int, np.dtype[np.generic], np.dtype[np.generic]]]] = {
    "endpoints": (_HASH, layout.ADDRESS, layout.ENDPOINT),
    "devices": (_HASH, _U32, layout.ENDPOINT),
    "ipcache": (_LPM_TRIE, layout.IPCACHE_KEY, _U32),
    "connections": (_HASH, layout.CONNECTION_KEY, layout.CONNECTION),
    "policy": (_LPM_TRIE, layout.POLICY_KEY, layout.POLICY_VALUE),
    "fragments": (_LRU_HASH, layout.FRAGMENT_KEY, layout.FRAGMENT_VALUE),
    "settings_map": (_ARRAY, _U32, layout.SETTINGS),
    "counters": (_PERCPU_ARRAY, _U32, _U64),
    "drops": (_PERCPU_ARRAY, _U32, _U64),
}
"""Pinned maps: type, key, value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """A node's folder, held: nobody else has it until `release`."""

    root: Path
    lock_fd: int

    @property
    def maps(self) -> Path:
        """Maps by name."""
        return self.root / "maps"

    @property
    def programs(self) -> Path:
        """Programs by name."""
        return self.root / "progs"

    @property
    def links(self) -> Path:
        """Links, `<ifindex>-<hook>`."""
        return self.root / "links"

    def release(self) -> None:
        """Let the next one have it; what is pinned stays."""
        os.close(self.lock_fd)

    def remove(self) -> None:
        """Unpin everything and let go. Programs that hang on links go with them."""
        for folder in (self.links, self.programs, self.maps):
            for pin in folder.iterdir():
                pin.unlink()
            folder.rmdir()
        self.root.rmdir()
        self.release()
        for folder in (self.root.parent, self.root.parent.parent):
            if not any(folder.iterdir()):
                folder.rmdir()


def node_folder(*, node: str, bpffs: Path) -> Path:
    """The folder of all of a node's versions. bpffs keeps dots for itself: they become a plus."""
    return bpffs / "leavitt" / node.replace(".", "+")


def take(*, node: str, bpffs: Path) -> Pins:
    """Take hold of the node's folder; make it, and mount the bpffs, where they are missing.

    Raises:
        KernelError: Not root, no bpffs, a name that is no file name, or somebody else holds it.
    """
    if os.geteuid() != 0:
        raise KernelError("load programs: needs root (CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON)")
    if not _NODE_NAME.fullmatch(node):
        raise KernelError(f"load programs: node name cannot be a folder's name: {node!r}")
    _mount(bpffs)
    root = node_folder(node=node, bpffs=bpffs) / f"v{ABI}"
    for folder in ("maps", "progs", "links"):
        (root / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    lock_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        pins = Pins(root=root, lock_fd=lock_fd)
        check_layouts(pins)
    except BlockingIOError:
        os.close(lock_fd)
        raise KernelError(
            f"load programs: another process serves node {node} ({root}): stop it, "
            "or choose another node name"
        ) from None
    except BaseException:
        os.close(lock_fd)
        raise
    return pins


def check_layouts(pins: Pins) -> None:
    """Refuse maps that another version left behind: reading them would mean misreading them.

    Raises:
        KernelError: A pinned map has another type or other sizes.
    """
    for name, (kind, key, value) in LAYOUTS.items():
        path = pins.maps / name
        if not path.exists():
            continue
        fd = syscall.open_pin(path)
        found = syscall.map_info(fd)
        os.close(fd)
        need = (kind, key.itemsize, value.itemsize)
        has = (found.kind, found.key_bytes, found.value_bytes)
        if has != need:
            raise KernelError(
                f"reuse map {path}: type, key and value bytes are {has}, need {need}: "
                f"another version made it; remove its pins: rm -r {pins.root}"
            )


def _mount(bpffs: Path) -> None:
    """Mount a bpffs unless that folder is in one."""
    if _file_system(bpffs) == "bpf":
        return
    try:
        bpffs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KernelError(
            f"mount bpffs: {error.strerror}: {bpffs}: mount one by hand "
            "(mount -t bpf bpf FOLDER) and name it"
        ) from error
    if _libc.mount(b"bpf", os.fsencode(bpffs), b"bpf", 0, b"mode=0700") < 0:
        raise KernelError(
            f"mount bpffs: {os.strerror(ctypes.get_errno())}: {bpffs}: in a container it must be "
            "mounted by the host"
        )


def _file_system(path: Path) -> str:
    """Type of the file system that a path is in, of the last mounted where several lie."""
    best, kind = Path("/"), ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = Path(before.split(" ")[4].encode().decode("unicode_escape"))
        if path.resolve().is_relative_to(point) and len(point.parts) >= len(best.parts):
            best, kind = point, after.split(" ")[0]
    return kind
