"""One node for tests of reconciling: a hand-written datapath and interfaces, and their pods.

`World` puts the real manager, state and book between them; texts of objects go in by `apply`.
The galaxy is the tutorial's: two pods of this node, one of another, a service.
"""

import asyncio
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import numpy as np
import yaml

from observer.addresses import AddressBook
from observer.entities import Endpoint, Service, address_bytes
from observer.kernel.datapath import EndpointEntry
from observer.kernel.errors import KernelError
from observer.table.interns import Interns
from policy.entries import Direction, PolicyEntry
from policy.lookup import judge
from server.cluster.objects import Change, ChangeKind
from server.cluster.read import read_object
from server.cluster.state import ClusterState
from server.endpoints import EndpointManager
from server.interfaces import Interfaces, Link

Network = IPv4Network | IPv6Network
POD_MAC = bytes.fromhex("020000000001")
HOST_MAC = bytes.fromhex("020000000002")


class FakeMaps:
    """A datapath that remembers, refuses on request, and judges one probe after each write."""

    def __init__(self) -> None:
        self.endpoints: dict[int, EndpointEntry] = {}
        self.policies: dict[int, tuple[PolicyEntry, ...]] = {}
        self.identities: dict[Network, int] = {}
        self.links: set[int] = set()
        self.refuse: set[str] = set()
        self.calls: list[str] = []
        self.probe: tuple[int, int] | None = None
        """Endpoint and peer's identity: TCP to port 80, ingress."""
        self.verdicts: list[bool] = []

    @property
    def endpoint_ids(self) -> frozenset[int]:
        return frozenset(self.endpoints)

    def endpoint_addresses(self) -> dict[bytes, int]:
        return {
            address_bytes(address): i
            for i, entry in self.endpoints.items()
            for address in (entry.ipv4, entry.ipv6)
            if address is not None
        }

    def endpoint_interfaces(self) -> dict[int, int]:
        return {entry.ifindex: i for i, entry in self.endpoints.items()}

    def upsert_endpoint(self, entry: EndpointEntry) -> None:
        self._call("upsert_endpoint")
        self.endpoints[entry.endpoint_id] = entry
        self._judge()

    def remove_endpoint(self, endpoint_id: int) -> None:
        self._call("remove_endpoint")
        gone = self.endpoints.pop(endpoint_id)
        devices = {entry.ifindex for entry in self.endpoints.values()}
        if "detach" not in self.refuse:
            assert gone.ifindex not in self.links - devices, "detached before it is forgotten"
        self.policies.pop(endpoint_id, None)

    def upsert_identities(self, identities: Mapping[Network, int]) -> None:
        self._call("upsert_identities")
        self.identities |= identities

    def networks(self) -> dict[Network, int]:
        return dict(self.identities)

    def remove_identity(self, network: Network) -> None:
        self._call("remove_identity")
        del self.identities[network]

    def replace_policy(self, endpoint_id: int, entries: Sequence[PolicyEntry]) -> None:
        self._call("replace_policy")
        self.policies[endpoint_id] = tuple(entries)
        self._judge()

    def attach(self, ifindex: int) -> None:
        self._call("attach")
        assert ifindex in {entry.ifindex for entry in self.endpoints.values()}
        self.links.add(ifindex)

    def detach(self, ifindex: int) -> None:
        self._call("detach")
        self.links.discard(ifindex)

    def attached(self) -> frozenset[int]:
        return frozenset(self.links)

    def allows(self, endpoint_id: int, identity: int, *, direction: Direction) -> bool:
        """What the kernel would say to TCP on port 80."""
        entry = self.endpoints[endpoint_id]
        ingress = direction is Direction.INGRESS
        if not (entry.enforce_ingress if ingress else entry.enforce_egress):
            return True
        entries = self.policies.get(endpoint_id, ())
        return judge(entries, direction=direction, identity=identity, protocol=6, port=80).allowed

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.refuse:
            raise KernelError(f"{name}: refused")

    def _judge(self) -> None:
        if self.probe is not None and self.probe[0] in self.endpoints:
            self.verdicts.append(self.allows(*self.probe, direction=Direction.INGRESS))


class FakeInterfaces:
    """Interfaces that a test sets."""

    def __init__(self) -> None:
        self.now = Interfaces(links={}, routes={}, neighbours={}, addresses=frozenset())
        self.failure: OSError | None = None
        self.notice = asyncio.Event()
        self._indexes: dict[str, int] = {}
        self._last_index = 9

    async def read(self) -> Interfaces:
        if self.failure is not None:
            raise self.failure
        return self.now

    async def changed(self) -> None:
        await self.notice.wait()
        self.notice.clear()

    def show(self, **pods: str) -> None:
        """Let there be an interface for each pod, `name=address`; a new one has the next index.

        Indexes begin at 10; an interface that is not shown is gone, and its index with it.
        """
        for name in pods:
            if name not in self._indexes:
                self._last_index += 1
                self._indexes[name] = self._last_index
        self._indexes = indexes = {name: self._indexes[name] for name in pods}
        self.now = Interfaces(
            links={
                index: Link(index=index, name=f"lxc-{name}", mac=HOST_MAC, peer_mac=POD_MAC)
                for name, index in indexes.items()
            },
            routes={ip_address(text): indexes[name] for name, text in pods.items()},
            neighbours={},
            addresses=frozenset({ip_address("172.30.0.1")}),
        )


class World:
    """One node under test."""

    def __init__(self, maps: FakeMaps | None = None) -> None:
        self.state = ClusterState()
        self.interns = Interns()
        self.book = AddressBook(self.interns, cluster_name="default")
        self.maps = maps or FakeMaps()
        self.interfaces = FakeInterfaces()
        self.manager = EndpointManager(
            node_name="lab-1",
            cluster_name="default",
            state=self.state,
            book=self.book,
            datapath=self.maps,
            interfaces=self.interfaces,
        )

    def apply(self, text: str, kind: ChangeKind = ChangeKind.ADDED) -> None:
        for document in yaml.safe_load_all(text):
            found = read_object(document, source="test.yaml")
            assert found is not None
            self.state.apply(Change(kind=kind, object=found, document=document))

    async def reconcile(self) -> tuple[str, ...]:
        await self.manager.reconcile()
        return self.manager.problems.present

    def endpoint_at(self, address: str) -> Endpoint:
        """Whom a flow of this address would name."""
        words = np.frombuffer(address_bytes(ip_address(address)), np.uint64).reshape(1, 2)
        [ref] = self.book.endpoint_refs(self.book.entries(words), np.zeros(1, np.uint32))
        return self.interns.endpoints[int(ref)]

    def service_at(self, address: str, port: int) -> Service | None:
        words = np.frombuffer(address_bytes(ip_address(address)), np.uint64).reshape(1, 2)
        ports, protos = np.array([port], np.uint16), np.array([6], np.uint8)
        [ref] = self.book.service_refs(self.book.entries(words), ports, protos)
        return self.interns.services[int(ref)] if ref else None

    def entry(self, name: str) -> EndpointEntry:
        """The endpoint of that pod in the datapath's maps."""
        index = next(i for i, link in self.interfaces.now.links.items() if link.name.endswith(name))
        return next(each for each in self.maps.endpoints.values() if each.ifindex == index)

    def identity(self, address: str) -> int:
        return self.maps.identities[ip_network(address)]


def pod(name: str, address: str, *, node: str = "lab-1", **labels: str) -> str:
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels, "uid": f"uid-{name}"},
        "spec": {"nodeName": node},
        "status": {"podIP": address},
    }
    return yaml.safe_dump(document)


def policy(org: str, name: str = "landing", kind: str = "ingress") -> str:
    peers = "from" if kind == "ingress" else "to"
    document = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "podSelector": {"matchLabels": {"class": "deathstar"}},
            "policyTypes": [kind.title()],
            kind: [
                {"ports": [{"port": 80}], peers: [{"podSelector": {"matchLabels": {"org": org}}}]}
            ],
        },
    }
    return yaml.safe_dump(document)


NODES = """
apiVersion: v1
kind: Node
metadata: {name: lab-1}
status: {addresses: [{type: InternalIP, address: 172.30.0.1}]}
---
apiVersion: v1
kind: Node
metadata: {name: lab-2}
status: {addresses: [{type: InternalIP, address: 172.30.0.2}]}
"""
NAMESPACE = "{apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {team: a}}}"
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: deathstar}
spec: {clusterIP: 10.96.0.5, ports: [{port: 80}]}
"""
DEATHSTAR = pod("deathstar", "10.244.1.2", org="empire", **{"class": "deathstar"})
TIEFIGHTER = pod("tiefighter", "10.244.1.3", org="empire", **{"class": "tiefighter"})
XWING = pod("xwing", "10.244.2.4", node="lab-2", org="alliance", **{"class": "xwing"})


async def galaxy(world: World) -> None:
    """The pods of the tutorial, connected and without policy."""
    for text in (NODES, NAMESPACE, SERVICE, DEATHSTAR, TIEFIGHTER, XWING):
        world.apply(text)
    world.interfaces.show(deathstar="10.244.1.2", tiefighter="10.244.1.3")
    assert not await world.reconcile()
