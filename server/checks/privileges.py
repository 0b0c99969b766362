"""May this process do what a server does? User, capabilities, locked memory."""

import os
import resource
from pathlib import Path
from typing import Final

from observer.kernel.permission import USER_NAMESPACE_REMEDY, in_initial_user_namespace
from observer.kernel.rings import online_cpus, ring_bytes
from server.checks.finding import Finding, blocker, fine
from server.settings import Settings

CAPABILITIES: Final = {"NET_ADMIN": 12, "SYS_ADMIN": 21, "PERFMON": 38, "BPF": 39}
"""linux/capability.h. SYS_ADMIN to enter network namespaces and to mount a bpffs."""
_IPC_LOCK: Final = 14
_STATUS: Final = Path("/proc/self/status")
_PERF: Final = Path("/proc/sys/kernel")


def root(settings: Settings) -> Finding:
    """Ask who we are."""
    del settings
    name, user = "root", os.geteuid()
    if user == 0 and not in_initial_user_namespace():
        return blocker(name, "of a user namespace only", USER_NAMESPACE_REMEDY)
    if user == 0:
        return fine(name, "yes")
    return blocker(name, f"user {user}", "run as root: sudo hubble-server check")


def capabilities(settings: Settings) -> Finding:
    """Ask which privileges root has here: a container may have taken some away."""
    del settings
    name, held = "capabilities", _effective()
    if not in_initial_user_namespace():
        return blocker(name, "those of a user namespace: none for BPF", USER_NAMESPACE_REMEDY)
    missing = [f"CAP_{each}" for each, bit in CAPABILITIES.items() if not held >> bit & 1]
    if not missing:
        return fine(name, ", ".join(f"CAP_{each}" for each in CAPABILITIES))
    remedy = "run as root; in a container, add them (or privileged: true) to its security context"
    return blocker(name, f"missing: {', '.join(missing)}", remedy)


def locked_memory(settings: Settings) -> Finding:
    """Ask whether the perf rings may be as large as they are to be."""
    name, cpus = "locked memory", len(online_cpus())
    wanted = cpus * (settings.ring_bytes or ring_bytes(cpus))
    shown = f"{cpus} rings of {wanted // cpus // 1024} KiB"
    if _effective() >> _IPC_LOCK & 1 or _number("perf_event_paranoid") < 0:
        return fine(name, f"{shown}, no limit for us")
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    allowed = limit + cpus * _number("perf_event_mlock_kb") * 1024
    if limit == resource.RLIM_INFINITY or wanted <= allowed:
        return fine(name, f"{shown}, within the limit")
    remedy = "LimitMEMLOCK=infinity in the unit, ulimit -l unlimited, CAP_IPC_LOCK, or --ring-bytes"
    return blocker(name, f"{shown}, but {allowed // 1024} KiB may be locked", remedy)


def _effective() -> int:
    """Read the effective capabilities, one bit each."""
    lines = _STATUS.read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("CapEff:")), 16)


def _number(name: str) -> int:
    return int((_PERF / name).read_text())
