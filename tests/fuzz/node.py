"""The way of samples through a node, to the bytes that a client gets and what these say.

Samples come in; out comes an error if a row got lost, or if a row has no response that any client
can read.
"""

import numpy as np

from api.proto.observer.observer_pb2 import GetFlowsResponse
from observer.addresses import AddressBook
from observer.decode.decoder import Decoder
from observer.encode import FieldMask, FlowEncoder
from observer.enrich import Enricher
from observer.entities import Endpoint, LostEvents, Service, Workload
from observer.filters.context import FlowSource
from observer.ledger import Ledger, Stage
from observer.pipeline import Pipeline
from observer.query.messages import RowMessages
from observer.samples import SampleBatch
from observer.table.columns import EventKind
from observer.table.interns import Interns
from observer.table.ring import FlowTable
from tests.observer.query.rows import responses

MAPPED = bytes(10) + b"\xff\xff"
POD = Endpoint(
    endpoint_id=101,
    identity=1234,
    cluster_name="default",
    namespace="default",
    labels=("k8s:app=x",),
    pod_name="xwing",
    workloads=(Workload("Deployment", "xwing"),),
)
MASKS = (
    None,
    FieldMask.from_paths(["time", "source", "l4.TCP.destination_port", "verdict"]),
)


class Node:
    """Decoder, enricher, table and encoder of one node; the table is small, so that it turns."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        interns = Interns()
        self.table = FlowTable(capacity=15, interns=interns, seed=1)
        book = AddressBook(interns, cluster_name="default")
        book.set_endpoint(MAPPED + bytes((10, 0, 0, 1)), POD)
        book.set_service(
            MAPPED + bytes((10, 96, 0, 10)), 53, 17, Service(namespace="kube-system", name="dns")
        )
        book.set_interface(3, "lxc3")
        self._pipeline = Pipeline(
            Decoder(self.ledger), Enricher(book, interns), self.table, self.ledger
        )
        self._encoder = FlowEncoder(
            self.table, interns, node_name="default/n", emitter=("Hubble", "1")
        )

    @property
    def flows(self) -> FlowSource:
        """Makes messages of rows, for filters that want them."""
        return RowMessages(self._encoder)

    def feed(self, batch: SampleBatch) -> None:
        """Take a batch in; each sample must become a row or be counted, each gap a row."""
        counted, head = self.ledger.total(Stage.DECODE), self.table.head
        rows = self._pipeline.feed(batch)
        assert rows + self.ledger.total(Stage.DECODE) - counted == len(batch)
        assert self.table.head - head == rows + len(batch.lost)

    def answer(self, *masks: FieldMask | None) -> None:
        """Encode all rows that are there in several ways, and read them as a client does."""
        positions = np.arange(self.table.oldest, self.table.head, dtype=np.int64)
        for mask in masks or MASKS:
            for details in (False, True):
                framed = self._encoder.encode(positions, paths=mask, details=details)
                found = responses(framed)
                assert len(found) == len(positions)
                for position, response in zip(positions.tolist(), found, strict=True):
                    self._check(position, response, whole=mask is None)

    def _check(self, position: int, response: GetFlowsResponse, *, whole: bool) -> None:
        slot = position & self.table.capacity
        time_ns = response.time.seconds * 10**9 + response.time.nanos
        # A mask may leave the time out, or a part of it.
        assert time_ns == self.table.columns["time_ns"][slot] or not whole
        is_lost = self.table.columns["kind"][slot] == EventKind.LOST
        assert response.WhichOneof("response_types") == ("lost_events" if is_lost else "flow")
        assert GetFlowsResponse.FromString(response.SerializeToString()) == response
        if is_lost:
            detail = self.table.details[position]
            assert isinstance(detail, LostEvents)
            assert response.lost_events.num_events_lost == detail.count
