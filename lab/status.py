"""What `hubble-lab status` prints: a run, its nodes and pods, and what runs in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.objects import read_objects
from lab.processes import members, recorded
from lab.programs import typed
from lab.topology import build_topology

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lab.fields import Address
    from lab.runs import Run

HEADINGS = ("", "NODE", "NAME", "INTERFACE", "ADDRESSES", "RUNNING")


def report(run: Run) -> str:
    """Describe a run as text, without a final line break."""
    if not run.is_up:
        down = f"{typed('hubble-lab')} down --run {run.name}"
        return f"run {run.name}: not complete; remove its rest: {down}"
    try:
        topology = build_topology(read_objects(run.built), run.name)
    except LabError as error:
        return f"run {run.name}: its objects cannot be read: {error}"
    rows = [
        ("node", node.name, node.name, "uplink", _joined(node.addresses), _running(run, node.netns))
        for node in topology.nodes
    ]
    rows += [
        ("pod", pod.node, pod.key, pod.interface, _joined(pod.addresses), _running(run, pod.netns))
        for pod in topology.pods
    ]
    return f"run {run.name}, objects in {run.state}\n{table([HEADINGS, *rows])}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Align rows of equal length to columns, two spaces apart."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    padded = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in padded)


def _joined(addresses: Iterable[Address]) -> str:
    return ",".join(str(address) for address in addresses)


def _running(run: Run, netns: str) -> str:
    try:
        found = members([netns])
    except FileNotFoundError:
        return "namespace is gone"
    # A container is known by its name in the pod, anything else by its own.
    containers = {one.pid: one.name.removeprefix(f"{netns}-") for one in recorded(run.processes)}
    return ",".join(f"{containers.get(one.pid, one.name)}[{one.pid}]" for one in found) or "-"
