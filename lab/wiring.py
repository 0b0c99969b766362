"""How a lab is built: every kernel setting and `ip` command, in order, as plain text.

Comes from a Topology, goes to `network.apply`. Nothing here touches the machine.

        pod                        node                            switch
    ┌─────────┐              ┌───────────────┐                  ┌─────────┐
    │    eth0 ├──────────────┤ lxc…   uplink ├──────────────────┤   br0   ├── other nodes
    └─────────┘   a veth     └───────────────┘      a veth      └─────────┘

A pod's default route leads to a gateway that no one owns: the datapath on `lxc…` answers ARP and
neighbour discovery for it. A plain lab has no datapath, so there the node owns the gateway.
The node reaches its pods by host routes and fixed neighbour entries, other nodes' pods by way of
their nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.fields import Address
    from lab.topology import Node, Pod, Topology

GATEWAY_BY_VERSION = {4: "169.254.1.1", 6: "fe80::1"}
UPLINK_PREFIX_BITS = {4: 24, 6: 64}

NODE_SETTINGS = {
    # First: turning forwarding on resets other settings to a router's defaults.
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/forwarding": "1",
    # Replies may come from the stack while requests went by the datapath, and the other way round.
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
}
SWITCH_SETTINGS = {
    # It only switches: with addresses of its own it would join in neighbour discovery.
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is done in one namespace, at once: first the settings, then the commands."""

    netns: str | None
    """None: outside the lab, where the namespaces are made."""

    settings: dict[str, str] = field(default_factory=dict)
    """Files below /proc/sys/net of this namespace, and what to write there."""

    commands: tuple[str, ...] = ()
    """Lines for `ip -batch`."""


def plan(topology: Topology, *, plain: bool) -> Iterator[Step]:
    """Give all steps that build a lab; with `plain`, one that works without a datapath."""
    yield Step(netns=None, commands=tuple(f"netns add {name}" for name in topology.netns_names))
    yield Step(netns=topology.uplink_netns, settings=SWITCH_SETTINGS)
    for node in topology.nodes:
        yield Step(netns=node.netns, settings=NODE_SETTINGS)
    yield Step(netns=None, commands=tuple(_cables(topology)))
    yield Step(netns=topology.uplink_netns, commands=tuple(_switch(topology)))
    for node in topology.nodes:
        yield Step(netns=node.netns, commands=tuple(_node(topology, node, plain=plain)))
    for pod in topology.pods:
        yield Step(netns=pod.netns, commands=tuple(_pod(pod)))


def _cables(topology: Topology) -> Iterator[str]:
    """Connect the namespaces. Both ends are born where they belong: no name is ever shared."""
    for number, node in enumerate(topology.nodes):
        yield (
            f"link add uplink netns {node.netns}"
            f" type veth peer name port{number} netns {topology.uplink_netns}"
        )
        for pod in topology.pods_of(node):
            yield (
                f"link add {pod.interface} address {pod.host_mac} netns {node.netns}"
                f" type veth peer name eth0 address {pod.mac} netns {pod.netns}"
            )


def _switch(topology: Topology) -> Iterator[str]:
    yield "link add br0 type bridge mcast_snooping 0"
    yield "link set br0 up"
    for number in range(len(topology.nodes)):
        yield f"link set port{number} master br0"
        yield f"link set port{number} up"


def _node(topology: Topology, node: Node, *, plain: bool) -> Iterator[str]:
    yield "link set lo up"
    yield "link set uplink up"
    for address in node.addresses:
        bits = UPLINK_PREFIX_BITS[address.version]
        yield f"address add {address}/{bits} dev uplink{_nodad(address)}"
    for pod in topology.pods_of(node):
        # Without a link-local address the node says nothing on this cable of its own accord.
        yield f"link set {pod.interface} addrgenmode none"
        yield f"link set {pod.interface} up"
        for address in pod.addresses:
            yield from _way_to_pod(node, pod, address)
        if plain:
            yield f"address add {GATEWAY_BY_VERSION[6]}/64 dev {pod.interface} nodad"
    if plain:
        yield f"address add {GATEWAY_BY_VERSION[4]}/32 dev lo"
    for pod in topology.pods:
        if pod.node != node.name:
            yield from _way_to_node(topology.node(pod.node), pod)


def _way_to_pod(node: Node, pod: Pod, address: Address) -> Iterator[str]:
    # Named, since the interface has no address, or in a plain lab the gateway's.
    own_address = node.address(address.version)
    source = f" src {own_address}" if own_address else ""
    yield f"route add {address} dev {pod.interface}{source}"
    yield f"neighbour add {address} lladdr {pod.mac} dev {pod.interface} nud permanent"


def _way_to_node(other_node: Node, pod: Pod) -> Iterator[str]:
    for address in pod.addresses:
        next_hop = other_node.address(address.version)
        if next_hop is not None:
            yield f"route add {address} via {next_hop} dev uplink"


def _pod(pod: Pod) -> Iterator[str]:
    yield "link set lo up"
    yield "link set eth0 up"
    for address in pod.addresses:
        # Duplicate address detection stays on: a real pod does it too, and must not be hindered.
        yield f"address add {address} dev eth0"
    for version in sorted({address.version for address in pod.addresses}):
        yield f"route add default via {GATEWAY_BY_VERSION[version]} dev eth0 onlink"


def _nodad(address: Address) -> str:
    """Skip duplicate address detection between nodes: `topology` has seen to it already."""
    return " nodad" if address.version == 6 else ""
