"""Read the columns that come from our extension of Hubble's events: counts, times, tags."""

import numpy as np
from numpy.typing import NDArray

from observer.decode.layout import EXT, EXT_FLAG_SWEPT, EXT_FLAG_VLAN
from observer.decode.odd import OddRows
from observer.table import scalars
from observer.table.columns import RowFlag
from observer.table.rows import Column

# 64-bit words of the ext that hold something
_WORDS = 3


def read_ext(
    samples: NDArray[np.uint8],
    ext_at: NDArray[np.int64],
    odd: OddRows,
    columns: dict[str, Column],
) -> None:
    """Fill the ext's columns of m rows, and start `flags` with what it says.

    Args:
        samples: uint8, shape (n, SAMPLE_BYTES).
        ext_at: int64, shape (m,): 64-bit word at which each row's ext begins.
        odd: the rows whose ext may be elsewhere or missing; theirs is put in place.
        columns: of length m.
    """
    words = samples.reshape(-1).view(np.uint64)
    parts = odd.ext.view(np.uint64)
    ext = np.empty((len(ext_at), EXT.itemsize // 8), np.uint64)
    for word in range(_WORDS):
        ext[:, word] = words.take(ext_at + word, mode="clip")
    ext[odd.places] = parts
    fields = ext.view(EXT)[:, 0]
    for name in ("bytes", "packets", "rtt_ns", "rule_cookie"):
        columns[name][:] = fields[name]
    flags = fields["flags"].copy()
    columns["flags"][:] = (flags & EXT_FLAG_SWEPT != 0) * scalars.SWEPT
    columns["flags"] |= np.uint8(RowFlag.ETHERNET)
    columns["vlan_id"].fill(0)
    tagged = np.flatnonzero(flags & EXT_FLAG_VLAN)
    columns["vlan_id"][tagged] = fields["vlan_tci"][tagged] & 0xFFF
