"""The decoder: a batch of samples in, rows out, and a count of those that could not be read.

Plain samples, nearly all of them, are read at fixed places; the odd ones walk and are put over
what was read for them. Nothing is kept between batches but memory, which the rows point into:
they are valid until the next call. `observer.enrich` is next.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.decode.classify import Classes, classify
from observer.decode.headers import read_captures, read_headers, restore_sources
from observer.decode.layout import HEADER_MAX_BYTES, WORDS_PER_SAMPLE
from observer.decode.odd import OddSamples, decode_odd, put_packets
from observer.decode.plain import read_packets, windows
from observer.decode.reasons import REASON_TEXTS
from observer.decode.sockets import read_sockets
from observer.ledger import Ledger, Stage
from observer.samples import EXT_BYTES, SampleBatch
from observer.table.columns import FLOW_COLUMNS, EventKind
from observer.table.rows import Rows

_FIRST_CAPACITY: Final = 256
_REF_COLUMNS: Final = tuple(name for name in FLOW_COLUMNS if name.endswith("_ref"))


class Decoder:
    """Turns samples into rows; never raises, whatever the bytes are."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._memory = Rows.zeros(_FIRST_CAPACITY)
        self._words_at = _first_words(_FIRST_CAPACITY)

    def decode(self, batch: SampleBatch) -> Rows:
        """Decode a batch; samples that cannot be read are counted under Stage.DECODE.

        Returns:
            Rows in the batch's order, with all `_ref` columns 0 and with the directions of drops
            and traces still unknown. Valid until the next call.
        """
        if not len(batch):
            return self._memory.head(0)
        self._reserve(len(batch))
        classes = classify(batch.samples, self._words_at[: len(batch)])
        kept = classes.plain.copy()
        which = np.flatnonzero(~kept)
        odd = decode_odd(batch.samples, classes, which)
        kept[which] = odd.reason == 0
        self._count(odd.reason)
        keep = np.flatnonzero(kept)
        rows = self._memory.head(len(keep))
        np.add(batch.mono_ns[keep], batch.wall_offset_ns, out=rows.columns["time_ns"])
        rows.columns["cpu"][:] = batch.cpus[keep]
        for name in _REF_COLUMNS:
            rows.columns[name].fill(0)
        self._read(batch.samples, classes, keep, odd, rows)
        return rows

    def _read(
        self,
        samples: NDArray[np.uint8],
        classes: Classes,
        keep: NDArray[np.intp],
        odd: OddSamples,
        rows: Rows,
    ) -> None:
        """Fill the rows from those samples that are kept."""
        header_at = self._words_at[keep]
        ext_at = header_at + (classes.header_length[keep] >> 3)
        ext_length = classes.ext_length[keep]
        header = windows(samples, header_at, HEADER_MAX_BYTES)
        ext = windows(samples, ext_at, EXT_BYTES)
        ext[ext_length == 0] = 0
        good = np.flatnonzero(odd.reason == 0)
        places = np.searchsorted(keep, odd.which[good])
        # Odd samples' headers may be old and their parts may stand where no 64-bit word begins.
        header[places] = odd.header[good]
        ext[places] = odd.ext[good]

        types = classes.types[keep]
        packet_at = ext_at + (ext_length >> 3)
        read_packets(samples, packet_at, classes.is_ipv6[keep], classes.l4_kind[keep], rows.columns)
        rows.columns["tcp_flags"][:] = classes.tcp_flags[keep]
        read_headers(types, header, ext, rows.columns, rows.raw)
        if places.size:
            put_packets(samples, odd, good, rows, places)
            read_captures(header, np.flatnonzero(types == EventKind.CAPTURE), rows)
            sockets = np.flatnonzero(types == EventKind.TRACE_SOCK)
            read_sockets(samples[keep[sockets]], sockets, rows)
        restore_sources(header, rows.columns, rows.raw)

    def _reserve(self, count: int) -> None:
        if count > self._memory.count:
            capacity = 1 << (count - 1).bit_length()
            self._memory = Rows.zeros(capacity)
            self._words_at = _first_words(capacity)

    def _count(self, reasons: NDArray[np.uint8]) -> None:
        counts = np.bincount(reasons, minlength=len(REASON_TEXTS) + 1).tolist()
        for reason, text in REASON_TEXTS.items():
            self._ledger.count(Stage.DECODE, text, counts[reason])


def _first_words(count: int) -> NDArray[np.int64]:
    return np.arange(count, dtype=np.int64) * WORDS_PER_SAMPLE
