"""Any bytes as the lab's scenario: a topology, or an error about the file.

Input: the file. What comes out must fit the kernel: interface names, namespaces that differ.
"""

from collections.abc import Iterator
from pathlib import Path

from lab.errors import LabError
from lab.objects import read_objects
from lab.topology import INTERFACE_NAME_BYTES, build_topology
from tests.fuzz.files import file_of
from tests.fuzz.targets.objects import BOMB, LONGEST_ERROR

MOST_BYTES = 12_000
SCENARIO = Path(__file__).parents[3] / "lab" / "scenarios" / "empire.yaml"
SMALL = """
{apiVersion: v1, kind: Node, metadata: {name: n},
 status: {addresses: [{type: InternalIP, address: 10.0.0.1}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {nodeName: n, containers:
 [{name: c, command: [sleep, inf], ports: [{containerPort: 80}]}]},
 status: {podIPs: [{ip: 10.1.0.1}, {ip: "fd00::1"}]}}
"""


def check(data: bytes) -> None:
    with file_of(data[:MOST_BYTES]) as path:
        try:
            topology = build_topology(read_objects(path), "run")
        except LabError as error:
            # refusing is one of two good ends
            assert len(str(error)) < LONGEST_ERROR  # noqa: PT017
            return
    names = topology.netns_names
    assert len(set(names)) == len(names)
    for node in topology.nodes:
        pods = topology.pods_of(node)
        assert len({pod.interface for pod in pods}) == len(pods)
        assert all(0 < len(pod.interface.encode()) <= INTERFACE_NAME_BYTES for pod in pods)
        assert all("/" not in pod.interface for pod in pods)
    assert not any("/" in name or "\0" in name or len(name) > 200 for name in names)


def seeds() -> Iterator[tuple[str, bytes]]:
    yield "empire", SCENARIO.read_bytes()
    yield "small", SMALL.encode()
    yield "aliases", f"kind: Node\n{BOMB}metadata: {{name: *i}}\n".encode()
    yield "large number", b"kind: 0x" + b"f" * 4000
    yield "nested", b"[" * 4000
