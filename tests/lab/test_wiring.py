from __future__ import annotations

from typing import TYPE_CHECKING

from lab.objects import read_objects
from lab.topology import Topology, build_topology
from lab.wiring import plan

if TYPE_CHECKING:
    from pathlib import Path


def commands(topology: Topology, netns: str | None, *, plain: bool = False) -> list[str]:
    steps = plan(topology, plain=plain)
    return [line for step in steps if step.netns == netns for line in step.commands]


def two_nodes(file: Path) -> Topology:
    return build_topology(read_objects(file), "r")


def test_namespaces_come_before_all_else(two_nodes_file: Path) -> None:
    topology = two_nodes(two_nodes_file)

    first = next(iter(plan(topology, plain=False)))

    assert first.netns is None
    assert first.commands == tuple(f"netns add {name}" for name in topology.netns_names)


def test_a_pod_leaves_by_a_gateway_that_it_does_not_know_yet(two_nodes_file: Path) -> None:
    lines = commands(two_nodes(two_nodes_file), "lvr-south-visitor")

    assert "route add default via 169.254.1.1 dev eth0 onlink" in lines
    assert "route add default via fe80::1 dev eth0 onlink" in lines
    assert not any(line.startswith("neighbour") for line in lines)
    assert not any("nodad" in line for line in lines)


def test_a_node_reaches_its_pods_without_asking(two_nodes_file: Path) -> None:
    topology = two_nodes(two_nodes_file)
    pod = topology.pod("visitor")

    lines = commands(topology, "lvr-south")

    for address, source in (("10.244.2.10", "172.30.0.2"), ("fd00:244:2::10", "fd00:172:30::2")):
        assert f"route add {address} dev {pod.interface} src {source}" in lines
        assert (
            f"neighbour add {address} lladdr {pod.mac} dev {pod.interface} nud permanent" in lines
        )


def test_other_nodes_pods_are_behind_their_nodes(two_nodes_file: Path) -> None:
    lines = commands(two_nodes(two_nodes_file), "lvr-south")

    assert "route add 10.244.1.10 via 172.30.0.1 dev uplink" in lines
    assert "route add fd00:244:1::10 via fd00:172:30::1 dev uplink" in lines


def test_only_a_plain_lab_has_somebody_at_the_gateway(two_nodes_file: Path) -> None:
    topology = two_nodes(two_nodes_file)

    plain = commands(topology, "lvr-south", plain=True)

    assert "address add 169.254.1.1/32 dev lo" in plain
    assert f"address add fe80::1/64 dev {topology.pod('visitor').interface} nodad" in plain
    assert not any("169.254" in line or "fe80" in line for line in commands(topology, "lvr-south"))


def test_settings_are_changed_in_the_labs_namespaces_alone(two_nodes_file: Path) -> None:
    steps = list(plan(two_nodes(two_nodes_file), plain=False))

    assert {step.netns for step in steps if step.settings} == {
        "lvr-north",
        "lvr-south",
        "lvr-uplink",
    }
