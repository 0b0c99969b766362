"""Rounds of reconciling, with a hand-written datapath and interfaces."""

import asyncio
from ipaddress import ip_address
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from observer.addresses import AddressBook
from observer.entities import Endpoint, Service, Workload, address_bytes
from observer.kernel.datapath import EndpointEntry
from observer.table.interns import Interns
from policy.entries import Direction
from server.cluster.objects import Change, ChangeKind
from server.cluster.read import read_object
from server.cluster.state import ClusterState
from server.endpoints import EndpointManager
from tests.server.world import (
    DEATHSTAR,
    HOST_MAC,
    NAMESPACE,
    NODES,
    POD_MAC,
    SERVICE,
    TIEFIGHTER,
    XWING,
    World,
    galaxy,
    pod,
    policy,
)


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
