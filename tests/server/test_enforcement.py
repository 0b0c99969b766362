"""From policies and a view to what is enforced: steps of a change, networks, the API server."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
import yaml

from policy.entries import Direction
from policy.lookup import judge
from server.cluster.objects import Change, ChangeKind
from server.cluster.read import read_object
from server.cluster.state import ClusterState
from server.enforcement import Enforcement, PolicyBook
from server.pace import Pace
from server.view import LocalPod, NodeView, Viewer

OWN = frozenset({ip_address("172.30.0.1")})


def node(name: str, address: str) -> dict[str, Any]:
    status = {"addresses": [{"type": "InternalIP", "address": address}]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status}


def pod(name: str, address: str, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
        "spec": {"nodeName": "n1"}, "status": {"podIP": address},
    }  # fmt: skip


def policy(**spec: object) -> dict[str, Any]:
    return {
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"endpointSelector": {}, **spec},
    }  # fmt: skip


def apiserver(*addresses: str) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4", "endpoints": [{"addresses": list(addresses)}],
        "ports": [{"port": 6443}],
    }  # fmt: skip


class World:
    """A node with one pod; the outcome of each step of a change."""

    def __init__(self) -> None:
        self.state, self.book = ClusterState(), PolicyBook()
        self.viewer = Viewer(node_name="n1", cluster_name="default")
        self.view: NodeView | None = None
        self.apply(node("n1", "172.30.0.1"), node("n2", "172.30.0.2"))
        self.apply(pod("a", "10.244.1.2", app="a"))

    def apply(self, *documents: dict[str, Any]) -> None:
        for document in documents:
            found = read_object(yaml.safe_load(yaml.safe_dump(document)), source="test")
            assert found is not None
            self.state.apply(Change(kind=ChangeKind.ADDED, object=found, document=document))

    async def step(self) -> Enforcement:
        self.view = await self.viewer.draw(self.state, OWN, Pace())
        return await self.book.enforce(self.state.policies(), self.view, Pace())

    async def settled(self) -> Enforcement:
        for _ in range(6):
            found = await self.step()
            if found.is_settled:
                return found
        raise AssertionError("does not settle")

    def allows(
        self, enforcement: Enforcement, address: str, direction: Direction = Direction.EGRESS
    ) -> bool:
        """As the datapath: the longest network of the address says its identity."""
        networks = dict(enforcement.networks)
        networks |= {
            ip_network(each): identity
            for each, identity in (("172.30.0.1", 1), ("172.30.0.2", self.node_identity("n2")))
        }
        wanted = ip_address(address)
        around = [each for each in networks if wanted in each]
        identity = networks[max(around, key=lambda each: each.prefixlen)] if around else 2
        entries = enforcement.of(self.local).entries
        return judge(entries, direction=direction, identity=identity, protocol=6, port=6443).allowed

    @property
    def local(self) -> LocalPod:
        assert self.view is not None
        [local] = self.view.local
        return local

    def node_identity(self, name: str) -> int:
        assert self.view is not None
        address = bytes(10) + b"\xff\xff" + ip_address(f"172.30.0.{name[1:]}").packed
        return self.view.addresses[address]


@pytest.fixture
def world() -> World:
    return World()


async def test_the_same_gives_the_same(world: World) -> None:
    world.apply(policy(egress=[{"toCIDR": ["10.0.0.0/8"]}]))
    assert await world.settled() is await world.step()


async def test_a_change_of_networks_takes_steps(world: World) -> None:
    wide, part = ip_network("10.0.0.0/8"), ip_network("10.1.0.0/16")
    world.apply(policy(egress=[{"toCIDR": ["10.0.0.0/8"]}]))
    first = await world.settled()
    assert set(first.networks) == {wide}
    assert first.identities[first.networks[wide]] == ("cidr:10.0.0.0/8", "reserved:world-ipv4")
    world.apply(policy(egress=[{"toCIDR": ["10.1.0.0/16"]}]))
    # the new network first, under the old policy
    step = await world.step()
    assert set(step.networks) == {wide, part}
    assert world.allows(step, "10.2.0.1")
    assert world.allows(step, "10.1.0.1")
    # then the new policy, at last without the old network
    step = await world.step()
    assert (set(step.networks), world.allows(step, "10.2.0.1")) == ({wide, part}, False)
    step = await world.step()
    assert set(step.networks) == {part}
    assert first.networks[wide] in {each.identity for each in first.of(world.local).entries}
    last = await world.settled()
    identities = {each.identity for each in last.of(world.local).entries}
    assert identities == {last.networks[part], 0xFFFFFFFF}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        pytest.param("172.30.0.2", {"172.30.0.2"}, id="another node"),
        pytest.param("172.30.0.1", {"172.30.0.1"}, id="this node"),
        pytest.param("198.51.100.7", {"198.51.100.7"}, id="outside"),
    ],
)
async def test_the_api_server_wherever_it_is(world: World, where: str, expected: set[str]) -> None:
    world.apply(apiserver(where), policy(egress=[{"toEntities": ["kube-apiserver"]}]))
    found = await world.settled()
    every = ("172.30.0.1", "172.30.0.2", "198.51.100.7", "198.51.100.8")
    assert {address for address in every if world.allows(found, address)} == expected


async def test_the_api_server_stays_what_else_it_is(world: World) -> None:
    world.apply(apiserver("172.30.0.2", "198.51.100.7"))
    world.apply(policy(egress=[{"toEntities": ["remote-node"]}]))
    found = await world.settled()
    assert found.networks == {}
    assert world.node_identity("n2") == 7
    assert world.allows(found, "172.30.0.2")
    world.apply(
        policy(
            egress=[{"toCIDR": ["198.51.100.0/24"]}],
            egressDeny=[{"toEntities": ["kube-apiserver"]}],
        )
    )
    found = await world.settled()
    assert world.allows(found, "198.51.100.8")
    assert not world.allows(found, "198.51.100.7")
    single = found.networks[ip_network("198.51.100.7/32")]
    assert found.identities[single] == (
        "cidr:198.51.100.7/32",
        "reserved:kube-apiserver",
        "reserved:world-ipv4",
    )


async def test_the_halves_of_the_world_are_told_apart_only_if_asked_for(world: World) -> None:
    world.apply(policy(egress=[{"toEntities": ["world"]}]))
    assert (await world.settled()).networks == {}
    world.apply(policy(egress=[{"toEntities": ["world-ipv4"]}]))
    found = await world.settled()
    assert found.networks == {ip_network("0.0.0.0/0"): 9}
    assert world.allows(found, "8.8.8.8")
    assert not world.allows(found, "2001:db8::1")


async def test_too_many_entries_leave_the_old_policy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("policy.compiler.MOST_ENTRIES", 3)
    world.apply(policy(egress=[{"toCIDR": ["10.0.0.0/8"]}]))
    first = await world.settled()
    assert first.problems == {}
    # the same networks, more entries
    ports = [{"ports": [{"port": "1", "endPort": 1000, "protocol": "TCP"}]}]
    world.apply(policy(egress=[{"toCIDR": ["10.0.0.0/8"], "toPorts": ports}]))
    found = await world.settled()
    [(about, reason)] = found.problems.items()
    assert about == "Pod default/a"
    assert reason.startswith("compile policy: ")
    assert found.of(world.local) is first.of(world.local)
