"""Read the columns that come from our extension of Hubble's events: counts, times, tags.

The ext (layout.EXT) is read as three 64-bit words:

    0  bytes                8  packets, rule_cookie (12)
    16 rtt_ns, vlan_tci (20), flags (22)
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.decode.layout import EXT_FLAG_OBSERVED, EXT_FLAG_SWEPT, EXT_FLAG_VLAN
from observer.decode.odd import OddRows
from observer.table import scalars
from observer.table.columns import RowFlag
from observer.table.rows import Column

# From the ext's flags to those of a row: the same number of doublings for both.
_KEPT: Final = np.uint8(EXT_FLAG_SWEPT | EXT_FLAG_OBSERVED)
_TO_ROW: Final = np.uint8((RowFlag.SWEPT | RowFlag.OBSERVED) // _KEPT)


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
    # Foreign rows may point anywhere: clipped, then overwritten.
    words.take(ext_at, out=columns["bytes"], mode="clip")
    counts = words.take(ext_at + 1, mode="clip")
    rest = words.take(ext_at + 2, mode="clip")
    if odd.foreign.size:
        foreign = odd.ext.view(np.uint64)
        columns["bytes"][odd.foreign] = foreign[:, 0]
        counts[odd.foreign] = foreign[:, 1]
        rest[odd.foreign] = foreign[:, 2]
    columns["packets"][:] = counts.view(np.uint32)[::2]
    columns["rule_cookie"][:] = counts.view(np.uint32)[1::2]
    columns["rtt_ns"][:] = rest.view(np.uint32)[::2]
    flags = rest.view(np.uint8)[6::8].copy()
    np.multiply(flags & _KEPT, _TO_ROW, out=columns["flags"])
    columns["flags"] |= scalars.ETHERNET
    columns["vlan_id"].fill(0)
    tagged = (flags & EXT_FLAG_VLAN).nonzero()[0]
    columns["vlan_id"][tagged] = rest.view(np.uint16)[2::4][tagged] & 0xFFF
