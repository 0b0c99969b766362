"""The child process that compiles, loads and pins: the only place where BCC is imported.

Compiling takes 50 MB for LLVM and importing BCC 75 MB, so a server starts this as a child that
exits. In: a `Job` as JSON on standard input. Out: pinned maps and programs under the job's folder;
errors as text on standard error and a non-zero status. Maps that are pinned already are used as
they are, with what they hold; programs and the ring map are replaced. Next: `observer.kernel.pins`.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import bpf
from observer.kernel import syscall
from observer.kernel.errors import KernelError
from observer.kernel.source import one_text

RING_MAP: Final = "events"
_HEADERS: Final = Path("/usr/include")
_TIMEOUT_S: Final = 120
_LOG_LINES: Final = 12
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to compile and where to pin it."""

    maps_folder: str
    programs_folder: str
    connection_entries: int
    is_observing: bool = False
    """Programs that only look, instead of those that judge and forward."""
    parent: int
    """Process that wants it: without it the child must not go on."""


def compile_and_pin(job: Job, *, lock_fd: int) -> None:
    """Run the job in a child process and wait for it; the child inherits the lock on the pins.

    Raises:
        KernelError: Something is missing or refused; the message says what helps.
    """
    if not (_HEADERS / "linux/bpf.h").exists():
        raise KernelError(
            f"compile programs: no {_HEADERS}/linux/bpf.h: apt-get install linux-libc-dev"
        )
    try:
        child = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", __name__],
            input=json.dumps(asdict(job)),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            pass_fds=[lock_fd],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise KernelError(f"compile programs: not done after {_TIMEOUT_S} s") from error
    if child.returncode:
        raise KernelError(_reason(child.stderr.strip()))


def _reason(output: str) -> str:
    """The child's own message stands last; before it the end of what compiler or verifier said."""
    lines = output.splitlines() or ["the child process died without a word"]
    return "\n".join([f"load programs: {lines[-1]}", *lines[-_LOG_LINES:-1]])


def _import_bcc() -> Any:  # noqa: ANN401 - bcc has no types; it is used in this file alone
    try:
        import bcc
    except ImportError as error:
        raise KernelError(
            f"import bcc: {error}: apt-get install python3-bpfcc, then make setup"
        ) from error
    if not hasattr(bcc, "BPF"):
        raise KernelError(
            f"import bcc: {bcc.__file__} is another package of that name: pip uninstall bcc, "
            "apt-get install python3-bpfcc, then make setup"
        )
    return bcc


def _compile(bcc: Any, job: Job) -> Any:  # noqa: ANN401 - bcc has no types
    sources = bpf.OBSERVE_SOURCES if job.is_observing else bpf.SOURCES
    os.environ["BCC_KERNEL_SOURCE"] = str(bpf.STUB)
    flags = ["-idirafter", str(_HEADERS)]
    multiarch = sysconfig.get_config_var("MULTIARCH") or f"{os.uname().machine}-linux-gnu"
    flags += [f"-I{_HEADERS}/{multiarch}"]
    flags += [f'-DPIN_FOLDER="{job.maps_folder}"', f"-DCONNECTION_ENTRIES={job.connection_entries}"]
    try:
        return bcc.BPF(text=one_text(sources), cflags=flags)
    except Exception as error:
        raise KernelError(f"compile programs: {error}") from error


def _replace_pin(fd: int, path: Path) -> None:
    """Pin over what may be there: never a moment without one."""
    fresh = path.with_name(f"{path.name}-new")
    fresh.unlink(missing_ok=True)
    syscall.pin(fd, fresh)
    fresh.rename(path)


def _run(job: Job) -> None:
    bcc = _import_bcc()
    module = _compile(bcc, job)
    programs = {}
    for name in bpf.PROGRAMS:
        try:
            programs[name] = module.load_func(name, bcc.BPF.SCHED_CLS).fd
        except Exception as error:
            raise KernelError(f"load program {name}: {error}") from error
    _replace_pin(module[RING_MAP].get_fd(), Path(job.maps_folder) / RING_MAP)
    for name, fd in programs.items():
        _replace_pin(fd, Path(job.programs_folder) / name)


def _die_with(parent: int) -> None:
    """End when the parent is killed: what it asked for would come between its successor's pins."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent has gone")


def main() -> None:
    """Read the job, do it, exit."""
    try:
        job = Job(**json.load(sys.stdin))
        _die_with(job.parent)
        _run(job)
    except (KernelError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
