"""Debug events among flows: their own RPC sees them, with their numbers and what these mean."""

import struct

import numpy as np
import pytest

from api.lane.wire import PREFIX, PREFIX_BYTES
from api.proto.flow.flow_pb2 import DebugEventType
from api.proto.observer.observer_pb2 import (
    GetDebugEventsRequest,
    GetDebugEventsResponse,
    GetFlowsRequest,
)
from observer.addresses import AddressBook
from observer.decode.decoder import Decoder
from observer.encode import DebugEncoder
from observer.enrich import Enricher
from observer.entities import Endpoint
from observer.pipeline import Pipeline
from observer.query import FlowQuery, FlowRequest
from observer.samples import SAMPLE_BYTES, SampleBatch
from tests.observer.query.rows import START_NS, Event, Node, answers

XWING = Endpoint(
    endpoint_id=77,
    identity=4711,
    cluster_name="default",
    namespace="default",
    labels=("k8s:class=xwing",),
    pod_name="xwing",
    workloads=(),
)
MAPPED = bytes(10) + b"\xff\xff"


def message(kind: int, *arguments: int, source: int = 77, mark: int = 0xBEEF) -> bytes:
    padded = [*arguments, 0, 0, 0][:3]
    return struct.pack("=BBHIIII", 2, kind, source, mark, *padded).ljust(SAMPLE_BYTES, b"\0")


def word(text: str) -> int:
    return int.from_bytes(bytes(map(int, text.split("."))), "little")


class DebugNode(Node):
    """A node with one pod, fed with samples."""

    def feed(self, *samples: bytes) -> None:
        book = AddressBook(self.table.interns, cluster_name="default")
        book.set_endpoint(MAPPED + bytes([10, 0, 0, 7]), XWING)
        enricher = Enricher(book, self.table.interns)
        pipeline = Pipeline(Decoder(self.ledger), enricher, self.table, self.ledger)
        count = len(samples)
        batch = SampleBatch(
            samples=np.frombuffer(b"".join(samples), np.uint8).reshape(count, SAMPLE_BYTES),
            mono_ns=np.arange(self.table.head, self.table.head + count, dtype=np.int64),
            cpus=np.full(count, 3, np.uint16),
            wall_offset_ns=START_NS,
        )
        assert pipeline.feed(batch) == count

    async def debug_events(self, request: GetDebugEventsRequest) -> list[GetDebugEventsResponse]:
        query = FlowQuery(
            FlowRequest.parse_debug(request),
            table=self.table,
            encoder=DebugEncoder(self.table, node_name="default/n"),
            ledger=self.ledger,
        )
        found = []
        async for framed in query.run():
            data = framed.data
            while data:
                _, size = PREFIX.unpack_from(data)
                stop = PREFIX_BYTES + size
                found.append(GetDebugEventsResponse.FromString(data[PREFIX_BYTES:stop]))
                data = data[stop:]
        return found


async def test_all_that_a_message_tells() -> None:
    node = DebugNode(15)
    ports = 4000 << 16 | 80
    node.feed(message(48, word("10.0.0.7"), word("10.0.0.8"), ports))
    [response] = await node.debug_events(GetDebugEventsRequest())
    event = response.debug_event
    assert response.node_name == "default/n"
    assert response.time.ToNanoseconds() == START_NS
    assert event.type == DebugEventType.DBG_CT_LOOKUP4_1
    assert (event.source.ID, event.source.pod_name, event.source.identity) == (77, "xwing", 4711)
    assert list(event.source.labels) == ["k8s:class=xwing"]
    assert (event.hash.value, event.cpu.value) == (0xBEEF, 3)
    arguments = [event.arg1.value, event.arg2.value, event.arg3.value]
    assert arguments == [word("10.0.0.7"), word("10.0.0.8"), ports]
    assert event.message == "connection lookup: 10.0.0.7:4000 -> 10.0.0.8:80"


@pytest.mark.parametrize(
    ("source", "shown"), [(0, None), (78, 78)], ids=["of no endpoint", "of an unknown one"]
)
async def test_an_endpoint_that_nobody_knows(source: int, shown: int | None) -> None:
    node = DebugNode(15)
    node.feed(message(20, 1, source=source, mark=0))
    [response] = await node.debug_events(GetDebugEventsRequest())
    event = response.debug_event
    assert (event.source.ID if event.HasField("source") else None) == shown
    assert not event.source.pod_name
    # known to be zero, and so told
    assert event.HasField("hash")
    assert event.HasField("arg3")


@pytest.mark.parametrize(
    ("kind", "arguments", "text"),
    [
        (2, (12, 4711), "delivered to endpoint 12 from identity 4711"),
        (5, (4711, 2), "policy denies the packet from identity 4711 to 2"),
        (13, (0xFD000244, 9), "neighbour solicitation for fd00:244..9"),
        (15, (0,), "connection is new, service 0"),
        (15, (3, 7), "connection is related, service 7"),
        (15, (9,), "connection is 9, service 0"),
        (18, (200 << 16 | 170, 7), "error at endpoint.c:170: Argument list too long"),
        (20, (0,), "to the stack"),
        (20, (1,), "to the stack, an answer that policy does not judge"),
        (49, (6 << 8,), "connection lookup: TCP, egress"),
        (
            52,
            (58 << 8 | 2, 1),
            "connection lookup: ICMPv6, ingress, by the packet that the error speaks of",
        ),
        (49, (99 << 8, 5), "connection lookup: 99, 5"),
        (50, (0, 4711), "connection created: source identity 4711, service 0"),
        (
            51,
            (word("0.1.0.2"), word("255.0.0.9"), 5 << 16 | 6),
            "connection lookup: [..1:2]:5 -> [..ff00:9]:6",
        ),
        (53, (3, 2), "connection created: source identity 2, service 3"),
        (200, (1, 2, 0xFFFFFFFF), "arg1=0x1 arg2=0x2 arg3=0xffffffff"),
    ],
)
async def test_what_messages_mean(kind: int, arguments: tuple[int, ...], text: str) -> None:
    node = DebugNode(15)
    node.feed(message(kind, *arguments))
    [response] = await node.debug_events(GetDebugEventsRequest())
    assert response.debug_event.message == text


async def test_flows_and_debug_events_do_not_see_each_other() -> None:
    node = DebugNode(31)
    node.append([Event(START_NS)])
    node.feed(*(message(20, number) for number in range(5)))
    node.append([Event(START_NS + 100), Event(START_NS + 101, lost=True)])
    found = await answers(node.query(GetFlowsRequest()))
    kinds = [response.WhichOneof("response_types") for response in found]
    assert kinds == ["flow", "flow", "lost_events"]
    for request, wanted in (
        (GetDebugEventsRequest(), [0, 1, 2, 3, 4]),
        (GetDebugEventsRequest(number=2), [3, 4]),
        (GetDebugEventsRequest(number=2, first=True), [0, 1]),
    ):
        events = await node.debug_events(request)
        assert [response.debug_event.arg1.value for response in events] == wanted
