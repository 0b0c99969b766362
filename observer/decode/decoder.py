"""The decoder: a batch of samples in, rows out, and a count of those that could not be read.

Plain samples, nearly all of them, are read at fixed places; the odd ones walk and are put over
what was read for them. Nothing is kept between batches but memory, which the rows point into:
they are valid until the next call. `observer.enrich` is next.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.decode.classify import Classes, classify
from observer.decode.debug import read_debug
from observer.decode.ext import read_ext
from observer.decode.headers import read_captures, read_headers, restore_sources
from observer.decode.layout import HEADER_MAX_BYTES, WORDS_PER_SAMPLE
from observer.decode.odd import OddRows, decode_odd, place, put_packets
from observer.decode.plain import read_packets
from observer.decode.reasons import REASON_TEXTS
from observer.decode.sockets import read_sockets
from observer.decode.windows import windows
from observer.ledger import Ledger, Stage
from observer.samples import SampleBatch
from observer.table import scalars
from observer.table.columns import FLOW_COLUMNS
from observer.table.rows import Rows

_FIRST_CAPACITY: Final = 256
_REF_COLUMNS: Final = tuple(name for name in FLOW_COLUMNS if name.endswith("_ref"))
_HEAP_BYTES: Final = 4 << 20


class Decoder:
    """Turns samples into rows; never raises, whatever the bytes are."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._memory = Rows.zeros(_FIRST_CAPACITY)
        self._words_at = _first_words(_FIRST_CAPACITY)
        # glibc gives the end of the heap back to the kernel whenever a batch's arrays are freed,
        # and faults it in again for the next batch: a tenth of the time. Freeing one large block
        # raises its limits, see "dynamic mmap threshold" in mallopt(3).
        np.empty(_HEAP_BYTES, np.uint8)

    def decode(self, batch: SampleBatch) -> Rows:
        """Decode a batch; samples that cannot be read are counted under Stage.DECODE.

        Returns:
            Rows in the batch's order, with all `_ref` columns 0 and with the directions of drops
            and traces still unknown. Valid until the next call.
        """
        if not len(batch):
            return self._memory.head(0)
        self._reserve(len(batch))
        samples = _aligned(batch.samples)
        classes = classify(samples, self._words_at[: len(batch)])
        kept = classes.plain.copy()
        which = (~kept).nonzero()[0]
        odd = None
        if which.size:
            odd = decode_odd(samples, classes, which)
            kept[which] = odd.reason == 0
            self._count(odd.reason)
        index = kept.nonzero()[0]
        rows = self._memory.head(len(index))
        # Mostly all can be decoded; then nothing need be moved together.
        keep = slice(None) if len(index) == len(batch) else index
        np.add(batch.mono_ns[keep], batch.wall_offset_ns, out=rows.columns["time_ns"])
        rows.columns["cpu"][:] = batch.cpus[keep]
        for name in _REF_COLUMNS:
            rows.columns[name].fill(0)
        self._read(samples, classes, keep, rows, place(samples, classes, odd, index))
        return rows

    def _read(
        self,
        samples: NDArray[np.uint8],
        classes: Classes,
        keep: slice | NDArray[np.intp],
        rows: Rows,
        odd: OddRows,
    ) -> None:
        """Fill the rows from those samples that are kept."""
        types = classes.types[keep]
        header_at = self._words_at[: len(samples)]
        ext_at = header_at + (classes.header_length >> 3)
        header = samples[:, :HEADER_MAX_BYTES]
        if not isinstance(keep, slice):
            header = windows(samples, header_at[keep], HEADER_MAX_BYTES)
        if odd.foreign.size:
            # Old headers are shorter: what lies behind their end must not be read as theirs.
            header = header.copy()
            header[odd.foreign] = odd.header
        read_ext(samples, ext_at[keep], odd, rows.columns)
        read_headers(types, header, rows)
        columns = rows.columns
        columns["tcp_flags"][:] = classes.tcp_flags[keep]
        is_ipv6, l4_kind = classes.is_ipv6[keep], classes.l4_kind[keep]
        read_packets(classes.window[keep], is_ipv6, l4_kind, columns)
        put_packets(samples.reshape(-1), odd, rows)
        if odd.foreign.size:
            read_captures(header, (types == scalars.CAPTURE).nonzero()[0], rows)
            sockets = (types == scalars.TRACE_SOCK).nonzero()[0]
            if sockets.size:
                read_sockets(samples[keep][sockets], sockets, rows)
            messages = (types == scalars.DEBUG).nonzero()[0]
            if messages.size:
                read_debug(samples[keep][messages], messages, rows)
        restore_sources(header, rows)

    def _reserve(self, count: int) -> None:
        if count > self._memory.count:
            capacity = 1 << (count - 1).bit_length()
            self._memory = Rows.zeros(capacity)
            self._words_at = _first_words(capacity)

    def _count(self, reasons: NDArray[np.uint8]) -> None:
        if not reasons.any():
            return
        counts = np.bincount(reasons, minlength=len(REASON_TEXTS) + 1).tolist()
        for reason, text in REASON_TEXTS.items():
            self._ledger.count(Stage.DECODE, text, counts[reason])


def _aligned(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Copy samples that begin anywhere, as those in a file do: NumPy would copy at each look."""
    return samples if samples.view(np.uint64).flags.aligned else samples.copy()


def _first_words(count: int) -> NDArray[np.int64]:
    return np.arange(count, dtype=np.int64) * WORDS_PER_SAMPLE
