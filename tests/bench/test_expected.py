from dataclasses import replace

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from api.proto.flow import flow_pb2
from api.proto.observer import observer_pb2
from bench.errors import WrongAnswerError
from bench.expected import Expected, time_of
from bench.ingest_node import SEED, IngestNode
from bench.reference import of_row, read
from bench.workload import SyntheticNode
from observer.samples import SampleBatch

ROWS = 300


@pytest.fixture(scope="module")
def batch() -> SampleBatch:
    return SyntheticNode(SEED).batch(ROWS)


def flow_of(batch: SampleBatch, row: int) -> flow_pb2.Flow:
    """What a server would say of a sample: only what is compared."""
    time_ns = int(batch.mono_ns[row]) + batch.wall_offset_ns
    flow = flow_pb2.Flow(time=Timestamp(seconds=time_ns // 10**9, nanos=time_ns % 10**9))
    packet = read(batch.samples[row].tobytes())
    if packet is None:
        return flow
    flow.MergeFrom(flow_pb2.Flow(verdict=flow_pb2.Verdict.Name(packet.verdict)))
    flow.IP.source, flow.IP.destination = packet.source, packet.destination
    layer4 = getattr(flow.l4, packet.layer4)
    if packet.layer4.startswith("ICMP"):
        layer4.type, layer4.code = packet.source_port, packet.destination_port
    else:
        layer4.source_port, layer4.destination_port = packet.source_port, packet.destination_port
    return flow


def answer(*flows: flow_pb2.Flow) -> list[bytes]:
    return [
        observer_pb2.GetFlowsResponse(flow=flow, time=flow.time).SerializeToString()
        for flow in flows
    ]


def plain_row(batch: SampleBatch) -> int:
    """A row of which the reference says something."""
    return next(row for row in range(5, ROWS) if read(batch.samples[row].tobytes()) is not None)


def test_right_answers_pass(batch: SampleBatch) -> None:
    flows = [flow_of(batch, row) for row in range(ROWS)]
    Expected([batch]).check(answer(*flows), ROWS)


def test_count(batch: SampleBatch) -> None:
    with pytest.raises(WrongAnswerError, match="read flows: 1, expected 2"):
        Expected([batch]).check(answer(flow_of(batch, 0)), 2)


def test_order(batch: SampleBatch) -> None:
    flows = flow_of(batch, 1), flow_of(batch, 0)
    with pytest.raises(WrongAnswerError, match="flow 1: older than the one before"):
        Expected([batch]).check(answer(*flows), 2)


@pytest.mark.parametrize("change", ["verdict", "source", "port"])
def test_content(batch: SampleBatch, change: str) -> None:
    flow = flow_of(batch, plain_row(batch))
    match change:
        case "verdict":
            flow.verdict = flow_pb2.ERROR
        case "source":
            flow.IP.source = "192.0.2.77"
        case _:
            flow.l4.UDP.source_port = 7
    with pytest.raises(WrongAnswerError, match="the packet says"):
        Expected([batch]).check(answer(flow), 1)


def test_a_flow_without_a_packet(batch: SampleBatch) -> None:
    flow = flow_of(batch, plain_row(batch))
    flow.time.nanos += 1
    with pytest.raises(WrongAnswerError, match="no packet passed"):
        Expected([batch]).check(answer(flow), 1)


def test_lost_events_are_no_flows(batch: SampleBatch) -> None:
    lost = observer_pb2.GetFlowsResponse(lost_events=flow_pb2.LostEvent(num_events_lost=3))
    with pytest.raises(WrongAnswerError, match="num_events_lost: 3"):
        Expected([batch]).check([lost.SerializeToString()], 1)


def test_rows_of_the_table_agree_with_the_reference(batch: SampleBatch) -> None:
    source = SyntheticNode(SEED)
    node = IngestNode.of(source, capacity=1023)
    count = node.pipeline.feed(batch)
    expected = Expected([batch])
    for slot in range(count):
        time_ns = int(node.table.columns["time_ns"][slot])
        expected.check_packet(f"row {slot}", time_ns, of_row(node.table.columns, slot))


def test_two_packets_of_one_time_are_told_apart(batch: SampleBatch) -> None:
    row = plain_row(batch)
    same = replace(batch, mono_ns=np.full(ROWS, batch.mono_ns[row]))
    Expected([same]).check(answer(flow_of(same, row)), 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T00:00:00.5Z", 500_000_000),
        ("2023-11-14T22:13:20.000000007Z", 1_700_000_000_000_000_007),
    ],
)
def test_time_of(text: str, expected: int) -> None:
    assert time_of(text) == expected
