"""Read debug messages: what a program did with a packet, one step of many.

They carry neither packet nor ext, but four numbers (layout.DEBUG); what these mean, the subtype
says, and `observer.encode.debug_text` puts into words. A row of kind DEBUG keeps them where flows
have what it lacks:

    macs         arguments 1..3, native uint32 each
    ip_trace_id  hash of the packet
"""

import numpy as np
from numpy.typing import NDArray

from observer.decode.layout import DEBUG
from observer.table.rows import Rows

_ARGUMENTS_AT = 8


def read_debug(samples: NDArray[np.uint8], which: NDArray[np.intp], rows: Rows) -> None:
    """Overwrite rows of debug messages.

    Args:
        samples: uint8, shape (k, SAMPLE_BYTES): the messages' samples.
        which: the k rows to overwrite.
        rows: all rows of the batch.
    """
    rows.blank(which)
    events = samples[:, : DEBUG.itemsize].copy().view(DEBUG)[:, 0]
    columns = rows.columns
    columns["kind"][which] = events["type"]
    columns["sub_type"][which] = events["subtype"]
    columns["endpoint_id"][which] = events["source"]
    columns["is_reply"][which] = -1
    columns["ip_trace_id"][which] = events["hash"]
    columns["macs"][which] = samples[:, _ARGUMENTS_AT : DEBUG.itemsize]
