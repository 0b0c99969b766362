"""The pipeline: samples go in at one end, rows stand in the table at the other.

decode → enrich → append, then whoever wants to see every row: metrics, exporters. It is the one
place that knows the order. What the kernel lost becomes a row of its own, so that a reader of
the stream sees the gap where it is.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from observer.decode.decoder import Decoder
from observer.enrich import Enricher
from observer.entities import LostEvents
from observer.ledger import Ledger, Stage
from observer.samples import LostSamples, SampleBatch
from observer.table.ring import FlowTable
from observer.table.rows import Rows

PERF_EVENT_RING_BUFFER: Final = 1  # flow.LostEventSource


class RowSink(Protocol):
    """Sees all rows, in order, after they were appended."""

    def consume(self, rows: Rows, first: int) -> None:
        """Take rows that stand at positions first, first + 1 and so on; only valid now."""


class Pipeline:
    """One node's stations from sample to row."""

    def __init__(
        self,
        decoder: Decoder,
        enricher: Enricher,
        table: FlowTable,
        ledger: Ledger,
        sinks: Sequence[RowSink] = (),
    ) -> None:
        self._decoder = decoder
        self._enricher = enricher
        self._table = table
        self._ledger = ledger
        self._sinks = tuple(sinks)
        self.batch_count = 0
        """Batches taken in."""

    def feed(self, batch: SampleBatch) -> int:
        """Take a batch through all stations and return how many rows it became.

        Losses in the batch are counted in the ledger and appended as rows behind it; those rows
        are not part of the returned number.
        """
        self.batch_count += 1
        rows = self._decoder.decode(batch)
        self._enricher.enrich(rows)
        first = self._table.append(rows)
        if rows.count:
            for sink in self._sinks:
                sink.consume(rows, first)
        horizon_ns = None
        if batch.horizon_mono_ns is not None:
            horizon_ns = batch.horizon_mono_ns + batch.wall_offset_ns
        # A gap may be reported later than rows that are still to come: their times must not be
        # raised to the report's, so its row stands where the batch ends.
        latest_ns = int(rows.columns["time_ns"][-1]) if rows.count else horizon_ns
        self._ledger.count(Stage.DECODE, "sample of another size", batch.misshapen)
        for lost in batch.lost:
            self._lose(lost, batch.wall_offset_ns, latest_ns)
        if horizon_ns is not None:
            self._table.watermark.raise_to(horizon_ns)
        return rows.count

    def _lose(self, lost: LostSamples, wall_offset_ns: int, latest_ns: int | None) -> None:
        self._ledger.count(Stage.RING, "perf ring full", lost.count)
        first_ns = lost.first_mono_ns + wall_offset_ns if lost.first_mono_ns else None
        last_ns = lost.last_mono_ns + wall_offset_ns
        events = LostEvents(
            source=PERF_EVENT_RING_BUFFER,
            count=lost.count,
            cpu=lost.cpu if lost.cpu >= 0 else None,
            first_ns=first_ns,
            last_ns=last_ns,
        )
        self._table.append_lost(events, last_ns if latest_ns is None else min(last_ns, latest_ns))
