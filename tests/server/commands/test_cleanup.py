"""Taking away what a server has left: all of it, again and again, and nothing of a server alive."""

import os
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from observer.kernel import abi, syscall
from observer.kernel.datapath import Datapath, EndpointEntry
from observer.kernel.errors import KernelError
from observer.kernel.hold import node_folder
from observer.kernel.netns import inside
from observer.kernel.pins import DEFAULT_BPFFS
from server.commands.cleanup import main
from tests.server.wires import WiredNode, wired_node

NODE = f"lvt{os.getpid()}.cleanup"
FOLDER = node_folder(node=NODE, bpffs=DEFAULT_BPFFS)
ARGV = ["--node-name", NODE]


@pytest.fixture
def node() -> Iterator[WiredNode]:
    with wired_node("cl") as node:
        yield node


@pytest.fixture
def datapath(node: WiredNode) -> Iterator[Datapath]:
    """Programs on pods `a` and `b`, as a server has them."""
    node.add_pod("a", "10.9.0.1")
    node.add_pod("b", "10.9.0.2")
    loaded = Datapath.load(node=NODE, netns=node.path, conntrack_entries=1024)
    for name in ("a", "b"):
        index = ifindex(node, name)
        loaded.upsert_endpoint(endpoint(index))
        loaded.attach(index)
    yield loaded
    if FOLDER.exists():
        main(ARGV, {})


def ifindex(node: WiredNode, pod: str) -> int:
    with inside(node.path):
        return socket.if_nametoindex(f"lxc-{pod}")


def endpoint(index: int) -> EndpointEntry:
    return EndpointEntry(
        endpoint_id=index,
        identity=256,
        ifindex=index,
        ipv4=IPv4Address("10.9.0.1"),
        ipv6=None,
        mac=bytes(6),
        host_mac=bytes(6),
        enforce_ingress=False,
        enforce_egress=False,
    )


@pytest.mark.kernel
def test_it_refuses_while_a_server_holds_the_node(datapath: Datapath) -> None:
    with pytest.raises(KernelError, match=rf"process {os.getpid()} serves node {NODE}"):
        main(ARGV, {})
    assert len(datapath.attached()) == 2
    datapath.close()


@pytest.mark.kernel
def test_everything_goes_and_it_says_what(
    node: WiredNode, datapath: Datapath, capsys: pytest.CaptureFixture[str]
) -> None:
    datapath.close()
    links = [syscall.open_pin(pin) for pin in FOLDER.glob("*/links/*")]
    assert all(syscall.link_ifindex(fd) for fd in links)
    assert main(ARGV, {}) == 0
    indexes = sorted(ifindex(node, name) for name in ("a", "b"))
    told = capsys.readouterr().out
    assert f"took programs off interfaces {indexes[0]}, {indexes[1]}; removed 3 programs" in told
    assert f"removed {FOLDER}/{abi.folder_name()}\n" in told
    assert not FOLDER.exists()
    # detached, not only unpinned: these descriptors still hold the links
    assert [syscall.link_ifindex(fd) for fd in links] == [0] * 4
    for fd in links:
        os.close(fd)
    assert main(ARGV, {}) == 0
    assert capsys.readouterr().out == f"node {NODE}: nothing to remove below {DEFAULT_BPFFS}\n"


@pytest.mark.kernel
def test_interfaces_that_are_gone_do_not_matter(
    node: WiredNode, datapath: Datapath, capsys: pytest.CaptureFixture[str]
) -> None:
    datapath.close()
    left = ifindex(node, "a")
    node.remove_pod("b")
    assert main(ARGV, {}) == 0
    assert f"took programs off interfaces {left}; " in capsys.readouterr().out
    assert not FOLDER.exists()


@pytest.mark.kernel
def test_folders_of_other_versions_go_as_well(datapath: Datapath) -> None:
    datapath.close()
    (FOLDER / "v0" / "maps" / "deeper").mkdir(parents=True)
    fd = syscall.open_pin(FOLDER / abi.folder_name() / "maps/policy")
    syscall.pin(fd, FOLDER / "v0/maps/deeper/policy")
    os.close(fd)
    assert main(ARGV, {}) == 0
    assert not FOLDER.exists()


@pytest.mark.kernel
def test_the_next_server_starts_anew(node: WiredNode, datapath: Datapath) -> None:
    datapath.close()
    assert main(ARGV, {}) == 0
    with_nothing = Datapath.load(node=NODE, netns=node.path, conntrack_entries=1024)
    assert with_nothing.endpoint_ids == with_nothing.attached() == frozenset()
    with_nothing.remove()


def test_no_bpffs_is_nothing_to_remove(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGV, "--bpffs", str(tmp_path / "none")], {}) == 0
    assert "nothing to remove" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_a_file_in_the_place_of_the_bpffs_is_named(tmp_path: Path) -> None:
    (tmp_path / "leavitt").write_text("")
    with pytest.raises(KernelError, match=rf"read pins: Not a directory: {tmp_path}/leavitt"):
        main([*ARGV, "--bpffs", str(tmp_path)], {})


def test_the_node_may_be_named_by_the_servers_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "server.yaml"
    # what the server would refuse does not matter here
    file.write_text(f"node-name: of-file\nbpffs: {tmp_path}/none\nstate: /nowhere\n")
    assert main(["--config", str(file)], {}) == 0
    assert f"node of-file: nothing to remove below {tmp_path}/none" in capsys.readouterr().out
