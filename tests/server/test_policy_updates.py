"""Policies and labels change a hundred times under traffic: what no state allows never passes, and
what every state allows is never lost. The real datapath, asked from a second thread all the while.
"""

import itertools
import struct
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address
from typing import Any

import pytest
import yaml

from observer.addresses import AddressBook
from observer.kernel import syscall
from observer.kernel.datapath import Datapath
from observer.kernel.netns import inside
from observer.table.interns import Interns
from server.cluster.objects import Change, ChangeKind
from server.cluster.read import read_object
from server.cluster.state import ClusterState
from server.endpoints import EndpointManager
from server.interfaces import NodeInterfaces
from tests.kernel.frames import UDP, Frame
from tests.server.wires import WiredNode, wired_node

pytestmark = pytest.mark.kernel

UPDATES = 100
DROPPED = 2
ADDRESSES = {"deathstar": "10.244.1.2", "tiefighter": "10.244.1.3", "xwing": "10.244.1.4"}
LABELS = {
    "deathstar": {"org": "empire", "class": "deathstar"},
    "tiefighter": {"org": "empire", "class": "tiefighter"},
    "xwing": {"org": "alliance", "class": "xwing"},
}
EMPIRE = {"matchLabels": {"org": "empire"}}
DNS = {"port": "53", "protocol": "UDP"}
NEAR, FAR = {"cidr": "10.9.0.0/16"}, {"cidr": "10.66.0.0/16"}
STATES: list[dict[str, Any]] = [
    {
        "ingress": [{"fromEndpoints": [EMPIRE]}, {"fromCIDR": ["10.9.0.0/16"]}],
    },
    {
        "ingress": [
            {"fromEndpoints": [EMPIRE], "toPorts": [{"ports": [DNS]}]},
            {"fromCIDRSet": [{"cidr": "10.0.0.0/8", "except": ["10.66.0.0/16"]}]},
        ],
    },
    {
        "ingress": [{"fromEntities": ["all"], "toPorts": [{"ports": [DNS]}]}],
        "ingressDeny": [
            {"fromEndpoints": [{"matchLabels": {"org": "alliance"}}]},
            {"fromCIDR": ["10.66.6.0/24"]},
        ],
    },
    {
        "ingress": [{"fromEntities": ["world", "cluster"]}],
        "ingressDeny": [
            {"fromEndpoints": [{"matchLabels": {"class": "xwing"}}],
             "toPorts": [{"ports": [{"port": "1", "endPort": 1000, "protocol": "UDP"}]}]},
            {"fromCIDRSet": [FAR]},
        ],
    },
    {
        "ingress": [
            {"fromEndpoints": [EMPIRE],
             "toPorts": [{"ports": [{"port": "32", "endPort": 63, "protocol": "UDP"}]}]},
            {"fromCIDR": ["10.9.9.9/32"]},
        ],
    },
]  # fmt: skip


def policy(state: int) -> dict[str, Any]:
    return {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "landing"},
        "spec": {
            "endpointSelector": {"matchLabels": {"class": "deathstar"}},
            **STATES[state % len(STATES)],
        },
    }


def pod(name: str, **more: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {**LABELS[name], **more}},
        "spec": {"nodeName": "lab-1"},
        "status": {"podIP": ADDRESSES[name]},
    }


@pytest.fixture
def node() -> Iterator[WiredNode]:
    with wired_node("pu") as node:
        for name, address in ADDRESSES.items():
            node.add_pod(name, address)
        yield node


class Cluster:
    """A manager, and the objects it follows."""

    def __init__(self, datapath: Datapath, interfaces: NodeInterfaces) -> None:
        self.datapath = datapath
        self.state = ClusterState()
        self.manager = EndpointManager(
            node_name="lab-1",
            cluster_name="default",
            state=self.state,
            book=AddressBook(Interns(), cluster_name="default"),
            datapath=datapath,
            interfaces=interfaces,
        )

    async def apply(self, *documents: dict[str, Any]) -> None:
        for document in documents:
            found = read_object(yaml.safe_load(yaml.safe_dump(document)), source="test")
            assert found is not None
            self.state.apply(Change(kind=ChangeKind.ADDED, object=found, document=document))
        await self.manager.reconcile()
        assert self.manager.problems.present == ()


@pytest.fixture
async def cluster(node: WiredNode) -> AsyncIterator[Cluster]:
    datapath = Datapath.load(node=node.name, netns=node.path)
    interfaces = NodeInterfaces(node.path)
    yield Cluster(datapath, interfaces)
    interfaces.close()
    datapath.remove()


class Hammer:
    """Lets the programs judge packets for the deathstar's port 53 until told to stop."""

    def __init__(self, node: WiredNode, cluster: Cluster) -> None:
        self._node, self._datapath = node, cluster.datapath
        self._ifindex = {
            name: cluster.manager._picture.routes[ip_address(address)]
            for name, address in ADDRESSES.items()
        }
        self._ports = itertools.cycle(range(10_000, 60_000))
        self.passed: Counter[tuple[str, bool]] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Hammer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with inside(self._node.path):
            while not self._stop.is_set():
                for name in ("tiefighter", "xwing"):
                    self._send("from_endpoint", self._ifindex[name], ADDRESSES[name], name)
                for source in ("10.9.9.9", "10.66.6.6"):
                    self._send("to_endpoint", self._ifindex["deathstar"], source, source)

    def _send(self, program: str, ifindex: int, source: str, name: str) -> None:
        frame = Frame(
            source=ip_address(source),
            destination=ip_address(ADDRESSES["deathstar"]),
            protocol=UDP,
            # mostly new connections; the same ones now and then, which are judged again
            source_port=next(self._ports) if self.passed.total() % 3 else 999,
            destination_port=53,
        )
        context = bytearray(192)
        struct.pack_into("=I", context, 40, ifindex)
        result = syscall.run_program(
            self._datapath._programs[program],
            frame.encode(),
            context=bytes(context),
            repeat=1,
            room_bytes=2048,
        )
        self.passed[name, result.verdict != DROPPED] += 1


async def test_nothing_slips_through_and_nothing_is_lost(node: WiredNode, cluster: Cluster) -> None:
    await cluster.apply(*map(pod, ADDRESSES), policy(0))
    with Hammer(node, cluster) as hammer:
        for number in range(1, UPDATES + 1):
            changed = [policy(number)]
            if number % 3 == 0:  # another identity, which every state allows as well
                changed.append(pod("tiefighter", version=f"v{number}"))
            if number % 7 == 0:
                changed.append(pod("deathstar", version=f"v{number}"))
            await cluster.apply(*changed)
    assert set(hammer.passed) == {
        ("tiefighter", True),
        ("xwing", False),
        ("10.9.9.9", True),
        ("10.66.6.6", False),
    }
    assert min(hammer.passed.values()) > UPDATES
