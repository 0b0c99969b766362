"""Rounds of reconciling, with a hand-written datapath and interfaces."""

import asyncio
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from observer.addresses import AddressBook
from observer.entities import Endpoint, Service, Workload, address_bytes
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


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("server.endpoints.LINGER_S", 0.0)
    return World()


async def galaxy(world: World) -> None:
    """The pods of the tutorial, connected and without policy."""
    for text in (NODES, NAMESPACE, SERVICE, DEATHSTAR, TIEFIGHTER, XWING):
        world.apply(text)
    world.interfaces.show(deathstar="10.244.1.2", tiefighter="10.244.1.3")
    assert not await world.reconcile()


async def test_local_pods_become_endpoints_of_the_datapath(world: World) -> None:
    await galaxy(world)
    entry = world.entry("deathstar")
    assert entry == EndpointEntry(
        endpoint_id=entry.endpoint_id,
        identity=world.identity("10.244.1.2"),
        ifindex=10,
        ipv4=ip_address("10.244.1.2"),  # type: ignore[arg-type] # IPv4 by its text
        ipv6=None,
        mac=POD_MAC,
        host_mac=HOST_MAC,
        enforce_ingress=False,
        enforce_egress=False,
    )
    assert world.maps.links == {10, 11}
    assert len(world.maps.endpoints) == 2


async def test_identities_of_all_pods_and_nodes_reach_the_datapath(world: World) -> None:
    await galaxy(world)
    assert world.identity("172.30.0.1") == 1
    assert world.identity("172.30.0.2") == 6
    pods = {world.identity(f"10.244.{at}") for at in ("1.2", "1.3", "2.4")}
    assert len(pods) == 3
    assert min(pods) >= 256
    assert len(world.maps.identities) == 5


async def test_the_book_knows_pods_nodes_and_services(world: World) -> None:
    await galaxy(world)
    endpoint = world.endpoint_at("10.244.1.2")
    assert endpoint == Endpoint(
        endpoint_id=world.entry("deathstar").endpoint_id,
        identity=world.identity("10.244.1.2"),
        cluster_name="default",
        namespace="default",
        labels=(
            "k8s:class=deathstar",
            "k8s:io.cilium.k8s.namespace.labels.team=a",
            "k8s:io.cilium.k8s.policy.cluster=default",
            "k8s:io.cilium.k8s.policy.serviceaccount=default",
            "k8s:io.kubernetes.pod.namespace=default",
            "k8s:org=empire",
        ),
        pod_name="deathstar",
        workloads=(Workload("Pod", "deathstar"),),
    )
    assert world.endpoint_at("10.244.2.4").pod_name == "xwing"
    assert world.endpoint_at("10.244.2.4").endpoint_id == 0
    assert world.endpoint_at("172.30.0.1").labels == ("reserved:host",)
    assert world.endpoint_at("172.30.0.2").labels == ("reserved:remote-node",)
    assert world.endpoint_at("192.0.2.1").labels == ("reserved:world",)
    assert world.service_at("10.96.0.5", 80) == Service(namespace="default", name="deathstar")
    assert world.service_at("10.96.0.5", 81) is None
    [ref] = world.book.interface_refs(np.array([10], np.uint32))
    assert world.interns.interfaces[int(ref)].name == "lxc-deathstar"


async def test_a_policy_is_enforced_and_named(world: World) -> None:
    await galaxy(world)
    world.apply(policy("empire"))
    assert not await world.reconcile()
    entry = world.entry("deathstar")
    assert (entry.enforce_ingress, entry.enforce_egress) == (True, False)
    empire, alliance = world.identity("10.244.1.3"), world.identity("10.244.2.4")
    assert world.maps.allows(entry.endpoint_id, empire, direction=Direction.INGRESS)
    assert not world.maps.allows(entry.endpoint_id, alliance, direction=Direction.INGRESS)
    assert not world.entry("tiefighter").enforce_ingress
    cookies = {each.cookie for each in world.maps.policies[entry.endpoint_id]}
    refs = world.book.policy_refs(np.array(sorted(cookies), np.uint32))
    # what it allows, and what it isolates from
    assert [world.interns.policies[int(ref)][0].name for ref in refs] == ["landing", "landing"]
    world.apply(policy("empire"), ChangeKind.DELETED)
    assert not await world.reconcile()
    assert not world.entry("deathstar").enforce_ingress
    assert world.maps.policies[entry.endpoint_id] == ()
    assert not world.book.policy_refs(np.array(sorted(cookies), np.uint32)).any()


async def test_what_old_and_new_policy_allow_is_never_denied_between_them(world: World) -> None:
    await galaxy(world)
    entry = world.entry("deathstar")
    world.maps.probe = (entry.endpoint_id, world.identity("10.244.1.3"))
    for text, kind in (
        (policy("empire"), ChangeKind.ADDED),
        (policy("alliance", "other"), ChangeKind.ADDED),
        (policy("empire", "out", "egress"), ChangeKind.ADDED),
        (policy("alliance", "other"), ChangeKind.DELETED),
        (policy("empire"), ChangeKind.DELETED),
        (policy("empire", "out", "egress"), ChangeKind.DELETED),
    ):
        world.apply(text, kind)
        assert not await world.reconcile()
    assert len(world.maps.verdicts) >= 6
    assert all(world.maps.verdicts)


async def test_what_old_and_new_policy_deny_is_never_allowed_between_them(world: World) -> None:
    await galaxy(world)
    world.apply(policy("empire"))
    await world.reconcile()
    entry = world.entry("deathstar")
    world.maps.probe = (entry.endpoint_id, world.identity("10.244.2.4"))
    for text, kind in (
        (policy("nobody", "other"), ChangeKind.ADDED),
        (policy("empire", "out", "egress"), ChangeKind.ADDED),
        (policy("empire"), ChangeKind.DELETED),
    ):
        world.apply(text, kind)
        assert not await world.reconcile()
    assert len(world.maps.verdicts) >= 3
    assert not any(world.maps.verdicts)


async def test_a_pod_that_goes_leaves_nothing(world: World) -> None:
    await galaxy(world)
    world.apply(policy("empire"))
    await world.reconcile()
    for text in (DEATHSTAR, TIEFIGHTER, XWING, SERVICE, policy("empire")):
        world.apply(text, ChangeKind.DELETED)
    assert not await world.reconcile()
    assert not world.maps.endpoints
    assert not world.maps.policies
    assert world.maps.links == set()
    assert set(world.maps.identities.values()) == {1, 6}
    assert world.endpoint_at("10.244.1.2").labels == ("reserved:world",)
    assert world.service_at("10.96.0.5", 80) is None


async def test_the_book_knows_who_is_gone_until_the_rings_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    await galaxy(world)
    lingering = asyncio.Event()
    over = asyncio.Event()

    async def linger(delay_s: float) -> None:
        if delay_s:
            lingering.set()
            await over.wait()

    world.apply(DEATHSTAR, ChangeKind.DELETED)
    monkeypatch.setattr("server.book.asyncio", SimpleNamespace(sleep=linger))
    async with asyncio.TaskGroup() as group:
        group.create_task(world.reconcile())
        await asyncio.wait_for(lingering.wait(), 20)
        assert len(world.maps.endpoints) == 1
        assert world.endpoint_at("10.244.1.2").pod_name == "deathstar"
        over.set()
    assert world.endpoint_at("10.244.1.2").labels == ("reserved:world",)


async def test_nothing_is_written_when_nothing_has_changed(world: World) -> None:
    await galaxy(world)
    world.maps.calls.clear()
    await world.reconcile()
    assert world.maps.calls == []


async def test_changed_labels_make_another_identity(world: World) -> None:
    await galaxy(world)
    before = world.identity("10.244.1.3")
    changed = pod("tiefighter", "10.244.1.3", org="alliance", **{"class": "tiefighter"})
    world.apply(changed, ChangeKind.MODIFIED)
    assert not await world.reconcile()
    assert world.identity("10.244.1.3") != before
    assert world.entry("tiefighter").identity == world.identity("10.244.1.3")
    assert "k8s:org=alliance" in world.endpoint_at("10.244.1.3").labels


@pytest.mark.parametrize(
    ("interfaces", "problem"),
    [
        pytest.param(
            Interfaces(links={}, routes={}, neighbours={}, addresses=frozenset()),
            "Pod default/deathstar: not connected: no route to 10.244.1.2 alone",
            id="no route",
        ),
        pytest.param(
            Interfaces(
                links={5: Link(index=5, name="lxc5", mac=HOST_MAC, peer_mac=None)},
                routes={ip_address("10.244.1.2"): 5},
                neighbours={},
                addresses=frozenset(),
            ),
            ("Pod default/deathstar: not connected: no MAC address known behind interface lxc5"),
            id="no MAC",
        ),
    ],
)
async def test_a_pod_that_cannot_be_connected_is_named_and_waited_for(
    world: World, interfaces: Interfaces, problem: str
) -> None:
    world.apply(DEATHSTAR)
    world.apply(TIEFIGHTER)
    world.interfaces.show(tiefighter="10.244.1.3")
    shown = world.interfaces.now
    world.interfaces.now = Interfaces(
        links={**shown.links, **interfaces.links},
        routes={**shown.routes, **interfaces.routes},
        neighbours={},
        addresses=frozenset(),
    )
    assert await world.reconcile() == (problem,)
    assert world.maps.links == {10}  # the other one is served
    assert world.endpoint_at("10.244.1.2").pod_name == "deathstar"
    world.interfaces.show(tiefighter="10.244.1.3", deathstar="10.244.1.2")
    assert not await world.reconcile()
    assert world.maps.links == {10, 11}


async def test_the_neighbour_table_serves_where_the_peer_cannot_be_seen(world: World) -> None:
    world.apply(DEATHSTAR)
    address = ip_address("10.244.1.2")
    world.interfaces.now = Interfaces(
        links={5: Link(index=5, name="lxc5", mac=HOST_MAC, peer_mac=None)},
        routes={address: 5},
        neighbours={(5, address): POD_MAC, (6, address): HOST_MAC},
        addresses=frozenset(),
    )
    assert not await world.reconcile()
    [entry] = world.maps.endpoints.values()
    assert entry.mac == POD_MAC


async def test_an_annotation_names_the_interface(world: World) -> None:
    document = yaml.safe_load(DEATHSTAR)
    document["metadata"]["annotations"] = {"leavitt.io/interface": "lxc-other"}
    world.apply(yaml.safe_dump(document))
    world.interfaces.show(deathstar="10.244.1.2")
    assert await world.reconcile() == (
        (
            "Pod default/deathstar: not connected: no interface of the name that "
            "leavitt.io/interface gives: lxc-other"
        ),
    )
    world.interfaces.show(deathstar="10.244.1.2", other="10.244.1.9")
    assert not await world.reconcile()
    assert world.maps.links == {11}


async def test_an_interface_made_anew_is_attached_again(world: World) -> None:
    await galaxy(world)
    world.interfaces.show(tiefighter="10.244.1.3")
    await world.reconcile()
    assert world.maps.links == {11}
    world.interfaces.show(tiefighter="10.244.1.3", deathstar="10.244.1.2")
    assert not await world.reconcile()
    assert world.maps.links == {11, 12}
    assert world.entry("deathstar").ifindex == 12


@pytest.mark.parametrize(
    "refused", ["upsert_endpoint", "upsert_identities", "replace_policy", "attach"]
)
async def test_what_the_kernel_refuses_is_named_and_tried_again(world: World, refused: str) -> None:
    world.maps.refuse = {refused}
    for text in (NODES, DEATHSTAR, TIEFIGHTER, policy("empire")):
        world.apply(text)
    world.interfaces.show(deathstar="10.244.1.2", tiefighter="10.244.1.3")
    problems = await world.reconcile()
    assert problems
    assert all(f"set: {refused}: refused" in each for each in problems)
    if refused in ("upsert_endpoint", "replace_policy"):
        assert world.maps.links == set()  # nothing is attached that is not known
    world.maps.refuse = set()
    assert not await world.reconcile()
    assert world.maps.links == {10, 11}
    assert world.entry("deathstar").enforce_ingress


async def test_what_cannot_be_removed_is_tried_again(world: World) -> None:
    await galaxy(world)
    world.maps.refuse = {"detach", "remove_identity"}
    world.interfaces.show(tiefighter="10.244.1.3")
    world.apply(XWING, ChangeKind.DELETED)
    assert sorted(await world.reconcile()) == [
        (
            "Pod default/deathstar: not connected: its interface lxc-deathstar is gone; "
            "no route to 10.244.1.2 alone"
        ),
        "address 10.244.2.4: remove: remove_identity: refused",
        "interface 10: remove: detach: refused",
    ]
    world.maps.refuse = set()
    world.apply(DEATHSTAR, ChangeKind.DELETED)
    assert not await world.reconcile()
    assert len(world.maps.endpoints) == 1
    assert ip_network("10.244.2.4") not in world.maps.identities


async def test_interfaces_that_cannot_be_read_leave_things_as_they_are(world: World) -> None:
    await galaxy(world)
    world.interfaces.failure = OSError(12, "out of memory")
    [problem] = await world.reconcile()
    assert "interfaces: read: " in problem
    assert world.maps.links == {10, 11}


async def test_who_has_an_address_keeps_it(world: World) -> None:
    await galaxy(world)
    had = world.entry("tiefighter"), world.identity("10.244.1.3")
    world.maps.calls.clear()
    world.apply(pod("awing", "10.244.1.3", org="alliance"))
    world.apply(pod("spy", "172.30.0.2", node="lab-2"))
    problems = [
        "Pod default/awing: its address is already that of Pod default/tiefighter: 10.244.1.3",
        "Pod default/spy: its address is a node's: 172.30.0.2",
    ]
    assert sorted(await world.reconcile()) == problems
    assert sorted(await world.reconcile()) == problems  # nothing changed, nothing is over
    assert world.endpoint_at("10.244.1.3").pod_name == "tiefighter"
    assert (world.entry("tiefighter"), world.identity("10.244.1.3")) == had
    assert world.identity("172.30.0.2") == 6
    assert world.maps.calls == []
    world.apply(TIEFIGHTER, ChangeKind.DELETED)
    assert await world.reconcile() == (problems[1],)
    assert world.endpoint_at("10.244.1.3").pod_name == "awing"
    assert world.entry("tiefighter").identity != had[0].identity


async def test_who_has_an_address_keeps_it_over_a_restart(world: World) -> None:
    await galaxy(world)
    world.apply(pod("awing", "10.244.1.3", org="alliance"))
    world.apply(pod("awing-2", "10.244.2.4", org="rebels"))
    await world.reconcile()
    had = world.entry("tiefighter"), world.identity("10.244.2.4")
    after = World(world.maps)
    for name, address in (("awing", "10.244.1.3"), ("awing-2", "10.244.2.4")):
        after.apply(pod(name, address, org={"awing": "alliance", "awing-2": "rebels"}[name]))
    for text in (NODES, NAMESPACE, DEATHSTAR, TIEFIGHTER, XWING):
        after.apply(text)
    after.interfaces.now = world.interfaces.now
    assert len(await after.reconcile()) == 2
    assert after.endpoint_at("10.244.1.3").pod_name == "tiefighter"
    assert after.endpoint_at("10.244.2.4").pod_name == "xwing"
    assert (after.entry("tiefighter"), after.identity("10.244.2.4")) == had


async def test_who_has_an_interface_keeps_it(world: World) -> None:
    await galaxy(world)
    document = yaml.safe_load(pod("awing", "10.244.1.9"))
    document["metadata"]["annotations"] = {"leavitt.io/interface": "lxc-tiefighter"}
    problem = (
        "Pod default/awing: not connected: interface lxc-tiefighter leads to "
        "Pod default/tiefighter already"
    )
    had = world.entry("tiefighter")
    world.apply(yaml.safe_dump(document))
    assert await world.reconcile() == (problem,)
    after = World(world.maps)
    for text in (yaml.safe_dump(document), NODES, NAMESPACE, DEATHSTAR, TIEFIGHTER, XWING):
        after.apply(text)
    after.interfaces.now = world.interfaces.now
    assert await after.reconcile() == (problem,)
    assert after.entry("tiefighter") == had
    after.apply(TIEFIGHTER, ChangeKind.DELETED)
    assert not await after.reconcile()
    assert after.entry("tiefighter").ipv4 == ip_address("10.244.1.9")


async def test_two_pods_cannot_share_an_interface(world: World) -> None:
    world.apply(DEATHSTAR)
    world.apply(TIEFIGHTER)
    world.interfaces.now = Interfaces(
        links={5: Link(index=5, name="lxc5", mac=HOST_MAC, peer_mac=POD_MAC)},
        routes={ip_address("10.244.1.2"): 5, ip_address("10.244.1.3"): 5},
        neighbours={},
        addresses=frozenset(),
    )
    assert await world.reconcile() == (
        (
            "Pod default/tiefighter: not connected: "
            "interface lxc5 leads to Pod default/deathstar already"
        ),
    )
    assert len(world.maps.endpoints) == 1


async def test_pods_on_the_nodes_network_are_the_host(world: World) -> None:
    document = yaml.safe_load(pod("agent", "172.30.0.1"))
    document["spec"]["hostNetwork"] = True
    world.apply(yaml.safe_dump(document))
    world.apply(NODES)
    world.interfaces.show()
    assert not await world.reconcile()
    assert world.maps.endpoints == {}
    assert world.endpoint_at("172.30.0.1").labels == ("reserved:host",)


async def test_what_an_earlier_process_left_is_taken_over() -> None:
    before = World()
    await galaxy(before)
    before.maps.links.add(99)
    after = World(before.maps)
    for text in (NODES, NAMESPACE, DEATHSTAR, XWING):  # the tiefighter went meanwhile
        after.apply(text)
    after.interfaces.show(deathstar="10.244.1.2")
    endpoint_id = before.entry("deathstar").endpoint_id
    assert not await after.reconcile()
    assert after.maps.endpoint_ids == {endpoint_id}
    assert after.maps.links == {10}


async def test_a_replay_has_the_book_alone() -> None:
    state, interns = ClusterState(), Interns()
    book = AddressBook(interns, cluster_name="default")
    manager = EndpointManager(
        node_name="lab-1",
        cluster_name="default",
        state=state,
        book=book,
        datapath=None,
        interfaces=None,
    )
    found = read_object(yaml.safe_load(DEATHSTAR), source="")
    assert found is not None
    state.apply(Change(kind=ChangeKind.ADDED, object=found, document={}))
    await manager.reconcile()
    words = np.frombuffer(address_bytes(ip_address("10.244.1.2")), np.uint64).reshape(1, 2)
    assert book.endpoint_ids(book.entries(words))[0] > 0


async def test_rounds_run_when_state_or_interfaces_change(world: World) -> None:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(world.manager.run())
        world.interfaces.notice.set()
        await asyncio.sleep(0)
        assert not world.manager.ready.is_set()  # nothing is known of the cluster yet
        world.apply(DEATHSTAR)
        world.manager.state_changed()
        await asyncio.wait_for(world.manager.ready.wait(), 20)
        assert world.maps.links == set()
        world.interfaces.show(deathstar="10.244.1.2")
        world.interfaces.notice.set()
        while not world.maps.links:
            await asyncio.wait_for(asyncio.sleep(0), 20)
        running.cancel()


async def test_changes_during_a_round_disconnect_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await galaxy(world)
    world.apply(policy("empire"))
    await world.reconcile()
    monkeypatch.setattr("server.pace.SLICE_S", -1.0)  # hand the loop over at every step
    world.maps.calls.clear()
    apply = 0
    async with asyncio.TaskGroup() as group:
        for turn in range(10, 15):
            world.apply(pod("bwing", f"10.244.2.{turn}", node="lab-2"))
            round_ = group.create_task(world.manager.reconcile())
            while not round_.done():
                apply += 1
                org = "empire" if apply % 2 else "alliance"
                changed = pod("tiefighter", "10.244.1.3", org=org, **{"class": "tiefighter"})
                world.apply(changed, ChangeKind.MODIFIED)
                await asyncio.sleep(0)
    assert apply >= 30
    assert {"remove_endpoint", "detach"}.isdisjoint(world.maps.calls)
    assert not await world.reconcile()
    expected = "k8s:org=empire" if apply % 2 else "k8s:org=alliance"
    assert expected in world.endpoint_at("10.244.1.3").labels


async def test_a_cancelled_round_is_made_good_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.pace.SLICE_S", -1.0)
    for text in (NODES, NAMESPACE, SERVICE, DEATHSTAR, TIEFIGHTER, XWING, policy("empire")):
        world.apply(text)
    world.interfaces.show(deathstar="10.244.1.2", tiefighter="10.244.1.3")
    steps = 0
    while True:
        steps += 1
        async with asyncio.TaskGroup() as group:
            round_ = group.create_task(world.manager.reconcile())
            for _ in range(steps):
                await asyncio.sleep(0)
            if not round_.cancel():
                break
    assert steps > 10
    assert world.maps.links == {10, 11}
    assert len(world.maps.identities) == 5
    assert world.entry("deathstar").enforce_ingress
    assert world.service_at("10.96.0.5", 80) is not None


async def test_more_label_sets_than_numbers_leave_things_as_they_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await galaxy(world)
    monkeypatch.setattr("server.identities.LAST_IDENTITY", 260)
    world.apply(pod("awing", "10.244.2.5", node="lab-2", org="rebels"))
    [problem] = await world.reconcile()
    assert problem == "cluster: assign numbers 256..260: too few for 4 names"
    assert world.maps.links == {10, 11}


async def test_a_round_waits_for_a_batch_that_is_half_taken_in(world: World) -> None:
    await galaxy(world)
    await world.state.whole.acquire()
    world.apply(pod("awing", "10.244.2.9", node="lab-2"))
    async with asyncio.TaskGroup() as group:
        round_ = group.create_task(world.manager.reconcile())
        for _ in range(100):
            await asyncio.sleep(0)
        assert world.endpoint_at("10.244.2.9").pod_name == ""
        world.state.whole.release()
        await asyncio.wait_for(round_, 20)
    assert world.endpoint_at("10.244.2.9").pod_name == "awing"
