"""clsact filters where there is no tcx: beside filters of others, from one way to the other."""

import errno
import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from observer.kernel import clsact, features, hooks, syscall
from observer.kernel.cleanup import remove_node
from observer.kernel.clsact import Filters
from observer.kernel.datapath import Attach, Datapath
from observer.kernel.errors import KernelError
from observer.kernel.hooks import detach_filters
from observer.kernel.netlink import NLM_F_CREATE, Requests, attribute, attributes
from observer.kernel.netns import inside
from observer.kernel.pins import DEFAULT_BPFFS
from tests.kernel.bed import Bed, make_bed
from tests.kernel.frames import UDP, Frame
from tests.kernel.namespaces import ip, namespace, netns_path

pytestmark = pytest.mark.kernel

OK, SHOT, UNSPEC = 0, 2, -1
FOREIGN_PRIORITY = 7
IN, OUT = clsact.HOOKS


@pytest.fixture
def netns() -> Iterator[Path]:
    """A namespace with a pair of interfaces, `here` and `there`."""
    name = f"lkt{os.getpid()}f"
    with namespace(name):
        ip("link", "add", "here", "type", "veth", "peer", "name", "there", netns=name)
        for device in ("here", "there"):
            ip("link", "set", device, "up", netns=name)
        yield netns_path(name)


def index(netns: Path, device: str = "here") -> int:
    with inside(netns):
        return socket.if_nametoindex(device)


@pytest.fixture
def programs() -> Iterator[dict[int, int]]:
    """Programs that return just this: action → descriptor."""
    with ExitStack() as stack:
        found = {action: _returning(action) for action in (OK, SHOT, UNSPEC)}
        for fd in found.values():
            stack.callback(os.close, fd)
        yield found


def _returning(action: int) -> int:
    instructions = features._insn(features._MOV, 0, action), features._insn(features._EXIT, 0, 0)
    return syscall.program_load(features._SCHED_CLS, b"".join(instructions))


def filters(netns: Path, program_fd: int, *, node: str = "one") -> Filters:
    both = {"from_endpoint": program_fd, "to_endpoint": program_fd}
    return Filters(node=node, programs=both, netns=netns)


def add_foreign(netns: Path, program_fd: int, *, ifindex: int, priority: int) -> None:
    """A filter of somebody else, at the ingress hook."""
    info = priority << 16 | socket.htons(3)
    options = attribute(6, program_fd) + attribute(7, b"foreign\0") + attribute(8, 1)
    body = clsact._TCMSG.pack(0, ifindex, 1, IN.parent, info)
    body += attribute(1, b"bpf\0") + attribute(2, options)
    with closing(Requests(netns)) as requests:
        requests.change(clsact.RTM_NEWTFILTER, body, NLM_F_CREATE)


def names(netns: Path, ifindex: int) -> list[bytes]:
    """Who has filters at the ingress hook."""
    body = clsact._TCMSG.pack(0, ifindex, 0, IN.parent, 0)
    with closing(Requests(netns)) as requests:
        found = requests.dump(clsact.RTM_GETTFILTER, body)
    options = (attributes(attributes(each.body, 20).get(2, b""), 0) for each in found)
    return [each[7].rstrip(b"\0") for each in options if 7 in each]


def passes(netns: Path) -> bool:
    """Whether a frame from `there` gets past the filters of `here`."""
    with inside(netns):
        receiver = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with receiver, sender:
        # only protocols bound to a type see what the filters let through; ETH_P_ALL is before them
        receiver.bind(("here", 0x88B6))
        receiver.settimeout(0.2)
        sender.bind(("there", 0))
        sender.send(b"\xff" * 6 + bytes(6) + struct.pack("!H", 0x88B6) + bytes(46))
        try:
            receiver.recv(64)
        except TimeoutError:
            return False
        return True


def test_a_filter_is_replaced_in_its_place(netns: Path, programs: dict[int, int]) -> None:
    with closing(filters(netns, programs[OK])) as ours:
        ours.attach(index(netns))
        assert passes(netns)
    with closing(filters(netns, programs[SHOT])) as later:
        assert later.find() == {index(netns)}
        assert later.attached() == {index(netns)}
        later.attach(index(netns))
        assert names(netns, index(netns)) == [b"leavitt:one"]
        assert not passes(netns)
        later.detach(index(netns))
        later.detach(index(netns))
        assert later.attached() == frozenset()
        assert passes(netns)


@pytest.mark.parametrize(("action", "is_next_asked"), [(UNSPEC, True), (OK, False)])
def test_the_filter_behind_ours_runs_if_we_leave_it_to_it(
    netns: Path, programs: dict[int, int], action: int, is_next_asked: bool
) -> None:
    with closing(filters(netns, programs[action])) as ours:
        ours.attach(index(netns))
        add_foreign(netns, programs[SHOT], ifindex=index(netns), priority=FOREIGN_PRIORITY)
        assert passes(netns) is not is_next_asked


@pytest.mark.parametrize("priority", [clsact.PRIORITY, FOREIGN_PRIORITY])
def test_filters_of_others_are_left_alone(
    netns: Path, programs: dict[int, int], priority: int
) -> None:
    here = index(netns)
    with closing(filters(netns, programs[OK])) as ours:
        ours._make_qdisc(here)
        add_foreign(netns, programs[UNSPEC], ifindex=here, priority=priority)
        ours.attach(here)
        assert sorted(names(netns, here)) == [b"foreign", b"leavitt:one"]
    with closing(filters(netns, programs[OK], node="other")) as of_other_node:
        assert of_other_node.find() == frozenset()
    assert detach_filters(node="other", netns=netns) == frozenset()
    assert detach_filters(node="one", netns=netns) == {here}
    assert names(netns, here) == [b"foreign"]


def test_an_interface_that_vanishes_and_comes_again(netns: Path, programs: dict[int, int]) -> None:
    here = index(netns)
    with closing(filters(netns, programs[OK])) as ours:
        ours.attach(here)
        ip("link", "del", "here", netns=netns.name)
        assert ours.attached() == frozenset()
        peer = ("type", "veth", "peer", "name", "there")
        ip("link", "add", "here", "index", str(here), *peer, netns=netns.name)
        assert ours.attached() == frozenset()
        ours.attach(here)
        assert ours.attached() == {here}
        ip("link", "del", "here", netns=netns.name)
        ours.detach(here)
        with pytest.raises(KernelError, match=f"no interface has index {here}"):
            ours.attach(here)


def test_a_filter_of_another_kind_in_our_place_is_named(
    netns: Path, programs: dict[int, int]
) -> None:
    with closing(filters(netns, programs[OK])) as ours:
        ours._make_qdisc(index(netns))
        tc = shutil.which("tc", path="/usr/sbin:/sbin:/usr/bin:/bin")
        assert tc is not None
        made = subprocess.run(
            [tc, "-n", netns.name, "filter", "add", "dev", "here", "ingress", "prio", "1",
             "protocol", "all", "u32", "match", "u32", "0", "0", "flowid", "1:1"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        with pytest.raises(KernelError, match="another kind may have priority 1"):
            ours.attach(index(netns))


def test_a_kernel_without_clsact_is_told_so() -> None:
    assert "CONFIG_NET_CLS_BPF" in clsact._why_not(OSError(errno.ENOENT, ""), 3)


@pytest.fixture
def own_bed() -> Iterator[Bed]:
    """Attached by tcx at first."""
    with make_bed(suffix="w") as bed:
        yield bed


def reload(bed: Bed, attach: Attach) -> None:
    bed.datapath.close()
    bed.datapath = Datapath.load(node=bed.node, netns=netns_path(bed.node), attach=attach)
    for ring in bed.rings._rings:
        bed.datapath.install_ring(ring.cpu, ring.fd)


def test_from_one_way_to_the_other_and_back(own_bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    bed = own_bed
    frame = Frame(source=bed.a.ipv4, destination=bed.b.ipv4, protocol=UDP)
    both = {bed.a.ifindex, bed.b.ifindex}
    here = netns_path(bed.node)
    monkeypatch.setattr(hooks, "has_tcx", lambda _: False)
    ways = (Attach.CLSACT, Attach.CLSACT), (Attach.TCX, Attach.TCX), (Attach.AUTO, Attach.CLSACT)
    for sent, (attach, way) in enumerate(ways, start=1):
        reload(bed, attach)
        assert bed.datapath._hooks.way is way
        assert bed.datapath.attached() == both
        is_filter = way is Attach.CLSACT
        assert len(names(here, bed.a.ifindex)) == is_filter
        assert bool(list(bed.datapath._pins.links.iterdir())) is not is_filter
        bed.a.send(frame)
        counts = bed.datapath.counters
        while counts()["to_endpoint"] < sent:
            time.sleep(0.001)
        assert counts()["to_endpoint"] == sent  # one program, not two
    bed.datapath.close()
    removed = remove_node(node=bed.node, bpffs=DEFAULT_BPFFS, netns=here)
    assert removed.interfaces == both
    assert names(here, bed.a.ifindex) == []
    reload(bed, Attach.CLSACT)
