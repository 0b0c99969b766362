"""What a lab consists of: nodes and pods with their namespaces, interfaces and addresses.

Comes from the Node and Pod objects of a scenario, goes to `wiring` (how to build it) and to
whoever wants to reach a pod. Nothing here touches the machine: all names and MAC addresses follow
from the run id and the objects, so that a lab is found again by reading what it was built from.

    lv<run>-uplink               the switch that all nodes hang on
    lv<run>-<node>               a node: `uplink` towards the switch, one `lxc…` for each pod
    lv<run>-<node>-<pod>         a pod of namespace `default`: `eth0`
    lv<run>-<node>-<pod>.<ns>    a pod of another namespace
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.fields import Address, Field
    from lab.objects import KubeObject

INTERFACE_ANNOTATION = "leavitt.io/interface"
INTERFACE_NAME_BYTES = 15  # IFNAMSIZ without its NUL
UPLINK = "uplink"
PROTOCOLS = ("TCP", "UDP")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A program that runs in a pod for as long as the lab is up."""

    name: str
    command: tuple[str, ...]
    ports: tuple[tuple[str, int], ...]
    """What it listens on once it is ready: TCP or UDP, and the port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A network namespace with `eth0`, the far end of `interface` in its node's namespace."""

    namespace: str
    name: str
    node: str
    netns: str
    interface: str
    mac: str
    host_mac: str
    addresses: tuple[Address, ...]
    containers: tuple[Container, ...]

    @property
    def key(self) -> str:
        """Namespace and name, as in `default/xwing`."""
        return f"{self.namespace}/{self.name}"

    def address(self, version: int) -> Address:
        """Give the pod's first address of IP version 4 or 6. LabError if it has none."""
        for address in self.addresses:
            if address.version == version:
                return address
        raise LabError(f"pod {self.key} has no IPv{version} address")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A network namespace that routes between its pods and the other nodes."""

    name: str
    netns: str
    addresses: tuple[Address, ...]

    def address(self, version: int) -> Address | None:
        """Give the node's first address of IP version 4 or 6, if it has one."""
        return next((one for one in self.addresses if one.version == version), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """All nodes and pods of one run."""

    uplink_netns: str
    nodes: tuple[Node, ...]
    pods: tuple[Pod, ...]

    def pod(self, key: str) -> Pod:
        """Find a pod by `namespace/name`, or by name alone in namespace `default`."""
        full_key = key if "/" in key else f"default/{key}"
        for pod in self.pods:
            if pod.key == full_key:
                return pod
        raise LabError(f"no pod {key!r}; there are {', '.join(pod.key for pod in self.pods)}")

    def node(self, name: str) -> Node:
        """Find a node by its name."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise LabError(f"no node {name!r}; there are {', '.join(node.name for node in self.nodes)}")

    def pods_of(self, node: Node) -> tuple[Pod, ...]:
        """Give the pods that run on one node."""
        return tuple(pod for pod in self.pods if pod.node == node.name)

    @property
    def netns_names(self) -> tuple[str, ...]:
        """The name of every namespace, the switch's first."""
        members: tuple[Node | Pod, ...] = (*self.nodes, *self.pods)
        return (self.uplink_netns, *(member.netns for member in members))


def prefix(run: str) -> str:
    """Give the beginning of the names of all namespaces of a run. Run ids hold no dash."""
    return f"lv{run}-"


def build_topology(objects: Iterable[KubeObject], run: str) -> Topology:
    """Lay out the nodes and pods of a scenario.

    Raises:
        ObjectError: a field is missing or malformed, two objects claim the same address or name,
            or a pod names a node that is not there.
    """
    objects = tuple(objects)
    claims = _Claims()
    nodes = tuple(_node(one, run, claims) for one in objects if one.kind == "Node")
    node_names = {node.name for node in nodes}
    pods = tuple(_pod(one, run, node_names, claims) for one in objects if one.kind == "Pod")
    return Topology(uplink_netns=f"{prefix(run)}{UPLINK}", nodes=nodes, pods=pods)


class _Claims:
    """Who holds which address or name: each may be held once."""

    def __init__(self) -> None:
        self._holders: dict[object, KubeObject] = {}

    def take(self, thing: object, owner: KubeObject, field: Field) -> None:
        holder = self._holders.get(thing)
        if holder is not None:
            raise field.error(f"taken by {holder.kind} {holder.key}")
        self._holders[thing] = owner


def _node(source: KubeObject, run: str, claims: _Claims) -> Node:
    if source.name == UPLINK:
        raise source["metadata"]["name"].error("the lab keeps this name for its switch")
    listed = source["status"]["addresses"]
    fields = [one["address"] for one in listed.each() if one["type"].text() == "InternalIP"]
    if not fields:
        raise listed.error("want an entry of type InternalIP")
    netns = f"{prefix(run)}{source.name}"
    claims.take(netns, source, source["metadata"]["name"])
    return Node(name=source.name, netns=netns, addresses=_addresses(fields, source, claims))


def _pod(source: KubeObject, run: str, node_names: set[str], claims: _Claims) -> Pod:
    spec = source["spec"]
    node = spec["nodeName"].text()
    if node not in node_names:
        raise spec["nodeName"].error(f"want one of the nodes {', '.join(sorted(node_names))}")
    if spec["hostNetwork"].flag():
        raise spec["hostNetwork"].error("the lab gives each pod a namespace of its own")
    listed = source["status"]["podIPs"]
    fields = [one["ip"] for one in listed.each()]
    if not fields:
        raise listed.error("want at least one address")
    qualifier = "" if source.namespace == "default" else f".{source.namespace}"
    netns = f"{prefix(run)}{node}-{source.name}{qualifier}"
    claims.take(netns, source, source["metadata"]["name"])
    digest = sha256(source.key.encode()).hexdigest()
    return Pod(
        namespace=source.namespace,
        name=source.name,
        node=node,
        netns=netns,
        interface=_interface(source, node, digest, claims),
        mac=_mac("0a:58", digest),
        host_mac=_mac("0a:59", digest),
        addresses=_addresses(fields, source, claims),
        containers=tuple(_container(one) for one in spec["containers"].each()),
    )


def _addresses(fields: list[Field], owner: KubeObject, claims: _Claims) -> tuple[Address, ...]:
    for field in fields:
        claims.take(field.address(), owner, field)
    return tuple(field.address() for field in fields)


def _interface(source: KubeObject, node: str, digest: str, claims: _Claims) -> str:
    field = source["metadata"]["annotations"][INTERFACE_ANNOTATION]
    name = field.text(default=f"lxc{digest[:10]}")
    if len(name.encode()) > INTERFACE_NAME_BYTES or "/" in name or " " in name:
        raise field.error(f"want an interface name of at most {INTERFACE_NAME_BYTES} bytes")
    if name in {"lo", UPLINK}:
        raise field.error("this interface has another use in every node")
    claims.take((node, name), source, field)
    return name


def _mac(head: str, digest: str) -> str:
    # The first byte, 0a, says: one station, address given out locally.
    return ":".join([head, *(digest[place : place + 2] for place in range(0, 8, 2))])


def _container(field: Field) -> Container:
    command = tuple(word.text() for word in (*field["command"].each(), *field["args"].each()))
    ports = tuple(_port(port) for port in field["ports"].each())
    return Container(name=field["name"].text(), command=command, ports=ports)


def _port(field: Field) -> tuple[str, int]:
    protocol = field["protocol"].text(default="TCP")
    if protocol not in PROTOCOLS:
        raise field["protocol"].error(f"want one of {', '.join(PROTOCOLS)}")
    return protocol, field["containerPort"].port()
