"""Commands as whole processes: their output, wall time and CPU time; the memory of live ones.

The clock runs from before the fork to after the wait, so it holds the interpreter's start and
exit, as a user feels them.
"""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from bench.errors import NotMeasurableError, WrongAnswerError

_LONGEST_S: Final = 120.0
_STOP_S: Final = 10.0
_PR_SET_PDEATHSIG: Final = 1

LEASHED: Final = ("setpriv", "--pdeathsig", "KILL")
"""Begins the command of a server: it ends when the bench is killed. Of util-linux; it does not
fork, so that the process is the server's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A command that has ended."""

    status: int
    output: bytes
    """Standard output; what it said on standard error where there was none."""
    wall_s: float
    cpu_s: float


def program(name: str) -> Path:
    """Find one of our console scripts, installed beside this interpreter.

    Raises:
        NotMeasurableError: it is not installed.
    """
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise NotMeasurableError(f"no {name} beside {sys.executable}: make setup")
    return path


def die_with_parent() -> None:
    """End this process when the one that started it is killed; for children that never end."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask a server to end, and kill it if it does not within 10 s."""
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def beside(work: Callable[..., None], *args: object) -> Iterator[BaseProcess]:
    """Run `work` in a new interpreter; killed on leaving. Shared values are of context "spawn"."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=args, daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def run(command: Sequence[str | Path]) -> Finished:
    """Run to the end with output into a file in memory, so that no reader slows it down.

    Raises:
        WrongAnswerError: it cannot be started, or does not end.
    """
    with tempfile.TemporaryFile(dir="/dev/shm") as out, tempfile.TemporaryFile() as err:
        before = os.times()
        started = time.perf_counter()
        try:
            status = subprocess.run(  # noqa: S603 - our own scripts, or a path the user gave
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                check=False,
                timeout=_LONGEST_S,
            ).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            raise WrongAnswerError(f"run {' '.join(map(str, command))}: {error}") from error
        wall_s = time.perf_counter() - started
        after = os.times()
        cpu_s = sum(after[2:4]) - sum(before[2:4])
        out.seek(0)
        err.seek(0)
        return Finished(status=status, output=out.read() or err.read(), wall_s=wall_s, cpu_s=cpu_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a live process holds and has used."""

    resident_bytes: int
    """All of its resident memory, shared libraries and mapped files included."""
    private_bytes: int
    """Resident memory that is no file's: heap, arrays, stacks."""
    cpu_s: float


def usage(pid: int) -> Usage:
    """Read the memory and CPU time of a process from /proc.

    Raises:
        WrongAnswerError: it is gone.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise WrongAnswerError(f"read usage of process {pid}: {error.strerror}") from error
    fields = dict(line.split(":", 1) for line in status.splitlines())
    ticks = stat.rpartition(")")[2].split()[11:13]  # utime and stime
    return Usage(
        resident_bytes=_kib(fields["VmRSS"]),
        private_bytes=_kib(fields["RssAnon"]) + _kib(fields["RssShmem"]),
        cpu_s=sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"),
    )


def _kib(field: str) -> int:
    return int(field.split()[0]) * 1024
