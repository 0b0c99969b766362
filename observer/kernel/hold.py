"""Who serves a node: the folder of its pins is the lock, one process at a time holds it.

A child that pins there inherits the lock, so that what it does never mixes with the next server.
Where the server is dead and its child is still being ended, one waits for that.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from observer.kernel.errors import KernelError

PATIENCE_S: Final = 20.0
"""Far more than a busy kernel needs to end a process in the middle of loading a program."""
_PAUSE_S: Final = 0.02


def node_folder(*, node: str, bpffs: Path) -> Path:
    """Where the pins of a node stand; one folder a layout of maps below it."""
    # bpffs keeps dots for itself, and no node name has a plus
    return bpffs / "leavitt" / node.replace(".", "+")


def hold(folder: Path, *, node: str, patience_s: float = 0.0) -> int:
    """Hold a node's folder as a server does: the descriptor to close afterwards.

    Args:
        folder: See `node_folder`.
        node: Its name, for messages.
        patience_s: How long to wait for what a dead process left running.

    Raises:
        KernelError: A process holds it; the message says which, where that can be seen.
        FileNotFoundError: There is no such folder.
    """
    deadline_s = time.monotonic() + patience_s
    was_alive = False
    while True:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(fd, folder):
                return fd
            # the one before us removed the folder while we opened it: this lock guards nothing
        except BlockingIOError:
            holder = _holder(os.fstat(fd))
            is_alive = _is_alive(holder)
            # Who let go between the two looks is seen nowhere, and taken to be alive: look again.
            if (is_alive and was_alive) or (not is_alive and time.monotonic() >= deadline_s):
                os.close(fd)
                raise KernelError(_refusal(holder, folder, node)) from None
            was_alive = is_alive
            time.sleep(_PAUSE_S)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _is_at(fd: int, folder: Path) -> bool:
    try:
        return folder.stat().st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False


def _is_alive(process: int | None) -> bool:
    """False only for one that has ended, reaped or not: an unknown one is taken to be alive."""
    try:
        return process is None or bool(os.readlink(f"/proc/{process}/exe"))
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _refusal(holder: int | None, folder: Path, node: str) -> str:
    who = "another process" if holder is None else f"process {holder}"
    return (
        f"hold pins: {who} serves node {node}, stop it first, or choose another node name: {folder}"
    )


def _holder(folder: os.stat_result) -> int | None:
    """Find who has the lock; None where /proc does not tell, as in a container."""
    device = f"{os.major(folder.st_dev):02x}:{os.minor(folder.st_dev):02x}"
    for line in Path("/proc/locks").read_text().splitlines():
        # 1: FLOCK ADVISORY WRITE 123 00:1b:456 0 EOF
        words = line.split()
        if words[1] == "FLOCK" and words[5] == f"{device}:{folder.st_ino}" and words[4] != "0":
            return int(words[4])
    return None
