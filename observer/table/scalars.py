"""Event and transport kinds as NumPy scalars, for whole columns.

Comparing a uint8 column with an IntEnum member makes NumPy convert the column to int64: six
times slower than with a scalar of the column's own type, and masks become too wide to store.
"""

from typing import Final

import numpy as np

from observer.table.columns import EventKind, L4Kind, RowFlag

DROP: Final = np.uint8(EventKind.DROP)
DEBUG: Final = np.uint8(EventKind.DEBUG)
CAPTURE: Final = np.uint8(EventKind.CAPTURE)
TRACE: Final = np.uint8(EventKind.TRACE)
POLICY_VERDICT: Final = np.uint8(EventKind.POLICY_VERDICT)
TRACE_SOCK: Final = np.uint8(EventKind.TRACE_SOCK)
AGENT: Final = np.uint8(EventKind.AGENT)
LOST: Final = np.uint8(EventKind.LOST)

TCP: Final = np.uint8(L4Kind.TCP)
UDP: Final = np.uint8(L4Kind.UDP)
ICMPV4: Final = np.uint8(L4Kind.ICMPV4)
SCTP: Final = np.uint8(L4Kind.SCTP)
VRRP: Final = np.uint8(L4Kind.VRRP)

ETHERNET: Final = np.uint8(RowFlag.ETHERNET)
ENCRYPTED: Final = np.uint8(RowFlag.ENCRYPTED)
SWEPT: Final = np.uint8(RowFlag.SWEPT)
DETAIL: Final = np.uint8(RowFlag.DETAIL)
OBSERVED: Final = np.uint8(RowFlag.OBSERVED)
