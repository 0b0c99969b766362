"""Wait until a fresh lab can be used, without sending a single packet into it.

A pod is ready when its IPv6 addresses have passed duplicate address detection and its containers
listen on their ports. Both can be read from /proc/net of its namespace, so that a lab that is
merely starting shows no flows.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import NetworkError, ProcessError
from lab.namespaces import inside

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.topology import Pod

NET = Path("/proc/thread-self/net")
TIMEOUT_S = 30.0
PAUSE_S = 0.05

TCP_LISTEN = "0A"
UDP_UNCONNECTED = "07"
IFA_F_TENTATIVE = 0x40  # <linux/if_addr.h>
IFA_F_DADFAILED = 0x08


def wait_ready(pod: Pod, check_processes: Callable[[], None]) -> None:
    """Return when a pod is ready.

    Args:
        pod: the pod to watch.
        check_processes: called between looks; raises if a process that is waited for has ended.

    Raises:
        ProcessError: a port is still closed after TIMEOUT_S seconds.
        NetworkError: an address is not usable by then, or another station has it.
    """
    deadline = time.monotonic() + TIMEOUT_S
    while missing := _missing(pod):
        check_processes()
        if time.monotonic() > deadline:
            raise missing
        time.sleep(PAUSE_S)


def _missing(pod: Pod) -> NetworkError | ProcessError | None:
    with inside(pod.netns):
        addresses, ports = tentative_addresses(), open_ports()
    if addresses:
        return NetworkError(f"pod {pod.key}: address not confirmed: {', '.join(addresses)}")
    wanted = {port for container in pod.containers if container.command for port in container.ports}
    if closed := wanted - ports:
        return ProcessError(f"pod {pod.key}: nobody listens on {'/'.join(map(str, min(closed)))}")
    return None


def tentative_addresses() -> list[str]:
    """Give the IPv6 addresses of the current namespace that are not usable yet, 32 hex digits."""
    rows = [line.split() for line in _lines("if_inet6")]
    blocked = IFA_F_TENTATIVE | IFA_F_DADFAILED
    return [row[0] for row in rows if int(row[4], 16) & blocked]


def open_ports() -> set[tuple[str, int]]:
    """Give the ports on which the current namespace listens by TCP or receives by UDP."""
    ports: set[tuple[str, int]] = set()
    for table, state in (("tcp", TCP_LISTEN), ("udp", UDP_UNCONNECTED)):
        for line in (*_lines(table)[1:], *_lines(f"{table}6")[1:]):
            _, local, _, row_state, *_ = line.split()
            if row_state == state:
                ports.add((table.upper(), int(local.rpartition(":")[2], 16)))
    return ports


def _lines(table: str) -> list[str]:
    path = NET / table
    # A kernel without IPv6 lacks its tables.
    return path.read_text().splitlines() if path.exists() else []
