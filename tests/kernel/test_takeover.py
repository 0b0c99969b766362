"""What outlives a server: from one to the next, and from one version of the maps to another."""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bpf
from observer.kernel import abi, inherit, layout, links, pins, syscall
from observer.kernel.counters import Counters, EventAccounts, Untold
from observer.kernel.datapath import Datapath, DatapathSettings
from observer.kernel.errors import KernelError
from observer.kernel.hold import hold, node_folder
from observer.kernel.netns import inside
from observer.kernel.rings import PerfRings
from observer.kernel.source import enum_names
from policy.entries import Direction
from tests.kernel.bed import Bed, make_bed, rule
from tests.kernel.frames import UDP, Frame
from tests.kernel.namespaces import ip, netns_path

pytestmark = pytest.mark.kernel

HOUR_NS = 3600 * 1_000_000_000
UNKNOWN = Frame(
    source=IPv4Address("10.0.0.1"), destination=IPv4Address("10.0.0.2"), protocol=UDP
).encode()


@pytest.fixture
def node_name() -> Iterator[str]:
    name = f"lkt{os.getpid()}.takeover"
    yield name
    pins.take(node=name, bpffs=pins.DEFAULT_BPFFS).remove()


def load(node: str) -> Datapath:
    return Datapath.load(node=node, conntrack_entries=1024)


def produce(datapath: Datapath, count: int) -> None:
    """Let the programs write so many events: drops of packets from an unknown interface."""
    syscall.run_program(datapath._programs["from_endpoint"], UNKNOWN, repeat=count)


def next_accounts(datapath: Datapath) -> EventAccounts:
    """What the next process finds."""
    counters = Counters(datapath._maps, cpus=datapath._cpus)
    return EventAccounts(counters, told_fd=datapath._maps["told"])


def test_events_that_nobody_read_are_told_once(node_name: str) -> None:
    datapath = load(node_name)
    first = datapath.accounts
    assert first.untold() == Untold(count=0, since_wall_ns=None)
    produce(datapath, 7)
    assert (first.unread(), first.unread()) == (7, 0)
    # killed before it told
    second = next_accounts(datapath)
    assert second.untold() == Untold(count=7, since_wall_ns=None)
    second.told(7)
    third = next_accounts(datapath)
    found = third.untold()
    assert found.count == 0
    assert found.since_wall_ns is not None
    produce(datapath, 2)
    datapath.close()
    fourth = load(node_name)
    assert fourth.accounts.untold().count == 2
    fourth.close()


def test_what_a_killed_server_left_in_its_rings_is_told(node_name: str) -> None:
    with closing(load(node_name)) as datapath:
        rings = PerfRings(install=datapath.install_ring)
        produce(datapath, 5)
        while (batch := rings.take()) is None:
            pass
        taken = len(batch)
        datapath.accounts.told(taken)
        produce(datapath, 3)
        rings.close()
        assert next_accounts(datapath).untold().count == 8 - taken


def test_samples_of_others_in_the_rings_hide_no_loss(node_name: str) -> None:
    with closing(load(node_name)) as datapath:
        datapath.accounts.told(100)
        second = next_accounts(datapath)
        assert second.untold().count == 0
        second.told(0)
        produce(datapath, 4)
        assert next_accounts(datapath).untold().count == 4


def test_a_child_without_its_parent_does_nothing() -> None:
    job = '{"maps_folder": "/x", "programs_folder": "/x", "connection_entries": 1, "parent": 1}'
    child = subprocess.run(
        [sys.executable, "-m", "observer.kernel.compile"],
        input=job, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (child.returncode, child.stderr) == (1, "the parent has gone\n")


def test_who_comes_waits_for_the_child_of_who_was_killed(node_name: str) -> None:
    # it takes the pins, starts a child that inherits the lock, and is gone; the child ends later
    killed = f"""
import os, subprocess, sys
from observer.kernel import pins
held = pins.take(node={node_name!r}, bpffs=pins.DEFAULT_BPFFS)
subprocess.Popen(["cat"], pass_fds=[held.lock_fd])
os.kill(os.getpid(), 9)
"""
    with subprocess.Popen([sys.executable, "-c", killed], stdin=subprocess.PIPE) as server:
        assert server.stdin is not None
        server.wait(60)
        folder = node_folder(node=node_name, bpffs=pins.DEFAULT_BPFFS)
        with pytest.raises(KernelError, match=f"process {server.pid} serves node"):
            hold(folder, node=node_name)
        threading.Timer(0.1, server.stdin.close).start()
        load(node_name).close()


@pytest.mark.parametrize("is_same_index", [True, False], ids=["same number", "other number"])
def test_an_interface_is_deleted_and_made_again(bed: Bed, is_same_index: bool) -> None:
    def make(index: int) -> int:
        peer = ("type", "veth", "peer", "name", "again1")
        ip("link", "add", "again0", "index", str(index), *peer, netns=bed.node)
        with inside(netns_path(bed.node)):
            return socket.if_nametoindex("again0")

    first = make(5001)
    bed.datapath.attach(first)
    ip("link", "del", "again0", netns=bed.node)
    second = make(5001 if is_same_index else 5002)
    assert second not in bed.datapath.attached()
    bed.datapath.attach(second)
    assert second in bed.datapath.attached()
    bed.datapath.close()
    bed.datapath = Datapath.load(node=bed.node, netns=netns_path(bed.node))
    for ring in bed.rings._rings:
        bed.datapath.install_ring(ring.cpu, ring.fd)
    assert second in bed.datapath.attached()
    ip("link", "del", "again0", netns=bed.node)
    bed.datapath.detach(second)


class Older:
    """An earlier version: other layouts of connections, endpoints and counters, its own programs.

    A field before those that stay, one that is no more, a counter before the others.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(bpf.FOLDER, folder / "bpf", ignore=shutil.ignore_patterns("__pycache__"))
        self._edit("layout.h", "\t__u64 syn_ns;", "\t__u64 gone[2];\n\t__u64 syn_ns;")
        self._edit("layout.h", "struct connection) == 152", "struct connection) == 168")
        self._edit("layout.h", "\t__u32 ifindex;", "\t__u64 gone;\n\t__u32 ifindex;")
        self._edit("layout.h", "struct endpoint) == 56", "struct endpoint) == 64")
        self._edit("counters.h", "enum counter {", "enum counter {\n\tCOUNTER_GONE,")

    def put_on(self, patch: pytest.MonkeyPatch) -> None:
        connection = _with(layout.CONNECTION, "syn_ns", ("gone", "u8", 2))
        endpoint = _with(layout.ENDPOINT, "ifindex", ("gone", "u8"))
        counters = enum_names(self.folder / "bpf/include/counters.h", "counter", "COUNTER_")
        patch.setattr(layout, "CONNECTION", connection)
        patch.setattr(layout, "ENDPOINT", endpoint)
        patch.setattr(bpf, "INCLUDE", self.folder / "bpf/include")
        older = abi.layouts.__wrapped__()
        assert older["counters"].names == counters
        patch.setattr(abi, "layouts", lambda: older)
        patch.chdir(self.folder)  # the child that compiles finds this `bpf` first

    def _edit(self, header: str, old: str, new: str) -> None:
        path = self.folder / "bpf/include" / header
        text = path.read_text()
        assert text.count(old) == 1, old
        path.write_text(text.replace(old, new))


def _with(dtype: np.dtype[Any], before: str, field: tuple[Any, ...]) -> np.dtype[Any]:
    """The layout with one more field before another."""
    fields = [(name, each[0]) for name, each in (dtype.fields or {}).items()]
    at = [name for name, _ in fields].index(before)
    return np.dtype([*fields[:at], field, *fields[at:]])


@pytest.fixture
def older_bed(tmp_path: Path) -> Iterator[Bed]:
    """A node that an earlier version serves; b lets only a's UDP in, a only answers."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            Older(tmp_path).put_on(patch)
            bed = stack.enter_context(make_bed(suffix="v"))
            bed.datapath.configure(DatapathSettings(report_interval_ns=HOUR_NS))
            bed.enforce(bed.a, ingress=True)
            bed.enforce(bed.b, ingress=True)
            bed.rules(
                bed.b, rule(Direction.INGRESS, identity=bed.a.identity, protocol=UDP, port=80)
            )
        for pod in (bed.a, bed.b):
            pod.received()
        yield bed


def upgrade(bed: Bed) -> None:
    bed.datapath.close()
    bed.datapath = Datapath.load(
        node=bed.node,
        netns=netns_path(bed.node),
        settings=DatapathSettings(report_interval_ns=HOUR_NS),
    )
    for ring in bed.rings._rings:
        bed.datapath.install_ring(ring.cpu, ring.fd)


def asks(bed: Bed) -> Frame:
    return Frame(
        source=bed.a.ipv4,
        destination=bed.b.ipv4,
        protocol=UDP,
        source_port=4000,
        destination_port=80,
    )


def test_another_layout_takes_over_all_there_is(older_bed: Bed) -> None:
    bed = older_bed
    for _ in range(4):
        bed.a.send(asks(bed))
    bed.b.send(asks(bed).reply())
    bed.settle(lambda: bed.datapath.counters()["to_endpoint"] == 5)
    before = bed.datapath.counters()
    produced = sum(count for name, count in before.items() if name.startswith("produced_"))
    old_root = bed.datapath._pins.root
    upgrade(bed)
    assert bed.datapath._pins.root != old_root
    assert not old_root.exists()
    assert bed.datapath.endpoint_ids == {bed.a.endpoint_id, bed.b.endpoint_id}
    pods = (bed.a, bed.b)
    assert bed.datapath.endpoint_interfaces() == {pod.ifindex: pod.endpoint_id for pod in pods}
    assert bed.datapath.endpoint_addresses() == {
        layout.address_bytes(address): pod.endpoint_id
        for pod in pods
        for address in (pod.ipv4, pod.ipv6)
    }
    assert bed.datapath.attached() == {bed.a.ifindex, bed.b.ifindex}
    assert len(bed.datapath.networks()) == 8
    after = bed.datapath.counters()
    assert {name: count for name, count in before.items() if count} == {
        name: count for name, count in after.items() if count
    }
    assert bed.datapath.accounts.untold().count == produced > 0
    assert [row["packets"] for row in bed.connections()] == [5]
    bed.a.send(asks(bed))
    bed.b.send(asks(bed).reply())
    bed.b.send(asks(bed).reply(source_port=81))  # not an answer: a lets nothing else in
    events = bed.events(5)
    told = [each for each in events if not each.name.startswith(("verdict", "drop"))]
    assert [each.name for each in events if each.name.startswith("drop")] == ["drop 133"]
    bed.datapath.configure(DatapathSettings(other_idle_timeout_ns=0))
    assert bed.datapath.sweep(4096).removed == 1
    told += bed.take()
    assert sum(each.packets for each in told) == 7


class Talk(threading.Thread):
    """Pod a asks pod b, and b answers, again and again; what was sent must arrive."""

    def __init__(self, bed: Bed) -> None:
        super().__init__()
        self._bed = bed
        self._done = threading.Event()
        self.sent = 0
        self.arrived = 0

    def run(self) -> None:
        ask, answer = asks(self._bed), asks(self._bed).reply()
        while not self._done.wait(0.001):
            self._bed.a.send(ask)
            self._bed.b.send(answer)
            self.sent += 2
            self._drain()

    def stop(self) -> None:
        self._done.set()
        self.join()
        self._bed.settle(self._all_arrived)

    def _drain(self) -> None:
        self.arrived += len(self._bed.a.received()) + len(self._bed.b.received())

    def _all_arrived(self) -> bool:
        self._drain()
        return self.arrived >= self.sent


def test_no_packet_is_lost_between_layouts(older_bed: Bed) -> None:
    talk = Talk(older_bed)
    talk.start()
    upgrade(older_bed)
    talk.stop()
    assert talk.arrived == talk.sent > 0
    counters = older_bed.datapath.counters()
    assert counters["dropped"] == 0
    assert counters["to_endpoint"] == talk.sent
    assert [row["packets"] for row in older_bed.connections()] == [talk.sent]


def killed_once(function: Callable[..., object]) -> Callable[..., object]:
    """The same, but as if the process was killed after its first call."""

    def called(*args: object, **kwargs: object) -> object:
        function(*args, **kwargs)
        raise KeyboardInterrupt

    return called


def test_an_upgrade_that_is_killed_again_and_again_is_finished(older_bed: Bed) -> None:
    """Under traffic, after each of its steps; no packet is lost, denied or counted twice."""
    steps: list[tuple[object, str]] = [
        (inherit, "share"),
        (inherit, "copy"),
        (links.Links, "_adopt"),
        (inherit, "_bring_connections"),
        (inherit, "_carry_counts"),
    ]
    talk = Talk(older_bed)
    talk.start()
    for owner, name in steps:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, killed_once(getattr(owner, name)))
            with pytest.raises(KeyboardInterrupt):
                upgrade(older_bed)
    upgrade(older_bed)
    talk.stop()
    assert talk.arrived == talk.sent
    assert older_bed.datapath.counters()["to_endpoint"] == talk.sent
    assert [row["packets"] for row in older_bed.connections()] == [talk.sent]
    assert older_bed.datapath._pins.earlier() == ()


def test_layouts_survive_being_written() -> None:
    assert abi.read(abi.text()) == abi.layouts()
    assert re.fullmatch(rf"v{abi.VERSION}-[0-9a-f]{{8}}", abi.folder_name())


def test_fields_that_mean_something_else_are_not_taken_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = abi.text()
    monkeypatch.setattr(abi, "VERSION", abi.VERSION + 1)
    assert abi.read(text) == {}


def test_a_folder_that_says_nothing_gives_its_links_alone(node_name: str) -> None:
    held = pins.take(node=node_name, bpffs=pins.DEFAULT_BPFFS)
    (held.root.parent / "v0" / "links").mkdir(parents=True)
    held.release()
    datapath = load(node_name)
    assert datapath._pins.earlier() == ()
    datapath.close()


def test_layouts_that_cannot_be_read_are_named(node_name: str) -> None:
    held = pins.take(node=node_name, bpffs=pins.DEFAULT_BPFFS)
    (held.root.parent / "v0" / "maps").mkdir(parents=True)
    info = syscall.MapInfo(kind=abi.ARRAY, key_bytes=4, value_bytes=8, max_entries=1)
    fd = syscall.map_create(info)
    syscall.pin(fd, held.root.parent / "v0" / "maps" / inherit.LAYOUT_MAP)
    os.close(fd)
    held.release()
    with pytest.raises(KernelError, match=r"read layouts: .*: remove .*/v0"):
        load(node_name)
