"""Where a node's programs, maps and links outlive their process, and who may touch them.

    <bpffs>/leavitt/<node>/v1-<digest>/    maps/NAME  progs/NAME  links/<ifindex>-<hook>

The digest is that of the map layouts: another layout gets another folder, which takes over from
those of earlier versions. The node's folder is the lock: one process at a time holds it. Mounts the
bpffs if the machine has not.
"""

import ctypes
import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from observer.kernel import abi
from observer.kernel.errors import KernelError
from observer.kernel.hold import PATIENCE_S, hold, node_folder
from observer.kernel.permission import refuse_without_bpf

DEFAULT_BPFFS: Final = Path("/sys/fs/bpf")
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """A folder of pins of a node that is held: nobody else has it until `release`."""

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

    def earlier(self) -> tuple["Pins", ...]:
        """Folders of other versions of this node."""
        others = (path for path in self.root.parent.iterdir() if path != self.root)
        return tuple(Pins(root=path, lock_fd=self.lock_fd) for path in sorted(others))

    def release(self) -> None:
        """Let the next one have it; what is pinned stays."""
        os.close(self.lock_fd)

    def unpin(self) -> None:
        """Unpin everything of this version. Programs that hang on links go with them."""
        for path in sorted(self.root.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        self.root.rmdir()

    def remove(self) -> None:
        """Unpin everything of this node, whatever version, and let go."""
        for each in (self, *self.earlier()):
            each.unpin()
        self.root.parent.rmdir()
        self.release()
        if not any(self.root.parents[1].iterdir()):
            self.root.parents[1].rmdir()


def take(*, node: str, bpffs: Path) -> Pins:
    """Take hold of the node's folder; make it, and mount the bpffs, where they are missing.

    Raises:
        KernelError: BPF is not permitted, no bpffs, a name that is no file name, or somebody else
            holds it.
    """
    refuse_without_bpf()
    if not _NODE_NAME.fullmatch(node):
        raise KernelError(f"load programs: node name cannot be a folder's name: {node!r}")
    _mount(bpffs)
    folder = node_folder(node=node, bpffs=bpffs)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pins = Pins(
        root=folder / abi.folder_name(),
        lock_fd=hold(folder, node=node, patience_s=PATIENCE_S),
    )
    try:
        for each in (pins.maps, pins.programs, pins.links):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
    except BaseException:
        pins.release()
        raise
    return pins


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
    # Servers of several nodes may start at once: mounted twice, one would hide the other's pins.
    lock_fd = os.open(bpffs.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX)
        if _file_system(bpffs) != "bpf":
            _mount_new(bpffs)
    finally:
        os.close(lock_fd)


def _mount_new(bpffs: Path) -> None:
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
