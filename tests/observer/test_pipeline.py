from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.odd_packets import FOREIGN_KINDS, ODD_KINDS, ethernet, ipv4
from bench.workload import LOCAL_ENDPOINTS, Mix, SyntheticNode
from observer.addresses import AddressBook
from observer.decode.decoder import Decoder
from observer.enrich import Enricher
from observer.entities import Endpoint, PolicyRef, address_bytes
from observer.ledger import Ledger, Stage
from observer.pipeline import Pipeline
from observer.samples import LostSamples, SampleBatch
from observer.table.columns import EventKind
from observer.table.interns import Interns
from observer.table.ring import FlowTable
from observer.table.rows import Rows
from tests.observer.decode import reference
from tests.observer.decode.batches import WALL_OFFSET_NS, make_batch
from tests.observer.decode.damage import damaged
from tests.observer.decode.events import drop, trace, verdict

TCP = bytes.fromhex("a028 01bb 00000001 00000001 5010 0200 0000 0000")
# 10.0.0.1 → 192.0.2.9
PACKET = ethernet(0x0800, ipv4(6, TCP))
LOCAL = Endpoint(
    endpoint_id=7,
    identity=1000,
    cluster_name="default",
    namespace="default",
    labels=("k8s:app=a",),
    pod_name="a-1",
    workloads=(),
)
PEER = replace(LOCAL, endpoint_id=8, identity=1001, pod_name="b-1")
POLICY = PolicyRef(kind="NetworkPolicy", namespace="a", name="b", labels=(), revision=3)


class Station:
    """A pipeline with its parts in reach."""

    def __init__(self, book: AddressBook | None = None, interns: Interns | None = None) -> None:
        self.interns = interns or Interns()
        self.book = book or AddressBook(self.interns, cluster_name="default")
        self.ledger = Ledger()
        self.table = FlowTable(capacity=4095, interns=self.interns, seed=1)
        self.seen: list[tuple[int, int]] = []
        enricher = Enricher(self.book, self.interns)
        self.pipeline = Pipeline(Decoder(self.ledger), enricher, self.table, self.ledger, (self,))

    def consume(self, rows: Rows, first: int) -> None:
        self.seen.append((rows.count, first))

    def row(self, sample: bytes) -> dict[str, Any]:
        assert self.pipeline.feed(make_batch([sample])) == 1
        slot = self.table.head - 1
        return {name: column[slot] for name, column in self.table.columns.items()}


@pytest.fixture
def station() -> Station:
    station = Station()
    station.book.set_endpoint(address_bytes(ip_address("10.0.0.1")), LOCAL)
    station.book.set_endpoint(address_bytes(ip_address("192.0.2.9")), PEER)
    station.book.set_rule(5, (POLICY,))
    station.book.set_interface(3, "lxc3")
    return station


INGRESS, EGRESS, UNKNOWN = 1, 2, 0


@pytest.mark.parametrize(
    ("sample", "direction"),
    [
        pytest.param(trace(PACKET, source=7, reason=0), EGRESS, id="own packet leaves"),
        pytest.param(trace(PACKET, source=8, reason=0), INGRESS, id="other's packet comes"),
        pytest.param(trace(PACKET, source=7, reason=2), INGRESS, id="own reply: they asked"),
        pytest.param(trace(PACKET, source=8, reason=2), EGRESS, id="other's reply: we asked"),
        pytest.param(trace(PACKET, source=7, reason=0x80), EGRESS, id="encrypted"),
        pytest.param(trace(PACKET, source=7, reason=5), UNKNOWN, id="unknown reason"),
        pytest.param(trace(PACKET, source=0, reason=1), UNKNOWN, id="no endpoint"),
        pytest.param(
            trace(PACKET, source=8, reason=0, original=bytes((10, 0, 0, 1))), EGRESS, id="snat"
        ),
        pytest.param(drop(PACKET, source=7), EGRESS, id="drop at the source"),
        pytest.param(drop(PACKET, source=8), INGRESS, id="drop at the destination"),
        pytest.param(drop(PACKET, source=0), UNKNOWN, id="drop without endpoint"),
        pytest.param(verdict(PACKET, flags=1), INGRESS, id="verdict in"),
        pytest.param(verdict(PACKET, flags=2), EGRESS, id="verdict out"),
    ],
)
def test_direction(station: Station, sample: bytes, direction: int) -> None:
    assert station.row(sample)["direction"] == direction


OBSERVED = 8
TO_ENDPOINT, FROM_ENDPOINT, FROM_HOST, TO_NETWORK = 0, 5, 7, 11
FORWARD, REPLY = 0, 2
ELSEWHERE = bytes((198, 51, 100, 1))
FROM_HERE = PACKET.replace(ip_address("192.0.2.9").packed, ELSEWHERE)
TO_HERE = PACKET.replace(ip_address("10.0.0.1").packed, ELSEWHERE)
UNHEARD = FROM_HERE.replace(ip_address("10.0.0.1").packed, bytes((198, 51, 100, 2)))


@pytest.mark.parametrize(
    ("packet", "point", "reason", "expected"),
    [
        pytest.param(PACKET, FROM_ENDPOINT, FORWARD, (EGRESS, 7), id="leaves"),
        pytest.param(PACKET, TO_ENDPOINT, FORWARD, (INGRESS, 8), id="comes"),
        pytest.param(PACKET, FROM_ENDPOINT, REPLY, (INGRESS, 7), id="reply leaves: they asked"),
        pytest.param(PACKET, TO_ENDPOINT, REPLY, (EGRESS, 8), id="reply comes: we asked"),
        pytest.param(UNHEARD, FROM_ENDPOINT, FORWARD, (EGRESS, 0), id="nameless leaves"),
        pytest.param(UNHEARD, TO_ENDPOINT, REPLY, (EGRESS, 0), id="reply to nameless comes"),
        pytest.param(FROM_HERE, TO_NETWORK, FORWARD, (EGRESS, 7), id="leaves the node"),
        pytest.param(TO_HERE, FROM_HOST, FORWARD, (INGRESS, 8), id="host's comes"),
        pytest.param(TO_HERE, FROM_HOST, REPLY, (EGRESS, 8), id="host's reply comes"),
        pytest.param(UNHEARD, TO_NETWORK, FORWARD, (UNKNOWN, 0), id="passes by"),
    ],
)
def test_direction_and_endpoint_where_interfaces_are_observed(
    station: Station, packet: bytes, point: int, reason: int, expected: tuple[int, int]
) -> None:
    row = station.row(trace(packet, point=point, reason=reason, ext_flags=OBSERVED))
    assert (row["direction"], row["endpoint_id"]) == expected


def test_both_sides_are_known(station: Station) -> None:
    row = station.row(trace(PACKET, source=7, reason=0, labels=(1000, 1001)))
    assert station.interns.endpoints[int(row["source_ref"])] == LOCAL
    assert station.interns.endpoints[int(row["destination_ref"])] == PEER
    assert station.interns.interfaces[int(row["interface_ref"])].name == "lxc3"


@pytest.mark.parametrize(
    ("sample", "named"),
    [
        (verdict(PACKET, flags=1, cookie=5), True),
        (verdict(PACKET, flags=1, cookie=6), False),
        (drop(PACKET, source=7, cookie=5), True),
        (trace(PACKET, source=7, cookie=5), False),
    ],
    ids=["verdict", "unknown cookie", "drop", "trace"],
)
def test_who_decided(station: Station, sample: bytes, named: bool) -> None:
    ref = int(station.row(sample)["policies_ref"])
    assert bool(ref) == named
    if named:
        assert station.interns.policies[ref] == (POLICY,)


def test_the_source_before_translation(station: Station) -> None:
    row = station.row(trace(PACKET, source=7, reason=0, original=bytes((192, 0, 2, 9))))
    assert row["source_ip"].tobytes() == address_bytes(ip_address("192.0.2.9"))
    translated = station.interns.addresses[int(row["xlated_ref"])]
    assert translated == address_bytes(ip_address("10.0.0.1"))
    assert station.interns.endpoints[int(row["source_ref"])] == PEER


def test_a_source_that_was_not_translated_after_all(station: Station) -> None:
    row = station.row(trace(PACKET, source=7, reason=0, original=bytes((10, 0, 0, 1))))
    assert row["xlated_ref"] == 0


SCTP = bytes.fromhex("a028 01bb 00000000 00000000")
VRRP = bytes.fromhex("21 07 c8 01 0000 0000")


@pytest.mark.parametrize(
    ("proto", "transport", "number"),
    [
        pytest.param(132, SCTP + b"\x01\0\0\x14", 1, id="INIT"),
        pytest.param(132, SCTP + b"\x0e\0\0\x04", 5, id="SHUTDOWN_COMPLETE"),
        pytest.param(132, SCTP + b"\0\0\0\x04", 0, id="DATA"),
        pytest.param(132, SCTP, 0, id="no chunk"),
        pytest.param(112, VRRP, 200, id="VRRP priority"),
    ],
)
def test_what_stands_where_tcp_has_flags(
    station: Station, proto: int, transport: bytes, number: int
) -> None:
    row = station.row(trace(ethernet(0x0800, ipv4(proto, transport))))
    assert row["tcp_flags"] == number


def test_losses_of_the_rings_are_rows(station: Station) -> None:
    lost = LostSamples(cpu=1, count=12, first_mono_ns=900, last_mono_ns=1001)
    batch = make_batch([trace(PACKET), b"\0", trace(PACKET)])
    batch = replace(batch, lost=(lost, replace(lost, count=3, first_mono_ns=0)))
    assert station.pipeline.feed(batch) == 2
    table = station.table
    assert table.columns["kind"][:4].tolist() == [4, 4, 255, 255]
    assert (np.diff(table.columns["time_ns"][:4]) >= 0).all()
    detail: Any = table.details[2]
    assert (detail.source, detail.count, detail.cpu) == (1, 12, 1)
    assert (detail.first_ns, detail.last_ns) == (WALL_OFFSET_NS + 900, WALL_OFFSET_NS + 1001)
    assert table.details[3].first_ns is None  # type: ignore[attr-defined]
    assert station.ledger.total(Stage.RING) == 15
    assert station.ledger.total(Stage.DECODE) == 1
    assert station.seen == [(2, 0)]


def test_a_gap_reported_late_does_not_move_the_rows_that_follow(station: Station) -> None:
    lost = LostSamples(cpu=1, count=1, first_mono_ns=900, last_mono_ns=5000)
    station.pipeline.feed(replace(make_batch([trace(PACKET)], start_ns=1000), lost=(lost,)))
    station.pipeline.feed(make_batch([trace(PACKET)], start_ns=2000))
    times = station.table.columns["time_ns"][:3] - WALL_OFFSET_NS
    assert times.tolist() == [1000, 1000, 2000]


def test_a_gap_of_no_particular_cpu(station: Station) -> None:
    lost = LostSamples(cpu=-1, count=1, first_mono_ns=0, last_mono_ns=5000)
    station.pipeline.feed(replace(make_batch([]), lost=(lost,)))
    detail: Any = station.table.details[0]
    assert detail.cpu is None


def test_a_gap_without_rows(station: Station) -> None:
    lost = LostSamples(cpu=1, count=1, first_mono_ns=900, last_mono_ns=5000)
    station.pipeline.feed(replace(make_batch([]), lost=(lost,)))
    assert station.table.columns["time_ns"][0] == WALL_OFFSET_NS + 5000


def test_the_horizon_of_a_batch_is_the_watermark_and_holds_back_its_gaps(station: Station) -> None:
    lost = LostSamples(cpu=1, count=1, first_mono_ns=900, last_mono_ns=5000)
    for lost_there in ((), (lost,)):
        batch = replace(make_batch([]), horizon_mono_ns=3000, lost=lost_there)
        station.pipeline.feed(batch)
        assert station.table.watermark.time_ns == WALL_OFFSET_NS + 3000
    assert station.table.columns["time_ns"][0] == WALL_OFFSET_NS + 3000
    station.pipeline.feed(make_batch([trace(PACKET)], start_ns=4000))
    assert station.table.columns["time_ns"][1] == WALL_OFFSET_NS + 4000
    assert station.table.watermark.time_ns == WALL_OFFSET_NS + 4000


def test_a_batch_without_rows_reaches_nobody(station: Station) -> None:
    assert station.pipeline.feed(make_batch([b"\0"])) == 0
    assert station.pipeline.feed(make_batch([])) == 0
    assert station.seen == []


def test_produced_is_appended_and_counted() -> None:
    interns = Interns()
    node = SyntheticNode(5, Mix(odd_share=0.3, foreign_share=0.3))
    station = Station(node.address_book(interns), interns)
    produced = 0
    for size in (1, 700, 4096, 2, 900):
        station.pipeline.feed(node.batch(size))
        produced += size
    assert station.table.head + station.ledger.total(Stage.DECODE) == produced
    assert sum(station.table.statistics().appended.values()) == station.table.head


@settings(max_examples=100, deadline=None)
@given(st.lists(damaged([kind() for kind in ODD_KINDS + FOREIGN_KINDS]), max_size=30))
def test_damaged_samples_are_rows_or_are_counted(samples: list[bytes]) -> None:
    station = Station()
    station.pipeline.feed(make_batch(samples))
    assert station.table.head + station.ledger.total(Stage.DECODE) == len(samples)
    live = {
        "source_ref": {ref for ref, _ in station.interns.endpoints.items()},
        "interface_ref": {ref for ref, _ in station.interns.interfaces.items()},
    }
    for name, refs in live.items():
        assert set(station.table.columns[name][: station.table.head].tolist()) - {0} <= refs


def test_refs_name_the_endpoints_of_the_packet() -> None:
    """Every row of the recorded mix, re-read from its sample and looked up the slow way."""
    interns = Interns()
    node = SyntheticNode(6, Mix(odd_share=0.1))
    station = Station(node.address_book(interns), interns)
    by_address = {
        node.address(number, ipv6=ipv6): endpoint
        for number, endpoint in enumerate(node.endpoints)
        for ipv6 in (False, True)
    }
    batch: SampleBatch = node.batch(1500)
    assert station.pipeline.feed(batch) == 1500
    checked = 0
    for at in range(1500):
        expected = reference.decode(batch.samples[at].tobytes())
        for side, identity in (
            ("source", expected.source_identity),
            ("destination", expected.destination_identity),
        ):
            known = by_address.get(expected.columns[f"{side}_ip"])
            ref = int(station.table.columns[f"{side}_ref"][at])
            if known is None or not expected.columns["ip_version"]:
                continue
            found = interns.endpoints[ref]
            assert found.pod_name == known.pod_name
            assert found.identity == (identity or known.identity)
            checked += 1
        if expected.columns["kind"] == EventKind.DROP and expected.columns["endpoint_id"]:
            assert expected.columns["endpoint_id"] <= LOCAL_ENDPOINTS
    assert checked > 1000
