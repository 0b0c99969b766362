"""A batch of rows on its way into the flow table.

The decoder makes it, the enricher fills its refs, the table copies it, sinks read it. It is a
view of the decoder's memory: valid until the next batch is decoded.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from observer.table import scalars
from observer.table.columns import FLOW_COLUMNS

# The element type differs from column to column: columns.py says which.
Column = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawColumns:
    """What the samples say beyond the table's columns and enrichment needs; length n each."""

    addresses: NDArray[np.uint64]
    """uint64, shape (2, n, 2): source and destination, the memory of both address columns."""
    identities: NDArray[np.uint32]
    """uint32, shape (2, n): the datapath's identity of source and destination, 0 not told."""
    ifindex: NDArray[np.uint32]
    original_set: NDArray[np.bool_]
    """True where the event told the source from before translation: source_ip holds that one."""
    header_source: NDArray[np.uint64]
    """uint64, shape (n, 2): the packet's own source; only meaningful where original_set."""

    def head(self, count: int) -> "RawColumns":
        """View the first count rows."""
        return RawColumns(
            addresses=self.addresses[:, :count],
            identities=self.identities[:, :count],
            ifindex=self.ifindex[:count],
            original_set=self.original_set[:count],
            header_source=self.header_source[:count],
        )

    @classmethod
    def zeros(cls, count: int) -> "RawColumns":
        """Allocate for count rows, all unknown."""
        return cls(
            addresses=np.zeros((2, count, 2), np.uint64),
            identities=np.zeros((2, count), np.uint32),
            ifindex=np.zeros(count, np.uint32),
            original_set=np.zeros(count, np.bool_),
            header_source=np.zeros((count, 2), np.uint64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows in ascending time."""

    count: int
    columns: dict[str, Column]
    """Each name of FLOW_COLUMNS, with `count` elements."""
    raw: RawColumns
    details: dict[int, object] = field(default_factory=dict)
    """Index in this batch → detail; such rows carry RowFlag.DETAIL."""

    def add_detail(self, index: int, detail: object) -> None:
        """Give a row its detail."""
        self.details[index] = detail
        self.columns["flags"][index] |= scalars.DETAIL

    def blank(self, which: NDArray[np.intp]) -> None:
        """Let nothing be known of some rows but their time and CPU."""
        for name, column in self.columns.items():
            if name not in ("time_ns", "cpu"):
                column[which] = 0
        self.raw.identities[:, which] = 0
        self.raw.ifindex[which] = 0
        self.raw.original_set[which] = False

    def head(self, count: int) -> "Rows":
        """View the first count rows, without details."""
        columns = {name: column[:count] for name, column in self.columns.items()}
        return Rows(count=count, columns=columns, raw=self.raw.head(count))

    @classmethod
    def zeros(cls, count: int) -> "Rows":
        """Allocate count rows in which all is unknown; the address columns share `raw`."""
        raw = RawColumns.zeros(count)
        columns: dict[str, Column] = {
            name: np.zeros((count, *shape), dtype) for name, (dtype, shape) in FLOW_COLUMNS.items()
        }
        columns["source_ip"], columns["destination_ip"] = raw.addresses
        return cls(count=count, columns=columns, raw=raw)
