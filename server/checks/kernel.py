"""Can this kernel do what the programs need? Features are tried, not guessed from a version."""

import errno
import os
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from observer.kernel import features
from observer.kernel.permission import in_initial_user_namespace
from observer.kernel.rings import online_cpus
from server.checks.finding import Finding, State, blocker, fine, warning
from server.settings import Settings

_OLDEST: Final = (5, 15)
_MACHINES: Final = ("x86_64", "aarch64")
_JIT: Final = Path("/proc/sys/net/core/bpf_jit_enable")
_AS_MACHINE: Final = "see root and capabilities above"
_UPGRADE: Final = "Linux 5.15 or newer"


def version(settings: Settings) -> Finding:
    """Ask which kernel and machine this is."""
    del settings
    name, found = "kernel", f"Linux {platform.release()} on {platform.machine()}"
    if platform.machine() not in _MACHINES:
        return blocker(name, found, f"a machine of {' or '.join(_MACHINES)}")
    numbers = re.match(r"(\d+)\.(\d+)", platform.release())
    if numbers is None or (int(numbers[1]), int(numbers[2])) < _OLDEST:
        return warning(name, f"{found}: older than what is supported", _UPGRADE)
    return fine(name, found)


def bpf(settings: Settings) -> Finding:
    """Ask for a map."""
    del settings
    remedy = "CONFIG_BPF_SYSCALL; no seccomp profile or kernel lockdown in the way; root"
    return _tried("bpf", features.try_bpf, "maps can be made", remedy)


def lpm_batches(settings: Settings) -> Finding:
    """Ask for prefixes and rules in batches."""
    del settings
    return _tried("lpm tries", features.try_lpm_batches, "written and read in batches", _UPGRADE)


def spin_lock(settings: Settings) -> Finding:
    """Ask for locks in map values."""
    del settings
    return _tried("spin locks", features.try_spin_lock, "in map values, with BTF", _UPGRADE)


def redirect_peer(settings: Settings) -> Finding:
    """Ask for the hand-over from pod to pod."""
    del settings
    return _tried("redirect_peer", features.try_redirect_peer, "available", _UPGRADE)


def tcx(settings: Settings) -> Finding:
    """Ask for links on interfaces; only `--attach tcx` cannot do without."""
    name = "tcx"
    if settings.attach == "clsact":
        return fine(name, "not asked for: --attach clsact")
    remedy = "Linux 6.6 or newer, or --attach auto: clsact does the same with filters"
    found = _tried(name, features.try_tcx, "links can be made", remedy)
    if found.state is State.BLOCKER and settings.attach == "auto":
        return fine(name, f"{found.found}; clsact is used")
    return found


def perf_rings(settings: Settings) -> Finding:
    """Ask for a ring with kernel time stamps."""
    del settings
    name = "perf rings"
    if features.try_perf_ring(online_cpus()[0]):
        return fine(name, "with kernel time and counts of what is lost")
    remedy = "Linux 6.0 or newer: until then a loss is seen only with the next sample"
    return warning(name, "losses are not counted at once", remedy)


def jit(settings: Settings) -> Finding:
    """Ask whether programs are compiled to machine code."""
    del settings
    name = "bpf jit"
    try:
        is_on = _JIT.read_text().strip() != "0"
    except (FileNotFoundError, PermissionError):
        return fine(name, "the kernel does not say")
    if is_on:
        return fine(name, "on")
    return warning(
        name, "off: programs are interpreted, slowly", "sysctl -w net.core.bpf_jit_enable=1"
    )


def _tried(name: str, attempt: Callable[[], None], found: str, remedy: str) -> Finding:
    try:
        attempt()
    except OSError as error:
        refused = error.errno in (errno.EPERM, errno.EACCES)
        if refused and os.geteuid() != 0:
            return warning(name, "not tried: needs root", "run as root: sudo hubble-server check")
        if refused and not in_initial_user_namespace():
            return warning(name, "not tried: not permitted in this user namespace", _AS_MACHINE)
        return blocker(name, f"refused: {error.strerror}", remedy)
    return fine(name, found)
