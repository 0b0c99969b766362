"""A live `hubble-server` with real perf rings and no traffic: what it sees, the bench emits.

It runs in a network namespace of its own making, in which there is nothing, knows the synthetic
cluster from a state folder, and has loaded its programs under a node name of this run. Namespace
and pins are removed afterwards.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pyroute2 import netns

from bench.cluster import objects_of
from bench.errors import NotMeasurableError, WrongAnswerError
from bench.ingest_node import SEED
from bench.leftovers import NODE, remove_leftovers, unpin
from bench.node import Node, serving
from bench.workload import SyntheticNode
from observer.kernel import pins


@contextmanager
def live(folder: Path, *, server: Sequence[str | Path] = ()) -> Iterator[tuple[Node, Path]]:
    """Run it: the server, and where its perf map is pinned; see `serving` for `server`.

    Raises:
        NotMeasurableError: not root.
        WrongAnswerError: the server ended, or is not ready in time.
    """
    with (
        lone_node(folder) as (name, arguments),
        serving(arguments, folder=folder, node_name=name, server=server) as node,
    ):
        yield node, pinned_map(name, "events")


@contextmanager
def lone_node(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Make the namespace and the cluster: the node's name, and a server's arguments for it.

    Raises:
        NotMeasurableError: not root.
    """
    if os.geteuid() != 0:
        raise NotMeasurableError("needs root: its events pass through real perf rings")
    remove_leftovers()
    name = f"{NODE}{os.getpid()}"
    state = folder / "state"
    state.mkdir()
    objects = {"apiVersion": "v1", "kind": "List", "items": list(objects_of(SyntheticNode(SEED)))}
    (state / "cluster.json").write_text(json.dumps(objects), encoding="utf-8")
    netns.create(name)
    try:
        yield name, ["--state", str(state), "--netns", name]
    finally:
        netns.remove(name)
        unpin(name)


def pinned_count(name: str) -> int:
    """Count what is pinned of a node: maps, programs, links."""
    return sum(path.is_file() for path in (pins.DEFAULT_BPFFS / "leavitt" / name).rglob("*"))


def pinned_map(name: str, map_name: str) -> Path:
    """Find the pin of a node's map: the folder between is named after the maps' layout.

    Raises:
        WrongAnswerError: there is none, or one of another layout too.
    """
    found = list((pins.DEFAULT_BPFFS / "leavitt" / name).glob(f"*/maps/{map_name}"))
    if len(found) != 1:
        raise WrongAnswerError(f"find map {map_name} of {name}: {len(found)} pins, expected 1")
    return found[0]
