"""Facts about the machine and the moment, without which a figure says little."""

import os
import platform
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where and when the figures were taken."""

    taken: str
    """Local time with offset, ISO 8601, seconds."""
    cpus: int
    """CPUs this process may use."""
    cpu_model: str
    memory_bytes: int
    kernel: str
    python: str
    load_before: float
    """Load average of the last minute before the first line; the work of others."""


def this_machine(now: datetime) -> Machine:
    """Look around."""
    return Machine(
        taken=now.isoformat(timespec="seconds"),
        cpus=len(os.sched_getaffinity(0)),
        cpu_model=_cpu_model(Path("/proc/cpuinfo").read_text(encoding="utf-8")),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=platform.release(),
        python=platform.python_version(),
        load_before=round(os.getloadavg()[0], 2),
    )


def _cpu_model(cpuinfo: str) -> str:
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.machine()
