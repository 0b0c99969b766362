"""Who else is here? A Cilium, a server that runs, and what an earlier one left."""

import os
import socket
from pathlib import Path
from typing import Final

from observer.kernel.errors import KernelError
from observer.kernel.hold import hold, node_folder
from observer.kernel.netns import inside
from server.checks.finding import Finding, blocker, fine, warning
from server.observed import observes, pin_name
from server.settings import Settings

_PROCESSES: Final = Path("/proc")
_CILIUM_SOCKET: Final = Path("/var/run/cilium/cilium.sock")


def cilium(settings: Settings) -> Finding:
    """Look for Cilium's agent, socket, pins and interfaces."""
    name = "cilium"
    with inside(settings.netns):
        devices = [device for _, device in socket.if_nameindex() if device.startswith("cilium_")]
    running = _agents() or ([str(_CILIUM_SOCKET)] if _CILIUM_SOCKET.exists() else [])
    if running and observes(settings):
        return fine(name, f"runs: {', '.join(running)}: it is only observed")
    if running:
        remedy = "stop Cilium on this node first: both would forward the same packets"
        return blocker(name, f"runs: {', '.join(running)}", remedy)
    pinned = [*settings.bpffs.glob("tc/globals/cilium_*"), *settings.bpffs.glob("cilium")]
    left = [*devices, *map(str, pinned)]
    if not left:
        return fine(name, "not here")
    shown = ", ".join(left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
    return warning(
        name, f"not running, but left: {shown}", "cilium-dbg cleanup, or restart the node"
    )


def earlier_server(settings: Settings) -> Finding:
    """Look for pins of this node, and for who holds them."""
    name = "earlier server"
    node = pin_name(settings)
    root = node_folder(node=node, bpffs=settings.bpffs)
    folders = sorted(root.glob("v*"))
    if not folders:
        return fine(name, f"nothing left of node {node}")
    try:
        os.close(hold(root, node=node))
    except KernelError as error:
        return blocker(name, str(error), "stop it, or choose another --node-name")
    count = len({pin.name.partition("-")[0] for pin in root.glob("*/links/*")})
    names = ", ".join(folder.name for folder in folders)
    return fine(name, f"{root}: {names}: programs on {count} interfaces will be taken over")


def _agents() -> list[str]:
    found = []
    for comm in _PROCESSES.glob("[0-9]*/comm"):
        try:
            if comm.read_text().strip() == "cilium-agent":
                found.append(f"process {comm.parent.name}")
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
