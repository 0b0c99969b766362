"""May this process use BPF at all? Asked before anything is made, compiled or mounted.

Root of a user namespace has every capability there, and none that BPF asks for: those count in the
initial user namespace only. The kernel answers both with EPERM; here is what it means. In: nothing
but this process. Out: nothing, or a KernelError with the remedy.
"""

import errno
import os
from pathlib import Path
from typing import Final

from observer.kernel import features
from observer.kernel.errors import KernelError

NEEDED: Final = "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"
USER_NAMESPACE_REMEDY: Final = (
    f"{NEEDED} must be held in the initial user namespace: start it as the machine's root, not by "
    "unshare --user or rootless containers; in Kubernetes with hostUsers: true"
)
_NAMESPACE: Final = Path("/proc/self/ns/user")
_INITIAL: Final = "user:[4026531837]"
"""PROC_USER_INIT_INO of linux/proc_ns.h: a fixed number."""


def in_initial_user_namespace() -> bool:
    """Tell whether our capabilities are those of the machine."""
    return str(_NAMESPACE.readlink()) == _INITIAL


def refuse_without_bpf() -> None:
    """Return if this process may make a map; KernelError naming what is missing, and the remedy."""
    if os.geteuid() != 0:
        raise KernelError(f"load programs: needs root ({NEEDED})")
    try:
        features.try_bpf()
    except OSError as error:
        raise KernelError(f"load programs: bpf: {error.strerror}: {_remedy(error)}") from error


def _remedy(error: OSError) -> str:
    if error.errno not in (errno.EPERM, errno.EACCES):
        return "needs a kernel with CONFIG_BPF_SYSCALL"
    if not in_initial_user_namespace():
        return USER_NAMESPACE_REMEDY
    return (
        f"needs {NEEDED}, and no seccomp profile or kernel lockdown in the way; in a container, "
        "add them (or privileged: true) to its security context"
    )
