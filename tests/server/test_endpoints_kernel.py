"""From YAML objects to packets that pass or do not: the manager with the real datapath."""

import asyncio
import errno
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest
import yaml

from observer.addresses import AddressBook
from observer.kernel.datapath import Datapath
from observer.table.interns import Interns
from server.cluster.objects import Change, ChangeKind
from server.cluster.read import read_object
from server.cluster.state import ClusterState
from server.endpoints import EndpointManager
from server.interfaces import NodeInterfaces
from tests.server.wires import WiredNode, ip, wired_node

pytestmark = pytest.mark.kernel

PODS = {
    "deathstar": ("10.244.1.2", {"org": "empire", "class": "deathstar"}),
    "tiefighter": ("10.244.1.3", {"org": "empire", "class": "tiefighter"}),
    "xwing": ("10.244.1.4", {"org": "alliance", "class": "xwing"}),
}
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: landing}
spec:
  podSelector: {matchLabels: {class: deathstar}}
  ingress: [{from: [{podSelector: {matchLabels: {org: empire}}}], ports: [{port: 80}]}]
"""


def pod(name: str) -> str:
    address, labels = PODS[name]
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"nodeName": "lab-1"},
        "status": {"podIP": address},
    }
    return yaml.safe_dump(document)


@pytest.fixture
def node() -> Iterator[WiredNode]:
    with wired_node("ep") as node:
        for name, (address, _) in PODS.items():
            node.add_pod(name, address)
        yield node


@pytest.fixture
def datapath(node: WiredNode) -> Iterator[Datapath]:
    loaded = Datapath.load(node=node.name, netns=node.path)
    yield loaded
    loaded.remove()


class Reconciled:
    """A manager and the state it follows."""

    def __init__(self, datapath: Datapath, interfaces: NodeInterfaces) -> None:
        self.state = ClusterState()
        self.interfaces = interfaces
        self.manager = EndpointManager(
            node_name="lab-1",
            cluster_name="default",
            state=self.state,
            book=AddressBook(Interns(), cluster_name="default"),
            datapath=datapath,
            interfaces=interfaces,
        )

    async def apply(self, *texts: str, kind: ChangeKind = ChangeKind.ADDED) -> tuple[str, ...]:
        for text in texts:
            document = yaml.safe_load(text)
            found = read_object(document, source="test")
            assert found is not None
            self.state.apply(Change(kind=kind, object=found, document=document))
        await self.manager.reconcile()
        return self.manager.problems.present


@pytest.fixture
async def reconciled(node: WiredNode, datapath: Datapath) -> AsyncIterator[Reconciled]:
    interfaces = NodeInterfaces(node.path)
    yield Reconciled(datapath, interfaces)
    interfaces.close()


def lands(node: WiredNode, name: str, port: int = 80) -> bool:
    """Whether a TCP connection from the pod to the deathstar comes about within a second."""
    with node.socket("deathstar") as listener, node.socket(name) as client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("10.244.1.2", port))
        listener.listen()
        client.settimeout(1.0)
        found = client.connect_ex(("10.244.1.2", port))
        assert found in (0, errno.EAGAIN, errno.ETIMEDOUT)
        return found == 0


async def test_the_empire_lands_and_the_alliance_does_not(
    node: WiredNode, datapath: Datapath, reconciled: Reconciled
) -> None:
    assert not await reconciled.apply(*(pod(name) for name in PODS))
    assert len(datapath.attached()) == 3
    assert lands(node, "tiefighter")
    assert lands(node, "xwing")
    assert not await reconciled.apply(POLICY)
    assert lands(node, "tiefighter")
    before = datapath.counters()["drop_policy_denied"]
    assert not lands(node, "xwing")
    assert datapath.counters()["drop_policy_denied"] > before
    assert not await reconciled.apply(POLICY, kind=ChangeKind.DELETED)
    assert lands(node, "xwing")


async def test_a_pod_whose_interface_vanishes_is_let_go(
    node: WiredNode, datapath: Datapath, reconciled: Reconciled
) -> None:
    assert not await reconciled.apply(*(pod(name) for name in PODS))
    node.remove_pod("xwing")
    assert await reconciled.apply() == (
        (
            "Pod default/xwing: not connected: its interface lxc-xwing is gone; "
            "no route to 10.244.1.4 alone"
        ),
    )
    assert len(datapath.attached()) == len(datapath.endpoint_ids) == 2
    node.add_pod("xwing", "10.244.1.4")
    assert not await reconciled.apply()
    assert len(datapath.attached()) == 3
    assert lands(node, "xwing")


@contextmanager
def talking(
    node: WiredNode, client: str, server: str, address: str
) -> Iterator[Callable[[], None]]:
    """Have a connection between two pods; what is given sends a message there and back."""
    with node.socket(server) as listener, node.socket(client) as asking:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, 81))
        listener.listen()
        asking.settimeout(20.0)
        asking.connect((address, 81))
        answering, _ = listener.accept()
        with answering:
            answering.settimeout(20.0)

            def exchange() -> None:
                asking.sendall(b"ping")
                answering.sendall(answering.recv(4))
                assert asking.recv(4) == b"ping"

            yield exchange


async def test_who_comes_later_with_the_same_address_takes_nothing(
    node: WiredNode, datapath: Datapath, reconciled: Reconciled
) -> None:
    claim = yaml.safe_load(pod("tiefighter"))
    claim["metadata"] |= {"name": "dup", "labels": {"org": "alliance"}}
    dup = yaml.safe_dump(claim)
    problem = "Pod default/dup: its address is already that of Pod default/tiefighter: 10.244.1.3"
    assert not await reconciled.apply(*(pod(name) for name in PODS), POLICY.replace("80", "81"))
    before = datapath.counters()["drop_invalid_source_ip"]
    with talking(node, "tiefighter", "deathstar", "10.244.1.2") as exchange:
        exchange()
        assert await reconciled.apply(dup) == (problem,)
        exchange()
        # another process, which has never seen who was first
        anew = Reconciled(datapath, reconciled.interfaces)
        assert await anew.apply(dup, *(pod(name) for name in PODS), POLICY.replace("80", "81")) == (
            problem,
        )
        exchange()
        assert not await anew.apply(dup, kind=ChangeKind.DELETED)
        exchange()
    assert lands(node, "tiefighter", 81)
    assert datapath.counters()["drop_invalid_source_ip"] == before


def replace(node: WiredNode, name: str, *, index: int, mac: bytes) -> None:
    """Delete a pod's interface and make one just like it, so fast that nobody looks in between."""
    netns, peer_mac = node.pods[name], node.mac(name).hex(":")
    device, address = f"lxc-{name}", PODS[name][0]
    anew = f"link add {device} index {index} address {mac.hex(':')} up type veth peer name eth0"
    batch = f"link del {device}\n{anew} address {peer_mac} netns {netns}\n"
    batch += f"route add {address}/32 dev {device}\n"
    subprocess.run(["ip", "-n", node.name, "-batch", "-"], input=batch, text=True, check=True)
    ip("addr", "add", f"{address}/32", "dev", "eth0", netns=netns)
    ip("link", "set", "eth0", "up", netns=netns)
    ip("route", "add", "default", "via", "169.254.1.1", "dev", "eth0", "onlink", netns=netns)


async def test_an_interface_made_anew_with_the_same_index_and_mac_is_attached_again(
    node: WiredNode, datapath: Datapath, reconciled: Reconciled
) -> None:
    assert not await reconciled.apply(*(pod(name) for name in PODS))
    before = await reconciled.interfaces.read()
    reconciled.interfaces._drain()
    links = {link.name: link for link in before.links.values()}
    old = links["lxc-xwing"]
    replace(node, "xwing", index=old.index, mac=old.mac)
    assert old.index not in datapath.attached()
    await asyncio.wait_for(reconciled.interfaces.changed(), 20)
    after = (await reconciled.interfaces.read()).links[old.index]
    assert (after.mac, after.name, after.peer_mac) == (old.mac, old.name, old.peer_mac)
    assert not await reconciled.apply()
    assert old.index in datapath.attached()
    assert lands(node, "xwing")
