"""Network namespaces for tests: made, spoken to, and removed again, also after a failure."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from observer.kernel.netns import inside
from observer.kernel.pins import DEFAULT_BPFFS


def ip(*words: str, netns: str | None = None) -> None:
    where = ["-n", netns] if netns else []
    result = subprocess.run(["ip", *where, *words], capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"ip {' '.join([*where, *words])}: {result.stderr.strip()}")


def netns_path(name: str) -> Path:
    return Path("/run/netns") / name


@contextmanager
def namespace(name: str) -> Iterator[str]:
    ip("netns", "add", name)
    try:
        ip("link", "set", "lo", "up", netns=name)
        yield name
    finally:
        ip("netns", "del", name)


def remove_leftovers() -> None:
    """Namespaces and pins of runs that were killed: their process is no more.

    `lkt` is ours alone: labs (`lv`) remove what begins with their own name.
    """
    folders = (netns_path(""), DEFAULT_BPFFS / "leavitt")
    for path in [path for folder in folders for path in folder.glob("lkt*")]:
        owner = re.match(r"lkt(\d+)", path.name)
        if owner is None or Path("/proc", owner[1]).exists():
            continue
        if path.parent == netns_path(""):
            subprocess.run(["ip", "netns", "del", path.name], check=False, capture_output=True)
        else:
            shutil.rmtree(path, ignore_errors=True)


def set_sysctl(netns: str, name: str, value: str) -> None:
    with inside(netns_path(netns)):
        # thread-self: the network sysctls of the namespace this thread is in
        Path("/proc/thread-self/root/proc/sys", name).write_text(value)


def packet_socket(netns: str, device: str) -> socket.socket:
    with inside(netns_path(netns)):
        found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        found.bind((device, 3))
    return found


def mac_of(netns: str, device: str) -> bytes:
    with packet_socket(netns, device) as found:
        return bytes(found.getsockname()[4])
