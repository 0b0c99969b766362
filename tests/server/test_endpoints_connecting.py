"""How pods find their interfaces, and what happens where two want the same one or address."""

from ipaddress import ip_address

import pytest
import yaml

from server.cluster.objects import ChangeKind
from server.interfaces import Interfaces, Link
from tests.server.world import (
    DEATHSTAR,
    HOST_MAC,
    NAMESPACE,
    NODES,
    POD_MAC,
    TIEFIGHTER,
    XWING,
    World,
    galaxy,
    pod,
)


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
