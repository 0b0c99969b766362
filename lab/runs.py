"""A run: one lab on this machine, and the folder that remembers it.

/run/leavitt-lab/<run>.lock     held by the process that owns, builds or removes the run
/run/leavitt-lab/<run>/
    run.json                    where BPF programs of its nodes may be pinned
    up                          there once the lab is complete
    built.yaml                  the Kubernetes objects that it was built from
    state/                      those that are there now, for `hubble-server --state`
    etc/<netns>/                resolv.conf and nsswitch.conf as that pod sees them
    processes/<pid>             what was started, see `processes`
    logs/<name>.log             what it printed
    bpf/                        a BPF file system of its own, if its server uses one
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lab.errors import NetworkError, RunError
from lab.namespaces import netns_names, unmount
from lab.network import delete_namespaces
from lab.processes import end, members, recorded
from lab.programs import typed
from lab.topology import prefix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RUNS_FOLDER = Path("/run/leavitt-lab")
BPFFS = Path("/sys/fs/bpf")
"""Where a server pins its programs unless it is told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The names and places of one run; the folder may or may not be there."""

    name: str

    def __post_init__(self) -> None:
        """Refuse a name that could not be part of a namespace's, or be taken for a path."""
        if not re.fullmatch(r"[a-z0-9]{1,8}", self.name):
            raise RunError(f"run id: want 1 to 8 letters a-z or digits, got {self.name!r}")

    @property
    def folder(self) -> Path:
        """Where everything about the run is kept."""
        return RUNS_FOLDER / self.name

    @property
    def built(self) -> Path:
        """The objects that nodes and pods were made from, whatever becomes of the state folder."""
        return self.folder / "built.yaml"

    @property
    def state(self) -> Path:
        """The folder of Kubernetes objects, which its user may change, add to and spoil."""
        return self.folder / "state"

    @property
    def processes(self) -> Path:
        """The folder of notes about started processes."""
        return self.folder / "processes"

    @property
    def logs(self) -> Path:
        """The folder of what they print."""
        return self.folder / "logs"

    @property
    def etc(self) -> Path:
        """The folder of the files that pods see instead of the machine's."""
        return self.folder / "etc"

    @property
    def own_bpffs(self) -> Path:
        """A place for a BPF file system that nobody else uses, and that goes with the run."""
        return self.folder / "bpf"

    @property
    def is_up(self) -> bool:
        """Whether the lab was built completely and not taken down since."""
        return (self.folder / "up").exists()

    @property
    def is_there(self) -> bool:
        """Whether anything is left of it: a folder, or namespaces that nobody remembers."""
        return self.folder.exists() or bool(netns_names(prefix(self.name)))

    def begin(self, pins: Sequence[Path]) -> None:
        """Make the folder; from here on `remove` finds everything the run leaves.

        `pins` are the folders in which the servers of its nodes pin their BPF programs.
        """
        for folder in (self.state, self.processes, self.logs, self.etc):
            folder.mkdir(parents=True)
        about = {"pins": [str(folder) for folder in pins]}
        (self.folder / "run.json").write_text(json.dumps(about))

    def complete(self) -> None:
        """Say that the lab is built."""
        (self.folder / "up").touch()

    def remove(self) -> None:
        """Take away all there is of this run: processes, namespaces, BPF pins, folder."""
        own_netns_names = netns_names(prefix(self.name))
        known = recorded(self.processes) if self.processes.is_dir() else []
        end([*known, *members(own_netns_names)])
        delete_namespaces(prefix(self.name))
        for pins in self._pins():
            shutil.rmtree(pins, ignore_errors=True)
        if self.own_bpffs.is_mount():
            unmount(self.own_bpffs)
        if self.folder.exists():
            shutil.rmtree(self.folder)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Own the run for the length of a block. RunError if another process does."""
        require_root()
        RUNS_FOLDER.mkdir(parents=True, exist_ok=True)
        with self._locked_file() as file:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            try:
                yield
            finally:
                if not self.folder.exists():
                    self._lock_path.unlink()

    @property
    def _lock_path(self) -> Path:
        return RUNS_FOLDER / f"{self.name}.lock"

    def _locked_file(self) -> TextIO:
        while True:
            file = self._lock_path.open("a+")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                owner = file.read().strip() or "unknown"
                file.close()
                raise RunError(f"run {self.name} is in use by process {owner}") from None
            # The owner before us may have removed the file while we opened it: then this lock
            # guards nothing, and the next one to come would have another.
            with suppress(FileNotFoundError):
                if self._lock_path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                    return file
            file.close()

    def _pins(self) -> list[Path]:
        try:
            about = json.loads((self.folder / "run.json").read_text())
        except (OSError, ValueError):
            return []  # it was never begun, or cut short before anything was pinned
        return [Path(folder) for folder in about["pins"]]


def existing_runs() -> list[Run]:
    """List the runs that have a folder, by name."""
    if not RUNS_FOLDER.is_dir():
        return []
    return [Run(name=path.name) for path in sorted(RUNS_FOLDER.iterdir()) if path.is_dir()]


def find_run(name: str | None) -> Run:
    """Give the run of this name, or without a name the only one there is."""
    runs = existing_runs()
    if name is not None:
        runs = [run for run in runs if run == Run(name=name)]
    match runs:
        case [run]:
            return run
        case []:
            start = f"no lab is up; start one: {typed('hubble-lab')} up"
            raise RunError(f"no run {name}" if name else start)
        case _:
            names = ", ".join(run.name for run in runs)
            raise RunError(f"several labs are up: say --run with one of {names}")


def require_root() -> None:
    """Refuse to go on without the right to make namespaces."""
    if os.geteuid() != 0:
        raise NetworkError(f"make network namespaces: need root, am user {os.geteuid()}; use sudo")
