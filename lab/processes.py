"""The processes of a run: who they are, whether they live, and how they end.

A process is known by its id together with its start time and the machine's boot: a number alone is
reused, and what was started by somebody else must never be ended. The records are files, so that
the next lab can clear away what an earlier one, killed in the middle, left behind.
"""

from __future__ import annotations

import os
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.namespaces import NETNS_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable

PROC = Path("/proc")
GRACE_S = 3.0
"""How long a process may take to end by itself after SIGTERM; then it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process, told apart from any later one with the same id."""

    pid: int
    birth: str
    """Boot id and start time in clock ticks."""

    name: str

    @property
    def lives(self) -> bool:
        """Whether this very process still runs."""
        return birth_of(self.pid) == self.birth


def birth_of(pid: int) -> str | None:
    """Tell when a process started; None if there is none with this id, or only its zombie."""
    try:
        status = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The second field, the name in parentheses, may hold anything; proc(5) counts from one.
    state, *fields = status.rpartition(")")[2].split()
    if state in "ZX":
        return None
    boot_id = (PROC / "sys/kernel/random/boot_id").read_text().strip()
    return f"{boot_id} {fields[22 - 4]}"


def record(folder: Path, pid: int, name: str) -> None:
    """Note a process that was just started by us."""
    birth = birth_of(pid)
    if birth is not None:
        (folder / str(pid)).write_text(f"{birth} {name}\n")


def recorded(folder: Path) -> list[Process]:
    """Read the notes of a run; a note cut short by a crash speaks of nobody."""
    found = []
    for note in sorted(folder.glob("[0-9]*"), key=lambda path: int(path.name)):
        words = note.read_text().split(maxsplit=2)
        if len(words) == 3:
            birth, name = f"{words[0]} {words[1]}", words[2].strip()
            found.append(Process(pid=int(note.name), birth=birth, name=name))
    return found


def members(netns_names: Iterable[str]) -> list[Process]:
    """Find all processes that live in the given network namespaces, except ourselves."""
    wanted = {_identity(NETNS_FOLDER / name) for name in netns_names}
    found = []
    for entry in PROC.glob("[0-9]*"):
        try:
            home, name = _identity(entry / "ns/net"), (entry / "comm").read_text().strip()
        except OSError:
            continue  # it ended while we looked
        birth = birth_of(int(entry.name)) if home in wanted else None
        if birth is not None and int(entry.name) != os.getpid():
            found.append(Process(pid=int(entry.name), birth=birth, name=name))
    return found


def _identity(path: Path) -> tuple[int, int]:
    """Tell a namespace by the device and inode of its file, wherever that is found."""
    about = path.stat()
    return about.st_dev, about.st_ino


def end(processes: Iterable[Process], *, grace_s: float = GRACE_S) -> None:
    """End processes: ask with SIGTERM, wait, then SIGKILL, and return when all are gone."""
    handles = [handle for process in processes if (handle := _open(process)) is not None]
    try:
        _signal(handles, signal.SIGTERM)
        stubborn = _wait(handles, grace_s)
        _signal(stubborn, signal.SIGKILL)
        _wait(stubborn, grace_s)
    finally:
        for handle in handles:
            os.close(handle)


def _open(process: Process) -> int | None:
    """Hold on to a process by a descriptor, so that no other can be hit in its place."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    if process.lives:
        return handle
    os.close(handle)
    return None


def _signal(handles: Iterable[int], number: signal.Signals) -> None:
    for handle in handles:
        try:
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            continue  # it ended by itself


def _wait(handles: list[int], timeout_s: float) -> list[int]:
    """Wait until processes have ended; give those that have not in time."""
    # Not select(): it cannot watch descriptors above 1023.
    poller = select.poll()
    for handle in handles:
        poller.register(handle, select.POLLIN)
    alive = set(handles)
    deadline = time.monotonic() + timeout_s
    while alive and (left_s := deadline - time.monotonic()) > 0:
        for handle, _ in poller.poll(left_s * 1000):
            poller.unregister(handle)
            alive.discard(handle)
    return list(alive)
