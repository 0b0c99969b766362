from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from lab.errors import LabError, ObjectError
from lab.objects import read_objects
from lab.session import scenario
from lab.topology import Topology, build_topology

if TYPE_CHECKING:
    from pathlib import Path

NODE = """
kind: Node
metadata: {name: one}
status: {addresses: [{type: Hostname, address: one}, {type: InternalIP, address: 172.30.0.1}]}
"""
POD = """
---
kind: Pod
metadata: {name: a}
spec: {nodeName: one}
status: {podIPs: [{ip: 10.244.1.1}]}
"""


def topology(tmp_path: Path, text: str) -> Topology:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    return build_topology(read_objects(file), "r")


def test_lays_out_the_empire() -> None:
    empire = build_topology(read_objects(scenario("empire")), "r")

    assert [node.name for node in empire.nodes] == ["lab-1"]
    tiefighter = empire.pod("tiefighter")
    assert tiefighter is empire.pod("default/tiefighter")
    assert tiefighter.netns == "lvr-lab-1-tiefighter"
    assert tiefighter.address(6) == ip_address("fd00:244:1::21")
    coredns = empire.pod("kube-system/coredns-7c65d6cfc9-tq9zb")
    assert coredns.netns == "lvr-lab-1-coredns-7c65d6cfc9-tq9zb.kube-system"
    assert coredns.containers[0].command == ("hubble-lab", "serve", "dns")
    assert coredns.containers[0].ports == (("UDP", 53), ("TCP", 53))


def test_all_names_are_unique_and_carry_the_run(two_nodes_file: Path) -> None:
    found = build_topology(read_objects(two_nodes_file), "r")

    assert len(set(found.netns_names)) == 6
    assert all(name.startswith("lvr-") for name in found.netns_names)
    assert len({pod.mac for pod in found.pods} | {pod.host_mac for pod in found.pods}) == 6
    assert all(len(pod.interface) <= 15 for pod in found.pods)


def test_names_do_not_change_between_readings(two_nodes_file: Path) -> None:
    first = build_topology(read_objects(two_nodes_file), "r")

    assert build_topology(read_objects(two_nodes_file), "r") == first


def test_pods_of_one_name_in_two_namespaces_are_two(tmp_path: Path) -> None:
    other = POD.replace("name: a", "name: a, namespace: b").replace("10.244.1.1", "10.244.1.2")

    found = topology(tmp_path, NODE + POD + other)

    assert [pod.netns for pod in found.pods] == ["lvr-one-a", "lvr-one-a.b"]


def test_an_annotation_names_the_interface(tmp_path: Path) -> None:
    named = POD.replace("{name: a}", "{name: a, annotations: {leavitt.io/interface: veth-a}}")

    assert topology(tmp_path, NODE + named).pods[0].interface == "veth-a"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        pytest.param(
            "nodeName: one",
            "nodeName: two",
            "spec.nodeName: want one of the nodes one, got 'two'",
            id="unknown-node",
        ),
        pytest.param(
            "spec: {nodeName: one}",
            "",
            "spec.nodeName: missing, want a non-empty string",
            id="no-node",
        ),
        pytest.param(
            "podIPs: [{ip: 10.244.1.1}]",
            "",
            "status.podIPs: missing, want at least one address",
            id="no-address",
        ),
        pytest.param(
            "[{ip: 10.244.1.1}]",
            "[]",
            "status.podIPs: want at least one address, got []",
            id="empty-addresses",
        ),
        pytest.param(
            "10.244.1.1",
            "10.244.1",
            "status.podIPs[0].ip: want an IP address, got '10.244.1'",
            id="bad-address",
        ),
        pytest.param(
            "10.244.1.1",
            "172.30.0.1",
            "status.podIPs[0].ip: taken by Node one, got '172.30.0.1'",
            id="address-of-node",
        ),
        pytest.param(
            "[{ip: 10.244.1.1}]",
            "[{ip: '::1:1'}, {ip: '::1:1'}]",
            "status.podIPs[1].ip: taken by Pod default/a, got '::1:1'",
            id="address-twice",
        ),
        pytest.param(
            "nodeName: one",
            "nodeName: one, hostNetwork: true",
            "spec.hostNetwork: the lab gives each pod a namespace of its own, got True",
            id="host-network",
        ),
        pytest.param(
            "nodeName: one",
            "nodeName: one, containers: [{name: c, command: [sleep, 5]}]",
            "spec.containers[0].command[1]: want a non-empty string, got 5",
            id="number-in-command",
        ),
        pytest.param(
            "nodeName: one",
            "nodeName: one, containers: [{name: c, ports: [{containerPort: 70000}]}]",
            "spec.containers[0].ports[0].containerPort: want a port from 1 to 65535, got 70000",
            id="port-out-of-range",
        ),
        pytest.param(
            "nodeName: one",
            "nodeName: one, containers: [{name: c, ports: [{protocol: SCTP}]}]",
            "spec.containers[0].ports[0].protocol: want one of TCP, UDP, got 'SCTP'",
            id="protocol",
        ),
        pytest.param(
            "{name: a}",
            "{name: a, annotations: {leavitt.io/interface: an-interface-name}}",
            "metadata.annotations.leavitt.io/interface: want an interface name of at most 15 bytes,"
            " got 'an-interface-name'",
            id="long-interface",
        ),
        pytest.param(
            "{name: a}",
            "{name: a, annotations: {leavitt.io/interface: lo}}",
            "metadata.annotations.leavitt.io/interface: this interface has another use in every"
            " node, got 'lo'",
            id="interface-in-use",
        ),
    ],
)
def test_refuses_a_bad_pod(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in POD

    with pytest.raises(ObjectError) as caught:
        topology(tmp_path, NODE + POD.replace(old, new))

    assert str(caught.value) == f"a.yaml: Pod default/a: {problem}"


def test_refuses_an_address_that_two_pods_claim(tmp_path: Path) -> None:
    with pytest.raises(ObjectError, match=r"Pod default/b: .*: taken by Pod default/a, got"):
        topology(tmp_path, NODE + POD + POD.replace("name: a", "name: b"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            NODE.replace("InternalIP", "ExternalIP"),
            "status.addresses: want an entry of type InternalIP",
            id="no-internal-ip",
        ),
        pytest.param(
            NODE.replace("name: one", "name: uplink"),
            "metadata.name: the lab keeps this name for its switch, got 'uplink'",
            id="reserved",
        ),
    ],
)
def test_refuses_a_bad_node(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ObjectError) as caught:
        topology(tmp_path, text)

    assert problem in str(caught.value)


def test_unknown_names_are_answered_with_the_known(tmp_path: Path) -> None:
    found = topology(tmp_path, NODE + POD)

    with pytest.raises(LabError, match=r"^no pod 'b'; there are default/a$"):
        found.pod("b")
    with pytest.raises(LabError, match=r"^no node 'two'; there are one$"):
        found.node("two")
    with pytest.raises(LabError, match=r"^pod default/a has no IPv6 address$"):
        found.pod("a").address(6)
