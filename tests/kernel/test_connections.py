"""What is counted, what is told of it and when, and what the sweep does in the end."""

import os
import threading
import time

import numpy as np
import pytest

from observer.kernel import layout, syscall
from observer.kernel.datapath import DatapathSettings
from observer.kernel.rings import PerfRings, RingSettings
from observer.kernel.sweep import _requests, decide, run_requests
from policy.entries import Direction
from tests.kernel.bed import OUTSIDE, OUTSIDE6, Bed, rule
from tests.kernel.events import Event, read_event
from tests.kernel.frames import ACK, FIN, ICMP, PSH, RST, SYN, TCP, UDP, Frame

pytestmark = pytest.mark.kernel

MS = 1_000_000
HOUR = 3600 * 1000 * MS


def tcp(bed: Bed, version: int = 4, **changes: object) -> Frame:
    """From pod a to the outside: no MACs are rewritten, so a frame can be run again."""
    return Frame(
        source=bed.a.address(version),
        destination=OUTSIDE if version == 4 else OUTSIDE6,
        protocol=TCP,
        source_port=4000,
        destination_port=80,
        flags=SYN,
    ).but(**changes)


def out(bed: Bed, frame: Frame, *, repeat: int = 1, segments: int = 0) -> None:
    bed.run("from_endpoint", bed.a, frame.encode(), repeat=repeat, segments=segments)


def back(bed: Bed, frame: Frame, *, repeat: int = 1) -> None:
    bed.run("to_endpoint", bed.a, frame.encode(), repeat=repeat)


def summed(events: list[Event]) -> tuple[int, int]:
    return sum(event.packets for event in events), sum(event.byte_count for event in events)


def configure(bed: Bed, **changes: object) -> None:
    bed.datapath.configure(DatapathSettings(**changes))  # type: ignore[arg-type]


def test_flags_are_told_once_each_way(bed: Bed) -> None:
    configure(bed, report_interval_ns=HOUR)
    first = tcp(bed)
    for flags in (SYN, SYN, ACK, ACK | PSH, ACK | FIN, ACK | FIN):
        out(bed, first.but(flags=flags))
    for flags in (SYN | ACK, ACK, ACK | FIN, RST):
        back(bed, first.reply(flags=flags))
    told = [(event.name, event.packet[47], event.packets) for event in bed.take()]
    assert told == [
        ("to-stack new", SYN, 1),
        ("to-stack established", ACK | FIN, 4),
        ("to-endpoint reply", SYN | ACK, 1),
        ("to-endpoint reply", ACK | FIN, 2),
        ("to-endpoint reply", RST, 1),
    ]


def test_a_busy_connection_is_told_again_after_the_interval(bed: Bed) -> None:
    configure(bed, report_interval_ns=50 * MS)
    first = tcp(bed, flags=ACK)
    size = len(first.encode())
    out(bed, first, repeat=10)
    assert [event.packets for event in bed.take()] == [1]
    told: list[Event] = []
    sent = 10
    while not told:
        out(bed, first)
        sent += 1
        told = bed.take()
    [event] = told
    assert (event.name, event.packets) == ("to-stack established", sent - 1)
    assert event.byte_count == (sent - 1) * size


def test_per_packet_tells_every_one(bed: Bed) -> None:
    configure(bed, per_packet=True)
    out(bed, tcp(bed, flags=ACK), repeat=20)
    assert [event.packets for event in bed.take()] == [1] * 20


def test_segments_of_a_gso_packet_count_with_their_headers(bed: Bed) -> None:
    frame = tcp(bed, flags=ACK, payload=b"x" * 1200)
    out(bed, frame, segments=3)
    event = bed.take()[0]
    assert (event.packets, event.byte_count) == (3, len(frame.encode()) + 2 * 54)
    assert event.length == len(frame.encode())


def test_the_handshake_is_timed(bed: Bed) -> None:
    first = tcp(bed)
    before = time.monotonic_ns()
    out(bed, first)
    back(bed, first.reply(flags=SYN | ACK))
    out(bed, first.but(flags=ACK))
    spent = time.monotonic_ns() - before
    out(bed, first.but(flags=ACK | FIN))
    times = [event.rtt_ns for event in bed.take()]
    assert times[:2] == [0, 0]
    assert 0 < times[2] <= spent


def test_the_sweep_tells_what_a_quiet_connection_owes(bed: Bed) -> None:
    configure(bed, report_interval_ns=1)
    first, size = tcp(bed, flags=ACK | PSH), len(tcp(bed).encode())
    configure(bed, report_interval_ns=HOUR)
    out(bed, first, repeat=8)
    back(bed, first.reply(flags=ACK), repeat=3)
    bed.take()
    report = bed.datapath.sweep(4096)
    assert (report.visited, report.reported, report.removed, report.wrapped) == (1, 0, 0, True)
    configure(bed, report_interval_ns=1)  # now both are overdue
    report = bed.datapath.sweep(4096)
    assert (report.reported, report.removed) == (2, 0)
    events = sorted(bed.take(), key=lambda event: event.reason)
    assert [event.name for event in events] == ["to-stack established", "to-endpoint reply"]
    assert [(event.packets, event.byte_count) for event in events] == [(7, 7 * size), (2, 2 * size)]
    assert all(event.swept for event in events)
    assert [event.endpoint for event in events] == [bed.a.endpoint_id, bed.a.endpoint_id]
    assert events[0].packet[12:14] == b"\x08\x00"
    assert events[0].packet[23] == TCP
    assert events[0].packet[26:38] == bed.a.ipv4.packed + OUTSIDE.packed + b"\x0f\xa0\x00\x50"
    assert events[0].packet[47] == ACK | PSH
    assert len(events[0].packet) == 54
    assert bed.datapath.sweep(4096).reported == 0


@pytest.mark.parametrize(
    ("protocol", "version"), [(UDP, 4), (UDP, 6), (ICMP, 4), (132, 6)], ids=str
)
def test_the_sweep_puts_headers_together(bed: Bed, protocol: int, version: int) -> None:
    configure(bed, report_interval_ns=HOUR, other_idle_timeout_ns=0)
    first = tcp(bed, version, protocol=protocol, icmp_type=8, icmp_id=4000, payload=b"x" * 16)
    out(bed, first, repeat=2)
    bed.take()
    assert bed.datapath.sweep(64).removed == 1
    [event] = bed.take()
    assert (event.packets, event.ipv6) == (1, version == 6)
    whole = first.encode()
    at = 34 if version == 4 else 54
    addresses = slice(26, 34) if version == 4 else slice(22, 54)
    assert event.packet[addresses] == whole[addresses]
    assert event.packet[12:14] == whole[12:14]
    if protocol == ICMP:
        assert event.packet[at : at + 2] == b"\x08\0"
        assert event.packet[at + 4 : at + 6] == whole[at + 4 : at + 6]
    else:
        assert event.packet[at : at + 4] == whole[at : at + 4]


@pytest.mark.parametrize(
    ("flags", "reply_flags", "settings"),
    [
        (SYN, None, {"other_idle_timeout_ns": 0}),
        (ACK, ACK, {"tcp_idle_timeout_ns": 0}),
        (FIN | ACK, FIN | ACK, {"closed_timeout_ns": 0}),
        (RST, None, {"closed_timeout_ns": 0}),
    ],
    ids=["never answered", "idle", "closed", "reset"],
)
def test_the_sweep_removes(
    bed: Bed, flags: int, reply_flags: int | None, settings: dict[str, int]
) -> None:
    others = {
        "tcp_idle_timeout_ns": HOUR,
        "other_idle_timeout_ns": HOUR,
        "closed_timeout_ns": HOUR,
        "report_interval_ns": HOUR,
    }
    configure(bed, **others)
    out(bed, tcp(bed, flags=flags), repeat=3)
    if reply_flags is not None:
        back(bed, tcp(bed).reply(flags=reply_flags))
    assert bed.datapath.sweep(4096).removed == 0
    configure(bed, **(others | settings))
    assert bed.datapath.sweep(4096).removed == 1
    assert bed.connections() == []
    assert summed([e for e in bed.take() if e.name != "to-endpoint reply"])[0] == 3


def test_what_policy_took_back_is_told_and_removed(bed: Bed) -> None:
    configure(bed, report_interval_ns=HOUR)
    bed.enforce(bed.a, egress=True)
    bed.rules(bed.a, rule(Direction.EGRESS))
    out(bed, tcp(bed, flags=ACK), repeat=5)
    bed.rules(bed.a)
    out(bed, tcp(bed, flags=ACK))
    names = [event.name for event in bed.take()]
    assert names == ["verdict egress allowed", "to-stack new", "verdict egress -133", "drop 133"]
    assert bed.datapath.sweep(4096).removed == 1
    [event] = bed.take()
    assert (event.packets, event.swept) == (4, True)


def test_a_report_on_its_way_keeps_the_connection(bed: Bed) -> None:
    """If it cannot be written its counts come back, and must find the entry they belong to."""
    configure(bed, report_interval_ns=HOUR, other_idle_timeout_ns=0)
    out(bed, tcp(bed, flags=ACK))
    table = bed.datapath._table("connections")
    [(key, value)] = table.read().items()
    [entry] = np.frombuffer(value, layout.CONNECTION).copy()
    assert entry["telling"] == 0
    entry["telling"] = 1
    table.put(key, entry.tobytes())
    report = bed.datapath.sweep(4096)
    assert (report.removed, report.kept) == (0, 1)
    entry["telling"] = 0
    table.put(key, entry.tobytes())
    assert bed.datapath.sweep(4096).removed == 1


def test_traffic_during_the_sweep_keeps_the_connection(bed: Bed) -> None:
    """The request says what user space saw; an entry with later packets stays."""
    configure(bed, report_interval_ns=HOUR, other_idle_timeout_ns=0)
    out(bed, tcp(bed, flags=ACK))
    sweep = bed.datapath._sweep
    keys, values = sweep._read(64)
    out(bed, tcp(bed, flags=ACK))
    actions = decide(
        keys,
        values,
        now_ns=time.monotonic_ns(),
        timeouts=DatapathSettings(other_idle_timeout_ns=0).timeouts,
    )
    verdict = run_requests(sweep._program_fd, _requests(keys, values, actions))
    assert verdict == 1 | 0 << 8 | 1 << 16
    assert len(bed.connections()) == 1


def fill(bed: Bed, count: int) -> None:
    for port in range(1, count + 1):
        out(bed, tcp(bed, source_port=port, protocol=UDP))


def test_a_nearly_full_map_lets_the_oldest_go(bed: Bed) -> None:
    fill(bed, 3800)
    bed.take()
    before = last_packets(bed)
    assert bed.datapath.sweep(4096).removed == 760
    left = last_packets(bed)
    gone = [when for key, when in before.items() if key not in left]
    assert len(gone) == 760
    assert max(gone) <= min(left.values())


def last_packets(bed: Bed) -> dict[bytes, int]:
    """When each connection had its last packet, by key."""
    return {
        key: int(np.frombuffer(value, layout.CONNECTION)[0]["side"]["last_ns"].max())
        for key, value in bed.datapath._table("connections").read().items()
    }


def test_a_full_map(bed: Bed) -> None:
    fill(bed, 4096)
    bed.take()
    before = bed.datapath.counters()["untracked"]
    extra = tcp(bed, source_port=9999, protocol=UDP)
    out(bed, extra, repeat=3)
    events = bed.take()
    assert [event.name for event in events] == ["to-stack new"] * 3
    assert summed(events) == (3, 3 * len(extra.encode()))
    assert bed.datapath.counters()["untracked"] == before + 3
    # its replies would be refused: an honest end
    bed.enforce(bed.a, ingress=True)
    out(bed, extra)
    [event] = bed.take()
    assert (event.name, event.endpoint) == ("drop 155", bed.a.endpoint_id)


def test_two_cpus_and_the_sweep_lose_no_count(bed: Bed) -> None:
    """Both directions and one direction twice, on two CPUs, while the sweep takes counts too."""
    configure(bed, report_interval_ns=20_000, tcp_idle_timeout_ns=0, other_idle_timeout_ns=0)
    cpus = (sorted(os.sched_getaffinity(0)) * 2)[:2]  # one twice is better than a skip
    rounds, repeat = 60, 500
    first, reply = tcp(bed, flags=ACK), tcp(bed).reply(flags=ACK)
    start = threading.Barrier(3)

    def work(cpu: int) -> None:
        os.sched_setaffinity(0, {cpu})
        start.wait()
        for _ in range(rounds):
            out(bed, first, repeat=repeat)
            back(bed, reply, repeat=repeat)

    workers = [threading.Thread(target=work, args=(cpu,)) for cpu in cpus]
    for worker in workers:
        worker.start()
    start.wait()
    events: list[Event] = []
    removed = 0
    while any(worker.is_alive() for worker in workers):
        removed += bed.datapath.sweep(4096).removed
        events += bed.take()
    for worker in workers:
        worker.join()
    while bed.connections():
        removed += bed.datapath.sweep(4096).removed
        events += bed.take()
    events += bed.take()
    size = len(first.encode())
    total = 2 * 2 * rounds * repeat
    assert summed(events) == (total, total * size)
    assert removed > 1
    assert any(event.swept for event in events)


def test_an_overloaded_ring_loses_events_but_no_counts(bed: Bed) -> None:
    configure(bed, per_packet=True, other_idle_timeout_ns=0)
    small = PerfRings(
        install=bed.datapath.install_ring,
        settings=RingSettings(size_bytes=1 << 16),
        clock=lambda: time.monotonic_ns() + 1_000_000_000,
    )
    before = bed.datapath.counters()
    try:
        frame = tcp(bed, flags=ACK, protocol=UDP)
        out(bed, frame, repeat=2000)
        delivered, lost = _drain(small)
        after = bed.datapath.counters()
        produced = after["produced_trace"] - before["produced_trace"]
        full = after["full_trace"] - before["full_trace"]
        assert produced == 2000
        assert full > 0
        assert produced == len(delivered) + full
        assert lost == full
        bed.datapath.sweep(4096)  # what the lost ones took was given back
        swept, _ = _drain(small)
        assert summed(delivered + swept) == (2000, 2000 * len(frame.encode()))
    finally:
        small.close()
        for ring in bed.rings._rings:
            bed.datapath.install_ring(ring.cpu, ring.fd)


def _drain(rings: PerfRings) -> tuple[list[Event], int]:
    events: list[Event] = []
    lost = 0
    while (batch := rings.take()) is not None:
        events += [read_event(row.tobytes()) for row in batch.samples]
        lost += sum(gap.count for gap in batch.lost)
    return events, lost


def test_events_that_nobody_reads_are_counted_and_their_counts_kept(bed: Bed) -> None:
    configure(bed, other_idle_timeout_ns=0)
    nobody = PerfRings(install=bed.datapath.install_ring)
    nobody.close()
    before = bed.datapath.counters()
    try:
        for ring in bed.rings._rings:
            syscall.delete(bed.datapath.perf_map_fd, ring.cpu.to_bytes(4, "little"))
        out(bed, tcp(bed, flags=ACK), repeat=4)
    finally:
        for ring in bed.rings._rings:
            bed.datapath.install_ring(ring.cpu, ring.fd)
    after = bed.datapath.counters()
    assert after["unread_trace"] == before["unread_trace"] + 1
    assert after["full_trace"] == before["full_trace"]
    bed.datapath.sweep(4096)
    assert summed(bed.take())[0] == 4
