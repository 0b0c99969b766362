"""Who else is on the node: Cilium, a server that runs, what an earlier one left."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from observer.kernel import layout, pins
from observer.kernel.cleanup import node_folder, remove_node
from observer.kernel.datapath import Datapath
from server.checks import company
from server.checks.finding import State
from server.settings import Settings

NODE = f"lvt{os.getpid()}.company"
SETTINGS = Settings(node_name=NODE)
FOLDER = node_folder(node=NODE, bpffs=pins.DEFAULT_BPFFS)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Cilium, whose processes are folders in the returned one."""
    monkeypatch.setattr(company, "_PROCESSES", tmp_path / "proc")
    monkeypatch.setattr(company, "_CILIUM_SOCKET", tmp_path / "cilium.sock")
    return tmp_path


def test_no_cilium(bare: Path) -> None:
    assert company.cilium(Settings(bpffs=bare)).state is State.OK


def test_its_agent_is_in_the_way(bare: Path) -> None:
    for number, name in (("1", "init"), ("77", "cilium-agent")):
        (bare / "proc" / number).mkdir(parents=True)
        (bare / "proc" / number / "comm").write_text(f"{name}\n")
    found = company.cilium(Settings(bpffs=bare))
    assert (found.state, found.found) == (State.BLOCKER, "runs: process 77")


def test_its_socket_is_in_the_way(bare: Path) -> None:
    (bare / "cilium.sock").write_text("")
    assert company.cilium(Settings(bpffs=bare)).state is State.BLOCKER


def test_its_pins_are_leftovers(bare: Path) -> None:
    (bare / "tc/globals").mkdir(parents=True)
    for number in range(7):
        (bare / f"tc/globals/cilium_{number}").write_text("")
    found = company.cilium(Settings(bpffs=bare))
    assert found.state is State.WARNING
    assert found.found.endswith(" and 2 more")


def test_nothing_left(tmp_path: Path) -> None:
    found = company.earlier_server(Settings(node_name="x", bpffs=tmp_path))
    assert (found.state, found.found) == (State.OK, "nothing left of node x")


@pytest.fixture
def datapath() -> Iterator[Datapath]:
    loaded = Datapath.load(node=NODE, conntrack_entries=1024)
    yield loaded
    loaded.close()
    remove_node(node=NODE, bpffs=pins.DEFAULT_BPFFS)


@pytest.mark.kernel
def test_a_server_that_runs(datapath: Datapath) -> None:
    found = company.earlier_server(SETTINGS)
    assert found.state is State.BLOCKER
    assert f"process {os.getpid()} serves node {NODE}" in found.found


@pytest.fixture
def left(datapath: Datapath) -> Iterator[None]:
    """As after SIGKILL: the pins stay, the lock goes."""
    datapath._pins.release()
    yield
    datapath._pins = pins.Pins(root=FOLDER / "v1", lock_fd=os.open(FOLDER, os.O_RDONLY))


@pytest.mark.kernel
@pytest.mark.usefixtures("left")
def test_what_a_server_left_is_taken_over() -> None:
    found = company.earlier_server(SETTINGS)
    assert found.state is State.OK
    assert found.found == f"{FOLDER}/v{pins.ABI}: programs on 0 interfaces will be taken over"
    # asking has not taken the lock for good
    assert company.earlier_server(SETTINGS).state is State.OK


@pytest.mark.kernel
@pytest.mark.usefixtures("left")
def test_maps_of_another_layout_are_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    kind, key, _ = pins.LAYOUTS["policy"]
    monkeypatch.setitem(pins.LAYOUTS, "policy", (kind, key, layout.ENDPOINT))
    found = company.earlier_server(SETTINGS)
    assert found.state is State.BLOCKER
    assert "another version made it" in found.found
    assert found.remedy == f"hubble-server cleanup --node-name {NODE} --bpffs /sys/fs/bpf"


@pytest.mark.kernel
@pytest.mark.usefixtures("left")
def test_another_version_left_its_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "ABI", pins.ABI + 1)
    found = company.earlier_server(SETTINGS)
    assert found.state is State.WARNING
    assert found.found == "other versions: v1: their programs run beside ours"
    assert "hubble-server cleanup" in found.remedy


@pytest.mark.kernel
@pytest.mark.usefixtures("left")
def test_another_version_beside_ours() -> None:
    (FOLDER / "v0").mkdir()
    found = company.earlier_server(SETTINGS)
    assert (found.state, found.found) == (
        State.WARNING,
        "other versions: v0: their programs run beside ours",
    )
