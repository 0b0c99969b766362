"""Programs that only look, with frames that nobody would send: they change and stop nothing.

The same conversations as in test_fuzz_programs. Each frame must go on as it is to whoever is next,
and be counted once: as talk of the link, as unreadable, or as a packet with its event.
"""

import struct
from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import HealthCheck, given, seed, settings

from observer.kernel import syscall
from observer.kernel.datapath import DatapathSettings
from observer.kernel.netns import inside
from tests.kernel.bridge import Watch, make_box, watching
from tests.kernel.conversations import Party, Step, conversations
from tests.kernel.frames import ICMPV6, IGMP
from tests.kernel.model import Model
from tests.kernel.namespaces import netns_path, remove_leftovers
from tests.kernel.reading import UNKNOWN_L4, Refused, read

pytestmark = pytest.mark.kernel

EXAMPLES = 1500
NEXT = -1  # TC_ACT_UNSPEC and TCX_NEXT: whoever is attached behind decides
FOLLOWED = ("to_endpoint", "to_stack")
COUNTERS = (*FOLLOWED, "link_control", "unreadable", "dropped", "neighbour_answered", "untracked")
A, B = (
    Party(name, IPv4Address(v4), IPv6Address(v6), b"\2\0\0\0\0" + mac, b"\2\0\0\0\1" + mac)
    for name, v4, v6, mac in (
        ("a", "10.9.0.2", "fd00:9::2", b"\1"),
        ("b", "10.9.0.3", "fd00:9::3", b"\2"),
    )
)


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    remove_leftovers()
    with make_box() as box, watching(box, name="f") as found:
        found.on("va")
        found.datapath.configure(DatapathSettings(per_packet=True))
        yield found


def kind_of(frame: bytes) -> str:
    """Say as what it must be counted."""
    if frame[12:14] == b"\x08\x06":
        return "link_control"
    try:
        packet = read(frame)
    except Refused as refused:
        if refused.reason != UNKNOWN_L4:
            return "unreadable"
        return "link_control" if refused.protocol == IGMP else "followed"
    is_talk = packet.protocol in (IGMP, ICMPV6) and Model((), {})._is_link_control(packet)
    return "link_control" if is_talk else "followed"


class Check:
    """Runs conversations, and counts what was seen."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._ifindex = watch.box.ifindex("va")
        self.kinds: Counter[str] = Counter()

    def conversation(self, steps: list[Step]) -> None:
        self._watch.clear()
        for step in steps:
            self._step(step)

    def _step(self, step: Step) -> None:
        before = self._watch.datapath.counters()
        try:
            result = self._run(step)
        except OSError:  # the kernel runs no frame that ends within its IP header
            assert len(step.frame) < 14 + (40 if step.frame[12:14] == b"\x86\xdd" else 20)
            return
        after = self._watch.datapath.counters()
        assert (result.verdict, result.data) == (NEXT, step.frame)
        moved = [name for name in COUNTERS if after[name] != before[name]]
        events = self._watch.take()
        kind = kind_of(step.frame)
        self.kinds[kind] += 1
        if kind == "followed":
            # What came by the other hook as well counts where it was seen first.
            assert len(moved) <= 1
            assert all(name in FOLLOWED for name in moved)
            assert [event.kind for event in events] == ["trace"] * len(moved)
            self.kinds["told"] += len(events)
        else:
            assert (moved, events) == ([kind], [])

    def _run(self, step: Step) -> syscall.RunResult:
        context = bytearray(192)  # struct __sk_buff
        struct.pack_into("=I", context, 40, self._ifindex)
        with inside(netns_path(self._watch.box.netns)):
            return syscall.run_program(
                self._watch.datapath._programs[step.program],
                step.frame,
                context=bytes(context),
                room_bytes=2048,
            )


@pytest.mark.timeout(300)
def test_whatever_it_is_goes_on_as_it_was(watch: Watch) -> None:
    check = Check(watch)

    @seed(0)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(conversations(A, B))
    def run(steps: list[Step]) -> None:
        check.conversation(steps)

    run()
    print(dict(check.kinds))
    assert min(check.kinds[kind] for kind in ("followed", "told", "link_control", "unreadable")) > 9
