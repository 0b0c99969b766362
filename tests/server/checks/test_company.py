"""Who else is on the node: Cilium, a server that runs, what an earlier one left."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from observer.kernel import abi, pins
from observer.kernel.cleanup import remove_node
from observer.kernel.datapath import Datapath
from observer.kernel.hold import node_folder
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


def test_beside_its_agent_one_may_look(bare: Path) -> None:
    (bare / "cilium.sock").write_text("")
    settings = Settings(bpffs=bare, mode="observe", interface=("lxc*",))
    assert company.cilium(settings).state is State.OK


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


@pytest.mark.kernel
def test_what_a_server_left_is_taken_over(datapath: Datapath) -> None:
    datapath.close()  # as after SIGKILL: the pins stay, the lock goes
    (FOLDER / "v0").mkdir()
    for _ in range(2):  # asking does not take the lock for good
        found = company.earlier_server(SETTINGS)
        assert found.state is State.OK
        assert found.found == (
            f"{FOLDER}: v0, {abi.folder_name()}: programs on 0 interfaces will be taken over"
        )
