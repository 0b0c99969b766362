"""What is asked of a node's network, in namespaces made for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from observer.kernel.errors import KernelError
from observer.kernel.netns import inside
from server.checks import company, network
from server.checks.finding import Probe, State
from server.settings import Settings
from tests.server.wires import WiredNode, ip, wired_node

pytestmark = pytest.mark.kernel


@pytest.fixture
def node() -> Iterator[WiredNode]:
    with wired_node("chk") as node:
        yield node


@pytest.fixture
def settings(node: WiredNode) -> Settings:
    return Settings(netns=node.path)


def sysctl(node: WiredNode, name: str, value: str) -> None:
    with inside(node.path):
        (Path("/proc/sys/net") / name.replace(".", "/")).write_text(value)


def test_forwarding(node: WiredNode, settings: Settings) -> None:
    sysctl(node, "ipv4.ip_forward", "0")
    sysctl(node, "ipv6.conf.all.forwarding", "1")
    found = network.forwarding(settings)
    assert (found.state, found.remedy) == (State.WARNING, "sysctl -w net.ipv4.ip_forward=1")
    sysctl(node, "ipv4.ip_forward", "1")
    assert network.forwarding(settings).state is State.OK
    sysctl(node, "ipv6.conf.all.forwarding", "0")
    assert "net.ipv6.conf.all.forwarding=1" in network.forwarding(settings).remedy


def test_ipv6(node: WiredNode, settings: Settings) -> None:
    assert network.ipv6(settings).state is State.OK
    sysctl(node, "ipv6.conf.all.disable_ipv6", "1")
    found = network.ipv6(settings)
    assert (found.state, found.remedy) == (
        State.WARNING,
        "sysctl -w net.ipv6.conf.all.disable_ipv6=0",
    )


def test_reverse_path(node: WiredNode, settings: Settings) -> None:
    node.add_pod("a", "10.9.0.1")
    for conf in ("all", "default", "lo", "lxc-a"):
        sysctl(node, f"ipv4.conf.{conf}.rp_filter", "0")
    assert network.reverse_path(settings).state is State.OK
    sysctl(node, "ipv4.conf.lxc-a.rp_filter", "1")
    found = network.reverse_path(settings)
    assert found.state is State.WARNING
    assert found.found.startswith("strict: lxc-a: ")
    # the remedy helps: the larger of the two values counts
    sysctl(node, "ipv4.conf.all.rp_filter", "2")
    assert network.reverse_path(settings).state is State.OK
    sysctl(node, "ipv4.conf.all.rp_filter", "1")
    assert "strict: lo, lxc-a: " in network.reverse_path(settings).found


def test_mtu(node: WiredNode, settings: Settings) -> None:
    node.add_pod("a", "10.9.0.1")
    assert network.mtu(settings).found == "no default route; 1 veth interfaces"
    ip("link", "add", "up0", "mtu", "1400", "type", "bridge", netns=node.name)
    ip("link", "set", "up0", "up", netns=node.name)
    ip("route", "add", "default", "dev", "up0", netns=node.name)
    found = network.mtu(settings)
    assert found.state is State.WARNING
    assert found.found == "up0 takes 1400 bytes, above it: lxc-a"
    ip("link", "set", "lxc-a", "mtu", "1400", netns=node.name)
    assert network.mtu(settings).found == "1400 bytes on up0, pods not above it"


def test_an_uplink_of_ipv6_counts(node: WiredNode, settings: Settings) -> None:
    ip("link", "add", "up0", "mtu", "1300", "type", "bridge", netns=node.name)
    ip("link", "set", "up0", "up", netns=node.name)
    ip("-6", "route", "add", "default", "dev", "up0", netns=node.name)
    assert network.mtu(settings).found.startswith("1300 bytes on up0")


def test_cilium_interfaces_are_leftovers(
    node: WiredNode, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(company, "_PROCESSES", tmp_path)
    assert company.cilium(settings).state is State.OK
    ip("link", "add", "cilium_host", "type", "bridge", netns=node.name)
    found = company.cilium(settings)
    assert (found.state, found.found) == (State.WARNING, "not running, but left: cilium_host")


@pytest.mark.parametrize(
    "probe", [network.ipv6, network.forwarding, network.reverse_path, network.mtu, company.cilium]
)
def test_a_namespace_that_vanished_is_named(probe: Probe) -> None:
    with pytest.raises(KernelError, match=r"enter network namespace: .*/run/netns/nowhere"):
        probe(Settings(netns=Path("/run/netns/nowhere")))
