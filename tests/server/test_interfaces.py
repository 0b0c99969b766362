"""Pictures of real interfaces, and notices of their changes."""

import asyncio
import errno
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace

import pytest

from observer.kernel.errors import KernelError
from server.interfaces import NodeInterfaces
from server.netlink import ATTRIBUTE, HEADER, attributes, parse
from tests.server.wires import WiredNode, ip, wired_node


@pytest.fixture
def node() -> Iterator[WiredNode]:
    with wired_node("if") as node:
        yield node


@pytest.fixture
def interfaces(node: WiredNode) -> Iterator[NodeInterfaces]:
    found = NodeInterfaces(node.path)
    yield found
    found.close()


@pytest.mark.kernel
async def test_pods_are_found_by_route_and_peer(
    node: WiredNode, interfaces: NodeInterfaces
) -> None:
    node.add_pod("a", "10.9.0.1")
    node.add_pod("b", "10.9.0.2")
    ip("-6", "route", "add", "fd00:9::2/128", "dev", "lxc-b", netns=node.name)
    ip("route", "add", "10.9.1.0/24", "dev", "lxc-b", netns=node.name)
    ip("addr", "add", "172.30.0.1/24", "dev", "lxc-a", netns=node.name)
    found = await interfaces.read()
    by_name = {link.name: link for link in found.links.values()}
    assert by_name["lxc-a"].peer_mac == node.mac("a")
    assert by_name["lxc-b"].peer_mac == node.mac("b")
    assert found.routes == {
        ip_address("10.9.0.1"): by_name["lxc-a"].index,
        ip_address("10.9.0.2"): by_name["lxc-b"].index,
        ip_address("fd00:9::2"): by_name["lxc-b"].index,
    }
    assert ip_address("172.30.0.1") in found.addresses
    assert not any(address.is_loopback for address in found.addresses)


@pytest.mark.kernel
async def test_kinds_are_told(node: WiredNode, interfaces: NodeInterfaces) -> None:
    node.add_pod("a", "10.9.0.1")
    ip("link", "add", "br0", "type", "bridge", netns=node.name)
    ip("tuntap", "add", "tun0", "mode", "tun", netns=node.name)
    ip("tuntap", "add", "tap0", "mode", "tap", netns=node.name)
    found = await interfaces.read()
    assert {each.name: (each.kind, each.has_ethernet) for each in found.links.values()} == {
        "lo": ("", True),
        "lxc-a": ("veth", True),
        "br0": ("bridge", True),
        "tun0": ("tun", False),
        "tap0": ("tun", True),
    }
    assert [each.name for each in found.links.values() if each.is_loopback] == ["lo"]


@pytest.mark.kernel
async def test_neighbours_stand_in_for_a_peer_that_is_not_to_be_had(
    node: WiredNode, interfaces: NodeInterfaces
) -> None:
    ip("link", "add", "br0", "type", "bridge", netns=node.name)
    ip("link", "set", "br0", "up", netns=node.name)
    ip("route", "add", "10.9.0.3/32", "dev", "br0", netns=node.name)
    neighbour = ("neigh", "add", "10.9.0.3", "lladdr", "02:00:00:00:00:07", "dev", "br0")
    await interfaces.read()
    ip(*neighbour, netns=node.name)
    await asyncio.wait_for(interfaces.changed(), 20)
    found = await interfaces.read()
    index = found.routes[ip_address("10.9.0.3")]
    assert found.neighbours == {(index, ip_address("10.9.0.3")): bytes.fromhex("020000000007")}


@pytest.mark.kernel
async def test_changes_are_told(node: WiredNode, interfaces: NodeInterfaces) -> None:
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(interfaces.changed())
        node.add_pod("a", "10.9.0.1")
        await asyncio.wait_for(waiting, 20)
    assert ip_address("10.9.0.1") in (await interfaces.read()).routes
    node.remove_pod("a")
    await asyncio.wait_for(interfaces.changed(), 20)
    assert not (await interfaces.read()).routes


@pytest.mark.kernel
async def test_a_pod_that_vanishes_between_the_questions_is_no_error(
    node: WiredNode, interfaces: NodeInterfaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.add_pod("a", "10.9.0.1")
    get = interfaces._requests.get

    def get_late(kind: int, body: bytes) -> object:
        node.remove_pod("a")
        return get(kind, body)

    monkeypatch.setattr(interfaces._requests, "get", get_late)
    found = await interfaces.read()
    assert [link.peer_mac for link in found.links.values()] == [None, None]


def test_a_namespace_that_is_not_there_is_named() -> None:
    with pytest.raises(KernelError, match=r"enter network namespace: .*: /run/netns/nowhere"):
        NodeInterfaces(Path("/run/netns/nowhere"))


@pytest.mark.parametrize("length", range(24))
def test_cut_messages_are_read_as_far_as_they_go(length: int) -> None:
    message = HEADER.pack(24, 16, 0, 1, 0) + ATTRIBUTE.pack(8, 3) + b"lo\0\0"
    found = list(parse(message[:length]))
    assert found == []
    [(whole, _, _)] = parse(message)
    assert attributes(whole.body, 0) == {3: b"lo\0\0"}
    assert attributes(whole.body[:7], 0) == {}
    assert attributes(b"\0\0\0\0", 0) == {}


@pytest.mark.kernel
async def test_only_who_is_deleted_becomes_another(
    node: WiredNode, interfaces: NodeInterfaces
) -> None:
    node.add_pod("a", "10.9.0.1")
    node.add_pod("b", "10.9.0.2")
    ip("link", "add", "br0", "type", "bridge", netns=node.name)

    async def incarnations() -> dict[str, int]:
        await asyncio.wait_for(interfaces.changed(), 20)
        return {each.name: each.incarnation for each in (await interfaces.read()).links.values()}

    before = await incarnations()
    # a port that leaves its bridge is told as a deletion, too
    ip("link", "set", "lxc-b", "master", "br0", netns=node.name)
    ip("link", "set", "lxc-b", "nomaster", netns=node.name)
    index = str((await interfaces.read()).routes[ip_address("10.9.0.1")])
    ip("link", "del", "lxc-a", netns=node.name)
    ip("link", "add", "lxc-a", "index", index, "type", "bridge", netns=node.name)
    after = await incarnations()
    assert after["lxc-a"] != before["lxc-a"]
    assert {**after, "lxc-a": 0} == {**before, "lxc-a": 0}


@pytest.mark.kernel
async def test_where_notices_were_lost_every_device_may_be_another(
    node: WiredNode, interfaces: NodeInterfaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.add_pod("a", "10.9.0.1")
    before = await interfaces.read()
    waiting = iter([OSError(errno.ENOBUFS, "No buffer space available"), BlockingIOError()])

    def recv(_: int) -> bytes:
        raise next(waiting)

    with monkeypatch.context() as patched:
        patched.setattr(interfaces, "_notices", SimpleNamespace(recv=recv))
        assert interfaces._drain()
    after = await interfaces.read()
    assert before.links.keys() == after.links.keys()
    for index, link in after.links.items():
        assert link.incarnation != before.links[index].incarnation
