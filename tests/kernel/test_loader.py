"""Load, take over, attach to what comes and goes, and say clearly what is missing."""

import ctypes
import errno
import os
import socket
import struct
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from observer.kernel import compile as compiler
from observer.kernel import links, pins, syscall
from observer.kernel.datapath import Datapath, DatapathSettings
from observer.kernel.errors import KernelError
from observer.kernel.netns import inside
from observer.kernel.rings import PerfRings
from tests.kernel.bed import Bed
from tests.kernel.events import read_event
from tests.kernel.frames import ACK, TCP, UDP, Frame
from tests.kernel.namespaces import ip, netns_path

pytestmark = pytest.mark.kernel

PROGRAM_INFO_BYTES, VERIFIED_AT = 224, 216  # struct bpf_prog_info: verified_insns


@pytest.fixture
def node_name() -> str:
    return f"lkt{os.getpid()}.load"


def remove(node: str) -> None:
    held = pins.take(node=node, bpffs=pins.DEFAULT_BPFFS)
    held.remove()


def test_a_second_load_takes_over(node_name: str) -> None:
    first = Datapath.load(node=node_name, conntrack_entries=1024)
    counted = first.counters()
    first.close()
    second = Datapath.load(node=node_name)
    try:
        assert second.counters() == counted
        assert syscall.map_info(second._maps["connections"]).max_entries == 1024
        assert not list(second._pins.maps.glob("*-new"))
    finally:
        second.remove()
    assert not (pins.DEFAULT_BPFFS / "leavitt" / node_name.replace(".", "+")).exists()


def test_takeover_keeps_endpoints_connections_and_links(bed: Bed) -> None:
    frame = Frame(source=bed.a.ipv4, destination=bed.b.ipv4, protocol=TCP, flags=ACK)
    bed.a.send(frame)
    bed.events(1)
    revision = bed.datapath._revision
    old = bed.datapath
    old.close()
    settings = DatapathSettings(report_interval_ns=3600 * 1_000_000_000)  # loading may take long
    bed.datapath = Datapath.load(node=bed.node, netns=netns_path(bed.node), settings=settings)
    assert bed.datapath.endpoint_ids == {bed.a.endpoint_id, bed.b.endpoint_id}
    assert bed.datapath.attached() == {bed.a.ifindex, bed.b.ifindex}
    assert bed.datapath._revision == revision
    for ring in bed.rings._rings:
        bed.datapath.install_ring(ring.cpu, ring.fd)
    bed.a.send(frame)
    bed.settle(lambda: bed.connections()[0]["packets"] == 2)
    assert bed.take() == []  # the same connection
    bed.a.send(frame.but(source_port=7))
    assert bed.names(1) == ["to-endpoint new"]  # each packet once: one program, not two


def test_one_process_at_a_time(bed: Bed) -> None:
    with pytest.raises(KernelError, match=rf"process {os.getpid()} serves node {bed.node}"):
        Datapath.load(node=bed.node)


def test_detached_programs_say_nothing(bed: Bed) -> None:
    bed.datapath.detach(bed.a.ifindex)
    bed.datapath.detach(bed.a.ifindex)
    assert bed.datapath.attached() == {bed.b.ifindex}
    before = bed.datapath.counters()
    bed.a.send(Frame(source=bed.a.ipv4, destination=bed.b.ipv4, protocol=UDP, ttl=1))
    bed.datapath.attach(bed.a.ifindex)
    assert bed.datapath.counters()["to_endpoint"] == before["to_endpoint"]
    bed.datapath.attach(bed.a.ifindex)
    bed.a.send(Frame(source=bed.a.ipv4, destination=bed.b.ipv4, protocol=UDP))
    assert "to-endpoint new" in [event.name for event in bed.events(1)]


def test_an_interface_that_vanished(bed: Bed) -> None:
    def make() -> int:
        ip("link", "add", "gone0", "type", "veth", "peer", "name", "gone1", netns=bed.node)
        with inside(netns_path(bed.node)):
            return socket.if_nametoindex("gone0")

    first = make()
    bed.datapath.attach(first)
    assert first in bed.datapath.attached()
    ip("link", "del", "gone0", netns=bed.node)
    assert first not in bed.datapath.attached()
    with pytest.raises(KernelError, match=f"no interface has index {first}"):
        bed.datapath.attach(first)
    second = make()
    bed.datapath.attach(second)
    assert second in bed.datapath.attached()
    ip("link", "del", "gone0", netns=bed.node)
    bed.datapath.detach(second)
    assert not list(bed.datapath._pins.links.glob(f"{second}-*"))


def test_the_bpffs_is_mounted_where_it_is_missing(tmp_path: Path, node_name: str) -> None:
    held = pins.take(node=node_name, bpffs=tmp_path / "bpf")
    try:
        assert pins._file_system(tmp_path / "bpf") == "bpf"
    finally:
        held.remove()
        ctypes.CDLL(None).umount2(os.fsencode(tmp_path / "bpf"), 2)


@pytest.mark.parametrize("name", ["", "a/b", "..", "x" * 254])
def test_a_node_name_that_is_no_file_name(name: str) -> None:
    with pytest.raises(KernelError, match="node name cannot be a folder's name"):
        Datapath.load(node=name)


def test_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(KernelError, match="needs root"):
        Datapath.load(node="n")


def test_without_kernel_headers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, node_name: str
) -> None:
    monkeypatch.setattr(compiler, "_HEADERS", tmp_path)
    with pytest.raises(KernelError, match="apt-get install linux-libc-dev"):
        Datapath.load(node=node_name)
    remove(node_name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "is another package of that name.*apt-get install python3-bpfcc"),
        (
            "import no_such_module",
            "No module named 'no_such_module': apt-get install python3-bpfcc",
        ),
    ],
    ids=["PyPI's", "missing"],
)
def test_without_bcc(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, node_name: str, text: str, message: str
) -> None:
    (tmp_path / "bcc.py").write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(KernelError, match=message):
        Datapath.load(node=node_name)
    remove(node_name)


def test_what_bcc_refuses_is_told_in_a_few_lines(node_name: str) -> None:
    with pytest.raises(KernelError, match="load programs: compile programs: ") as caught:
        Datapath.load(node=node_name, conntrack_entries=0)
    assert "connections" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 12
    remove(node_name)


def test_a_namespace_that_does_not_exist(bed: Bed) -> None:
    hooks = links.Links(
        folder=bed.datapath._pins.links,
        programs=bed.datapath._programs,
        netns=Path("/run/netns/no-such"),
    )
    with pytest.raises(KernelError, match=r"enter network namespace: .*/run/netns/no-such"):
        hooks.attach(999_999)


def test_a_kernel_without_tcx_is_told_so() -> None:
    message = links._why_not(OSError(errno.EINVAL, "Invalid argument"), 3)
    assert "has no tcx" in message
    assert "6.6" in message


@pytest.mark.parametrize("is_observing", [False, True], ids=["enforce", "observe"])
def test_programs_leave_room_in_the_verifier(node_name: str, *, is_observing: bool) -> None:
    """Other kernels look at more paths of the same program: the limit is a million of them."""
    datapath = Datapath.load(node=node_name, conntrack_entries=1024, is_observing=is_observing)
    try:
        for fd in datapath._programs.values():
            info = syscall._info(fd, PROGRAM_INFO_BYTES)
            (looked_at,) = struct.unpack_from("=I", info, VERIFIED_AT)
            # before 5.16 the kernel does not tell
            assert looked_at < 300_000
    finally:
        datapath.remove()


def test_the_parent_stays_small(bed: Bed) -> None:
    assert bed.datapath.perf_map_fd > 0
    assert "bcc" not in sys.modules


def test_rings_are_installed_per_cpu(node_name: str) -> None:
    datapath = Datapath.load(node=node_name, conntrack_entries=1024)
    rings = PerfRings(install=datapath.install_ring)
    try:
        one, other = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
        frame = Frame(source=one, destination=other, protocol=UDP)
        syscall.run_program(datapath._programs["from_endpoint"], frame.encode())
        batch = None
        while batch is None:
            batch = rings.take()
        assert [read_event(row.tobytes()).name for row in batch.samples] == ["drop 203"]
    finally:
        rings.close()
        datapath.remove()
